/* The client against a forked server that answers each request with the next prepared bytes. */
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
#include <sys/un.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "http/http.h"
#include "sys/file.h"

#define NAME    "api.sock"
#define SILENCE "" /* a reply that never comes */
#define MAX     8

/* What the server heard, shared with the test through a pipe. */
struct fixture {
    char dir[64];
    int dirfd;
    pid_t server;
    int heard; /* read end: every byte of every request */
    struct deadline d;
    struct http_client *c;
};

struct script {
    const char *replies[MAX];
    size_t n;
    bool close_after; /* hang up after each reply */
    size_t flood;     /* after the replies' bytes, so many more */
    const char *line; /* of which the flood is made; NULL: blanks */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-http-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dirfd >= 0);
    f->heard = -1;
    f->d = deadline_in_ms(10000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_close(f->c);
    if (f->server > 0) {
        (void)kill(f->server, SIGKILL);
        (void)waitpid(f->server, NULL, 0);
    }
    cleanup_close(&f->heard);
    cleanup_close(&f->dirfd);
    (void)dir_remove_tree(AT_FDCWD, f->dir, NULL);
    free(f);
    return 0;
}

/* Reads one request: head and Content-Length bytes. False at the end of the connection. */
static bool read_request(int fd, int heard)
{
    char buf[16384];
    size_t n = 0;
    for (;;) {
        ssize_t r = read(fd, buf + n, sizeof buf - 1 - n);
        if (r <= 0)
            return false;
        n += (size_t)r;
        buf[n] = '\0';
        const char *end = strstr(buf, "\r\n\r\n");
        if (!end)
            continue;
        const char *cl = strcasestr(buf, "content-length: ");
        size_t body = cl && cl < end ? strtoul(cl + 16, NULL, 10) : 0;
        if (n >= (size_t)(end + 4 - buf) + body)
            break;
    }
    return write(heard, buf, n) == (ssize_t)n;
}

static void flood(int fd, size_t n, const char *line)
{
    char part[65536];
    const char *what = line ? line : " ";
    for (size_t i = 0, len = strlen(what); i < sizeof part; i++)
        part[i] = what[i % len];
    for (; n > 0; n -= n < sizeof part ? n : sizeof part)
        if (send(fd, part, n < sizeof part ? n : sizeof part, MSG_NOSIGNAL) <= 0)
            return;
}

static void serve(int listener, int heard, const struct script *s)
{
    size_t next = 0;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        while (fd >= 0 && read_request(fd, heard)) {
            const char *reply = next < s->n ? s->replies[next++] : SILENCE;
            (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL);
            flood(fd, s->flood, s->line);
            if (s->close_after)
                break;
        }
        (void)close(fd);
    }
}

static void start(struct fixture *f, const struct script *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct error err = ERROR_INIT;
    int p[2];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)str_format(a.sun_path, sizeof a.sun_path, "%s/%s", f->dir, NAME);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    f->server = fork();
    assert_true(f->server >= 0);
    if (f->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, p[1], s);
    }
    (void)close(fd);
    (void)close(p[1]);
    f->heard = p[0];
    f->c = http_open(f->dirfd, NAME, &err);
    assert_non_null(f->c);
}

