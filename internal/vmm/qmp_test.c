/* The QMP client against a forked server that plays QEMU's monitor from a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "vmm/qmp.h"

#define NAME "api.sock"
#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"x\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define AGREED "{\"return\": {}, \"id\": 1}\r\n"
#define EVENT  "{\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n"

struct fixture {
    char dir[64];
    int dirfd;
    pid_t server;
    struct deadline d;
    struct qmp q;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-qmp-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dirfd >= 0);
    f->d = deadline_in_ms(60000);
    f->q = (struct qmp)QMP_INIT;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    qmp_close(&f->q);
    if (f->server > 0) {
        (void)kill(f->server, SIGKILL);
        (void)waitpid(f->server, NULL, 0);
    }
    cleanup_close(&f->dirfd);
    (void)dir_remove_tree(AT_FDCWD, f->dir, NULL);
    free(f);
    return 0;
}

/* Says each text, waiting for one line from the client between two of them. A NULL text is a
 * megabyte and more without an end of line. */
static void serve(int listener, const char *const *texts, size_t n, bool hang_up)
{
    char line[4096], chunk[65536];
    int fd = accept(listener, NULL, NULL);
    memset(chunk, 'x', sizeof chunk);
    for (size_t i = 0; i < n; i++) {
        if (texts[i])
            (void)!send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL);
        for (int k = 0; !texts[i] && k < 20; k++)
            (void)!send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
        char c = 0;
        size_t len = 0;
        while (i + 1 < n && c != '\n' && len < sizeof line && read(fd, &c, 1) == 1)
            line[len++] = c;
    }
    if (hang_up)
        _exit(0);
    for (;;)
        (void)pause();
}

static void start(struct fixture *f, const char *const *texts, size_t n, bool hang_up)
{
    struct error err = ERROR_INIT;
    int fd = qmp_listen(f->dirfd, NAME, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    f->server = fork();
    assert_true(f->server >= 0);
    if (f->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, texts, n, hang_up);
    }
    (void)close(fd);
}

static void open_ok(struct fixture *f)
{
    char version[32];
    struct error err = ERROR_INIT;
    if (qmp_open(&f->q, f->dirfd, NAME, &f->d, version, sizeof version, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(version, "7.2.22");
}

static void answers_are_found_between_events(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *reply = NULL;
    static const char *const texts[] = {
        GREETING, EVENT AGREED EVENT,
        /* An old answer, an event, the answer, and more behind it. */
        "{\"return\": {\"x\": 1}, \"id\": 1}\n" EVENT "{\"return\": {\"x\": 2}, \"id\": 2}\n" EVENT,
        "{\"return\": {\"x\": 3}, \"id\": 3}\n"};
    start(f, texts, ARRAY_LEN(texts), false);
    open_ok(f);
    assert_int_equal(qmp_execute(&f->q, "query-x", NULL, &f->d, &reply, &err), 0);
    assert_int_equal(json_opt_i64(reply, "x", 0), 2);
    cJSON_Delete(reply);
    reply = NULL;
    assert_int_equal(qmp_execute(&f->q, "query-x", NULL, &f->d, &reply, &err), 0);
    assert_int_equal(json_opt_i64(reply, "x", 0), 3);
}

static void answers_come_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const char *const texts[] = {GREETING, AGREED "{\"ret", "urn\": {}, \"id\": 2}\n"};
    start(f, texts, ARRAY_LEN(texts), false);
    open_ok(f);
    assert_int_equal(qmp_execute(&f->q, "cont", NULL, &f->d, NULL, &err), 0);
}

static void refusal_is_told(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const char *const texts[] = {
        GREETING, AGREED,
        "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\n"};
    start(f, texts, ARRAY_LEN(texts), false);
    open_ok(f);
    assert_int_equal(qmp_execute(&f->q, "cont", NULL, &f->d, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
    assert_string_equal(err.msg, "QEMU refused cont: no such thing");
}

/* Opens, and expects an error of this kind with this word. */
static void expect_error(struct fixture *f, enum err_kind kind, const char *word)
{
    struct error err = ERROR_INIT;
    assert_int_equal(qmp_open(&f->q, f->dirfd, NAME, &f->d, NULL, 0, &err), -1);
    if (err.kind != kind || !strstr(err.msg, word))
        fail_msg("kind %s: %s", error_kind_name(err.kind), err.msg);
}

static void garbage_is_an_error(void **state)
{
    static const char *const texts[] = {"hello\n"};
    start(*state, texts, 1, false);
    expect_error(*state, ERR_VMM, "not valid JSON");
}

static void array_is_an_error(void **state)
{
    static const char *const texts[] = {"[1]\n"};
    start(*state, texts, 1, false);
    expect_error(*state, ERR_VMM, "not an object");
}

static void greeting_is_required(void **state)
{
    static const char *const texts[] = {"{\"error\": {\"desc\": \"busy\"}}\n"};
    start(*state, texts, 1, false);
    expect_error(*state, ERR_VMM, "without a greeting");
}

static void silence_ends_at_the_deadline(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"{\"QMP\""};
    f->d = deadline_in_ms(100);
    start(f, texts, 1, false);
    expect_error(f, ERR_TIMEOUT, "greeting");
}

static void hang_up_is_an_error(void **state)
{
    static const char *const texts[] = {"{\"QMP\""};
    start(*state, texts, 1, true);
    expect_error(*state, ERR_VMM, "closed its control socket");
}

static void endless_line_is_capped(void **state)
{
    static const char *const texts[] = {NULL};
    start(*state, texts, 1, false);
    expect_error(*state, ERR_VMM, "in a line");
}

static void nobody_listens(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    expect_error(f, ERR_VMM, "connect to QEMU's control socket");
    int fd = qmp_listen(f->dirfd, NAME, &err);
    assert_true(fd >= 0);
    (void)close(fd);
    expect_error(f, ERR_VMM, "connect to QEMU's control socket");
    /* What was left behind is no obstacle to the next. */
    fd = qmp_listen(f->dirfd, NAME, &err);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* Directories of leases may lie deeper than a socket address is long. */
static void deep_directories_work(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    char deep[200];
    static const char *const texts[] = {GREETING, AGREED};
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(mkdirat(f->dirfd, deep, 0700), 0);
    int inner = openat(f->dirfd, deep, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(inner >= 0);
    (void)close(f->dirfd);
    f->dirfd = inner;
    start(f, texts, ARRAY_LEN(texts), false);
    if (qmp_open(&f->q, f->dirfd, NAME, &f->d, NULL, 0, &err) < 0)
        fail_msg("%s", err.msg);
}

static void cancel_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    int p[2];
    static const char *const texts[] = {""};
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    f->d.cancel_fd = p[0];
    start(f, texts, 1, false);
    expect_error(f, ERR_CANCELLED, "interrupted");
    (void)close(p[0]);
    (void)close(p[1]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(answers_are_found_between_events),
        T(answers_come_in_pieces),
        T(refusal_is_told),
        T(garbage_is_an_error),
        T(array_is_an_error),
        T(greeting_is_required),
        T(silence_ends_at_the_deadline),
        T(hang_up_is_an_error),
        T(endless_line_is_capped),
        T(nobody_listens),
        T(deep_directories_work),
        T(cancel_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