/* All requests so far, as text. */
static const char *heard(struct fixture *f)
{
    static char text[65536];
    ssize_t n = read(f->heard, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void mutation_answers_204(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const struct script s = {
        .replies = {"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n",
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": 12}"},
        .n = 2};
    int status = 0;
    _cleanup_json_ cJSON *body = cJSON_CreateObject();
    _cleanup_json_ cJSON *reply = NULL;
    (void)cJSON_AddStringToObject(body, "k", "v");
    start(f, &s);
    assert_int_equal(http_json(f->c, "PUT", "/x", body, &f->d, &status, &reply, &err), 0);
    assert_int_equal(status, 204);
    assert_null(reply);
    const char *t = heard(f);
    assert_true(str_has_prefix(t, "PUT /x HTTP/1.1\r\n"));
    assert_true(str_has_suffix(t, "\r\n\r\n{\"k\":\"v\"}"));
    assert_null(strcasestr(t, "expect:"));
    assert_non_null(strcasestr(t, "content-type: application/json"));
    /* The same connection carries a GET, without the body of before. */
    assert_int_equal(http_json(f->c, "GET", "/y", NULL, &f->d, &status, &reply, &err), 0);
    assert_int_equal(status, 200);
    assert_int_equal(json_opt_i64(reply, "a", 0), 12);
    t = heard(f);
    assert_true(str_has_prefix(t, "GET /y HTTP/1.1\r\n"));
    assert_true(str_has_suffix(t, "\r\n\r\n"));
    assert_null(strcasestr(t, "content-length: 9"));
}

static void refusal_keeps_status_and_body(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const struct script s = {
        .replies = {"HTTP/1.1 400 Bad Request\r\nContent-Length: 21\r\n\r\n"
                    "{\"fault_message\":\"no\"}",
                    "HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\noops!"},
        .n = 2};
    int status = 0;
    cJSON *reply = NULL;
    start(f, &s);
    /* One byte short: the body is cut where Content-Length says, and is no JSON then. */
    assert_int_equal(http_json(f->c, "PUT", "/x", NULL, &f->d, &status, &reply, &err), 0);
    assert_int_equal(status, 400);
    assert_null(reply);
}

static void fault_message_arrives(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const struct script s = {.replies = {"HTTP/1.1 400 Bad Request\r\nContent-Length: 22\r\n"
                                                "\r\n{\"fault_message\":\"no\"}"},
                                    .n = 1};
    int status = 0;
    _cleanup_json_ cJSON *reply = NULL;
    start(f, &s);
    assert_int_equal(http_json(f->c, "PUT", "/x", NULL, &f->d, &status, &reply, &err), 0);
    assert_int_equal(status, 400);
    assert_string_equal(json_opt_string(reply, "fault_message", ""), "no");
}

/* Runs one request against one reply and expects an error of this kind with this word. */
static void expect_error(struct fixture *f, const struct script *s, int64_t ms, enum err_kind kind,
                         const char *word)
{
    struct error err = ERROR_INIT;
    int status = 0;
    cJSON *reply = NULL;
    struct deadline d = deadline_in_ms(ms);
    start(f, s);
    assert_int_equal(http_json(f->c, "GET", "/vm", NULL, &d, &status, &reply, &err), -1);
    assert_null(reply);
    if (err.kind != kind || !strstr(err.msg, word) || !strstr(err.msg, "GET /vm"))
        fail_msg("kind %s: %s", error_kind_name(err.kind), err.msg);
}

static void garbage_is_an_error(void **state)
{
    static const struct script s = {.replies = {"what?\r\n\r\n"}, .n = 1, .close_after = true};
    expect_error(*state, &s, 5000, ERR_VMM, "HTTP/0.9");
}

static void garbage_json_is_an_error(void **state)
{
    static const struct script s = {
        .replies = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"a\":"}, .n = 1};
    expect_error(*state, &s, 5000, ERR_VMM, "not valid JSON");
}

static void half_a_reply_is_an_error(void **state)
{
    static const struct script s = {
        .replies = {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"a\":"},
        .n = 1,
        .close_after = true};
    expect_error(*state, &s, 5000, ERR_VMM, "");
}

static void hang_up_is_an_error(void **state)
{
    static const struct script s = {.replies = {SILENCE}, .n = 1, .close_after = true};
    expect_error(*state, &s, 5000, ERR_VMM, "");
}

static void silence_ends_at_the_deadline(void **state)
{
    static const struct script s = {.replies = {SILENCE}, .n = 1};
    expect_error(*state, &s, 150, ERR_TIMEOUT, "timed out after 150 ms");
}

static void half_a_head_ends_at_the_deadline(void **state)
{
    static const struct script s = {.replies = {"HTTP/1.1 200 OK\r\nContent-Le"}, .n = 1};
    expect_error(*state, &s, 150, ERR_TIMEOUT, "timed out");
}

static void huge_body_is_capped(void **state)
{
    static const struct script s = {
        .replies = {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"},
        .n = 1,
        .flood = 3 * 1024 * 1024};
    expect_error(*state, &s, 5000, ERR_VMM, "larger than");
}

static void endless_head_is_capped(void **state)
{
    static const struct script s = {
        .replies = {"HTTP/1.1 200 OK\r\nX: "}, .n = 1, .flood = 3 * 1024 * 1024};
    expect_error(*state, &s, 5000, ERR_VMM, "");
}

static void endless_trailer_is_capped(void **state)
{
    static const struct script s = {
        .replies = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"},
        .n = 1,
        .flood = 3 * 1024 * 1024,
        .line = "X: y\r\n"};
    expect_error(*state, &s, 5000, ERR_VMM, "larger than 65536");
}

static void cancel_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    static const struct script s = {.replies = {SILENCE}, .n = 1};
    struct error err = ERROR_INIT;
    int status = 0, p[2];
    start(f, &s);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    f->d.cancel_fd = p[0];
    assert_int_equal(http_json(f->c, "GET", "/vm", NULL, &f->d, &status, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    (void)close(p[0]);
    (void)close(p[1]);
}

static void absent_and_dead_sockets_differ(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    int status = 0;
    f->c = http_open(f->dirfd, NAME, &err);
    assert_non_null(f->c);
    assert_int_equal(http_json(f->c, "GET", "/", NULL, &f->d, &status, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
    assert_int_equal(err.sys, ENOENT);
    /* A socket that nobody listens on: what a dead process leaves. */
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)str_format(a.sun_path, sizeof a.sun_path, "%s/%s", f->dir, NAME);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    error_clear(&err);
    assert_int_equal(http_json(f->c, "GET", "/", NULL, &f->d, &status, NULL, &err), -1);
    assert_int_equal(err.sys, ECONNREFUSED);
}

/* A connection that the server closed between two requests is simply made again. */
static void reconnects_after_hang_up(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const struct script s = {
        .replies = {"HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 204 \r\n\r\n"}, .n = 2, .close_after = true};
    int status = 0;
    start(f, &s);
    for (int i = 0; i < 2; i++) {
        if (http_json(f->c, "PUT", "/x", NULL, &f->d, &status, NULL, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(status, 204);
    }
}

/* A proxy of the user's environment is for the outside, not for a socket of ours. */
static void proxy_variables_are_ignored(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    static const struct script s = {.replies = {"HTTP/1.1 204 \r\n\r\n"}, .n = 1};
    int status = 0;
    (void)setenv("http_proxy", "http://127.0.0.1:9", 1);
    (void)setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
    start(f, &s);
    int r = http_json(f->c, "GET", "/x", NULL, &f->d, &status, NULL, &err);
    (void)unsetenv("http_proxy");
    (void)unsetenv("ALL_PROXY");
    assert_int_equal(r, 0);
    assert_true(str_has_prefix(heard(f), "GET /x HTTP/1.1\r\n"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(mutation_answers_204),
        T(refusal_keeps_status_and_body),
        T(fault_message_arrives),
        T(garbage_is_an_error),
        T(garbage_json_is_an_error),
        T(half_a_reply_is_an_error),
        T(hang_up_is_an_error),
        T(silence_ends_at_the_deadline),
        T(half_a_head_ends_at_the_deadline),
        T(huge_body_is_capped),
        T(endless_head_is_capped),
        T(endless_trailer_is_capped),
        T(cancel_ends_the_wait),
        T(absent_and_dead_sockets_differ),
        T(reconnects_after_hang_up),
        T(proxy_variables_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
