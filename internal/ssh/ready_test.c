/* Servers that are late, silent, rude or dying, and how soon we notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "ssh/ssh.h"
#include "testutil/sandbox.h"
#include "testutil/sshserver.h"

enum { PORT = 2301, FAKE_PORT = 2302 };

static struct sshserver server;
static bool entered;

static int group_setup(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    entered = sandbox_enter_or_skip();
    if (entered && sshserver_prepare(&server, &err) < 0) {
        (void)fprintf(stderr, "setup: %s\n", err.msg);
        return -1;
    }
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    return entered ? sandbox_children_left(5000) : 0;
}

static void need_sandbox(void)
{
    if (!entered)
        skip();
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static struct ssh_target target_on(uint16_t port)
{
    struct ssh_target t = sshserver_target(&server);
    t.port = port;
    return t;
}

/* A child that says `text` to everyone who connects and hangs up after `linger_ms`. */
static pid_t start_talker(const char *text, size_t len, int linger_ms)
{
    int listener = listen_on(FAKE_PORT);
    pid_t pid = fork();
    if (pid) {
        (void)close(listener);
        return pid;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (len && write(fd, text, len) < 0)
            _exit(1);
        (void)poll(NULL, 0, linger_ms);
        (void)close(fd);
    }
}

static void stop_child(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Waits for readiness of something that never is, and returns how long that took. */
static int64_t never_ready(const struct ssh_wait *w, const struct deadline *d, struct error *err)
{
    struct ssh_target t = target_on(FAKE_PORT);
    struct ssh_conn *c = NULL;
    int64_t start = clock_boot_ms();
    assert_int_equal(ssh_wait_ready(&t, w, d, &c, NULL, err), -1);
    assert_null(c);
    return clock_boot_ms() - start;
}

static void test_silent_server_ends_at_the_deadline(void **state)
{
    (void)state;
    need_sandbox();
    _cleanup_close_ int listener = listen_on(FAKE_PORT); /* connects, nobody accepts */
    struct deadline d = deadline_in_ms(300);
    struct error err = ERROR_INIT;
    int64_t took = never_ready(NULL, &d, &err);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(err.msg, "banner"));
    assert_in_range(took, 290, 800);
    error_clear(&err);
    struct ssh_target t = target_on(FAKE_PORT);
    struct ssh_conn *c = NULL;
    d = deadline_in_ms(100);
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
}

static void test_refused_until_the_deadline(void **state)
{
    (void)state;
    need_sandbox();
    struct deadline d = deadline_in_ms(200);
    struct error err = ERROR_INIT;
    int64_t took = never_ready(NULL, &d, &err);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(err.msg, "refused"));
    assert_in_range(took, 190, 700);
}

/* A guest that sends frames all the time and answers nothing. */
static void test_frames_without_end_stretch_no_deadline(void **state)
{
    (void)state;
    need_sandbox();
    _cleanup_close_ int frames = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    struct ssh_wait w = {.guest_fd = frames, .gone_fd = -1};
    struct deadline d = deadline_in_ms(200);
    struct error err = ERROR_INIT;
    (void)never_ready(&w, &d, &err);
    assert_int_equal(err.kind, ERR_TIMEOUT);
}

static void test_no_frame_at_all_says_so(void **state)
{
    (void)state;
    need_sandbox();
    _cleanup_close_ int guest = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct ssh_wait w = {.guest_fd = guest, .gone_fd = -1};
    struct deadline d = deadline_in_ms(150);
    struct error err = ERROR_INIT;
    (void)never_ready(&w, &d, &err);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(err.msg, "no network frame"));
}

static void test_cancel_ends_the_wait(void **state)
{
    (void)state;
    need_sandbox();
    _cleanup_close_ int cancel = eventfd(1, EFD_CLOEXEC);
    struct deadline d = deadline_in_ms(10000);
    struct error err = ERROR_INIT;
    d.cancel_fd = cancel;
    assert_true(never_ready(NULL, &d, &err) < 1000);
    assert_int_equal(err.kind, ERR_CANCELLED);
}

/* The VMM dies in each phase: before TCP, and with a connection that says nothing. */
static void test_dying_vmm_ends_the_wait(void **state)
{
    (void)state;
    need_sandbox();
    for (int connected = 0; connected < 2; connected++) {
        _cleanup_close_ int listener = connected ? listen_on(FAKE_PORT) : -1;
        int vmm[2];
        struct deadline d = deadline_in_ms(10000);
        struct error err = ERROR_INIT;
        assert_int_equal(pipe2(vmm, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)poll(NULL, 0, 100);
            _exit(write(vmm[1], "x", 1) == 1 ? 0 : 1);
        }
        struct ssh_wait w = {.guest_fd = -1, .gone_fd = vmm[0]};
        int64_t took = never_ready(&w, &d, &err);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        CLOSE_FD(vmm[0]);
        CLOSE_FD(vmm[1]);
        assert_int_equal(err.kind, ERR_VMM);
        assert_in_range(took, 90, 1500);
    }
}

static void test_rude_servers(void **state)
{
    (void)state;
    need_sandbox();
    static char flood[300000];
    memset(flood, 'x', sizeof flood);
#define TEXT(s) s, sizeof s - 1
    const struct {
        const char *text;
        size_t len;
        int linger_ms;
    } cases[] = {
        {"", 0, 0},                                           /* hangs up at once */
        {TEXT("SSH-2.0-x\r\n"), 0},                           /* hangs up after the banner */
        {TEXT("SSH-2.0-x\r\n"), 2000},                        /* silent after the banner */
        {TEXT("HTTP/1.0 400 \033[31mno\r\n\r\n"), 0},         /* something else */
        {TEXT("SSH-1.0-old\r\n"), 0},                         /* another protocol */
        {TEXT("SSH-2.0-x\r\n\0\0\0\0\0\0\0\0\0\0\0"), 0},     /* broken packets */
        {TEXT("SSH-2.0-x\r\n\177\377\377\377garbage"), 2000}, /* an absurd length */
        {flood, sizeof flood, 0},                             /* no line end */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        pid_t pid = start_talker(cases[i].text, cases[i].len, cases[i].linger_ms);
        struct deadline d = deadline_in_ms(400);
        struct error err = ERROR_INIT;
        int64_t took = never_ready(NULL, &d, &err);
        stop_child(pid);
        assert_true(err.kind == ERR_SSH || err.kind == ERR_TIMEOUT);
        assert_true(took < 1500);
        for (const char *p = err.msg; *p; p++)
            assert_in_range((unsigned char)*p, 0x20, 0x7e);
    }
}

/* Nothing listens at first; the guest's first frame comes with the server's start. */
static void late_server(bool watched)
{
    _cleanup_close_ int guest = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct ssh_wait w = {.guest_fd = watched ? guest : -1, .gone_fd = -1};
    struct deadline d = deadline_in_ms(60000);
    struct ssh_target t = target_on(PORT);
    struct ssh_ready_times times;
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t one = 1;
        struct child none = CHILD_INIT;
        server.child = none;
        (void)poll(NULL, 0, 200);
        if (sshserver_start(&server, true, PORT, &err) < 0)
            _exit(1);
        if (write(guest, &one, sizeof one) != sizeof one)
            _exit(1);
        (void)poll(NULL, 0, 1500);
        sshserver_stop(&server);
        _exit(0);
    }
    int64_t start = clock_boot_us();
    int rc = ssh_wait_ready(&t, &w, &d, &c, &times, &err);
    int64_t took_ms = (clock_boot_us() - start) / 1000;
    ssh_close(c);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if (rc < 0)
        fail_msg("%s", err.msg);
    assert_true(took_ms >= 200); /* no sooner than it began to listen */
    assert_true(start <= times.tcp_us && times.tcp_us <= times.banner_us &&
                times.banner_us <= times.auth_us);
    assert_true(watched == (times.first_frame_us != 0));
}

static void test_late_server_with_guest_events(void **state)
{
    (void)state;
    need_sandbox();
    late_server(true);
}

static void test_late_server_without_guest_events(void **state)
{
    (void)state;
    need_sandbox();
    late_server(false);
}

/* A silent address: the SYN is lost, and the guest's frame makes us send a new one at once
 * instead of after the kernel's first second. */
static void test_lost_syn_is_retried_on_a_frame(void **state)
{
    (void)state;
    need_sandbox();
    /* A full backlog drops SYNs, as a guest that is not there would. */
    _cleanup_close_ int listener = listen_on(FAKE_PORT);
    assert_int_equal(listen(listener, 0), 0);
    int filler[4] = {-1, -1, -1, -1};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(FAKE_PORT),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (const struct sockaddr *)&a, sizeof a);
    }
    (void)poll(NULL, 0, 20);
    _cleanup_close_ int guest = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    struct ssh_wait w = {.guest_fd = guest, .gone_fd = -1};
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t one = 1;
        (void)poll(NULL, 0, 150);
        for (struct pollfd p = {.fd = listener, .events = POLLIN}; poll(&p, 1, 0) > 0;)
            (void)close(accept(listener, NULL, NULL));
        if (write(guest, &one, sizeof one) != sizeof one)
            _exit(1);
        int fd;
        do {
            fd = accept(listener, NULL, NULL);
        } while (write(fd, "SSH-1.0-x\r\n", 11) != 11);
        (void)poll(NULL, 0, 2000);
        _exit(0);
    }
    struct deadline d = deadline_in_ms(900); /* less than the kernel's first repetition */
    struct ssh_target t = target_on(FAKE_PORT);
    struct ssh_ready_times times;
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    int64_t start = clock_boot_us();
    assert_int_equal(ssh_wait_ready(&t, &w, &d, &c, &times, &err), -1);
    stop_child(pid);
    for (size_t i = 0; i < ARRAY_LEN(filler); i++)
        CLOSE_FD(filler[i]);
    assert_true(times.tcp_us > start);
    assert_true(times.tcp_us - start < 800000);
}

/* ---- what is dialled ---- */

/* A machine that no address leads to: its first `refusals` calls fail as `how` says. */
struct line {
    int refusals;
    struct error how;
    int calls;
    struct child server;
};

static int call(const void *ctx, const struct deadline *d, struct error *err)
{
    union {
        const void *in;
        struct line *out;
    } u = {.in = ctx};
    struct line *l = u.out;
    int pair[2];
    (void)d;
    if (l->calls++ < l->refusals) {
        *err = l->how;
        return -1;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, 0), 0);
    assert_int_equal(sshserver_serve(pair[1], &l->server, err), 0);
    (void)close(pair[1]);
    return pair[0];
}

static struct line line_that_says(int refusals, enum err_kind kind, int code)
{
    struct line l = {.refusals = refusals, .how = ERROR_INIT, .server = CHILD_INIT};
    (void)error_set(&l.how, kind, code, "the line is down");
    return l;
}

static struct ssh_target target_by(const struct line *l)
{
    struct ssh_target t = target_on(0);
    t.host = "machine 7";
    t.dial = call;
    t.dial_ctx = l;
    return t;
}

static void says_hello(struct ssh_conn *c)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    struct deadline d = deadline_in_ms(20000);
    struct ssh_status st;
    struct error err = ERROR_INIT;
    io.out = &out;
    io.out_max = 100;
    ssh_watch(c, -1, SSH_STALL_MS);
    if (ssh_exec(c, "echo hello", &io, &d, &st, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(out.buf, "hello\n");
}

static void test_dialled_until_it_answers(void **state)
{
    (void)state;
    need_sandbox();
    static const int codes[] = {ECONNREFUSED, EHOSTUNREACH, 0};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct line l = line_that_says(3, ERR_SSH, codes[i]);
        struct ssh_target t = target_by(&l);
        struct deadline d = deadline_in_ms(20000);
        struct ssh_conn *c = NULL;
        struct error err = ERROR_INIT;
        if (ssh_wait_ready(&t, NULL, &d, &c, NULL, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(l.calls, 4);
        says_hello(c);
        ssh_close(c);
        child_kill(&l.server);
    }
}

static void test_dialled_once(void **state)
{
    (void)state;
    need_sandbox();
    struct line l = line_that_says(1, ERR_SSH, ECONNREFUSED);
    struct ssh_target t = target_by(&l);
    struct deadline d = deadline_in_ms(20000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    error_clear(&err);
    if (ssh_connect_to(&t, &d, &c, &err) < 0)
        fail_msg("%s", err.msg);
    says_hello(c);
    ssh_close(c);
    child_kill(&l.server);
}

/* What no other attempt would change is told at once; what it says of a line that stays down is
 * told at the end; and nobody is called any more once the machine is gone. */
static void test_never_dialled(void **state)
{
    (void)state;
    need_sandbox();
    static const enum err_kind final[] = {ERR_CONFIG, ERR_CANCELLED, ERR_VMM};
    _cleanup_close_ int gone = eventfd(1, EFD_CLOEXEC);
    struct ssh_wait w = {.guest_fd = -1, .gone_fd = gone};
    struct ssh_conn *c = NULL;
    for (size_t i = 0; i < ARRAY_LEN(final); i++) {
        struct line l = line_that_says(1, final[i], 0);
        struct ssh_target t = target_by(&l);
        struct deadline d = deadline_in_ms(20000);
        struct error err = ERROR_INIT;
        assert_int_equal(ssh_wait_ready(&t, NULL, &d, &c, NULL, &err), -1);
        assert_int_equal(err.kind, final[i]);
        assert_int_equal(l.calls, 1);
    }
    struct line down = line_that_says(1000000, ERR_SSH, EHOSTUNREACH);
    struct ssh_target t = target_by(&down);
    struct deadline d = deadline_in_ms(200);
    struct error err = ERROR_INIT;
    assert_int_equal(ssh_wait_ready(&t, NULL, &d, &c, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(err.msg, "(the line is down: No route to host)"));
    error_clear(&err);
    d = deadline_in_ms(20000);
    assert_int_equal(ssh_wait_ready(&t, &w, &d, &c, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_server_ends_at_the_deadline),
        cmocka_unit_test(test_refused_until_the_deadline),
        cmocka_unit_test(test_frames_without_end_stretch_no_deadline),
        cmocka_unit_test(test_no_frame_at_all_says_so),
        cmocka_unit_test(test_cancel_ends_the_wait),
        cmocka_unit_test(test_dying_vmm_ends_the_wait),
        cmocka_unit_test(test_rude_servers),
        cmocka_unit_test(test_late_server_with_guest_events),
        cmocka_unit_test(test_late_server_without_guest_events),
        cmocka_unit_test(test_lost_syn_is_retried_on_a_frame),
        cmocka_unit_test(test_dialled_until_it_answers),
        cmocka_unit_test(test_dialled_once),
        cmocka_unit_test(test_never_dialled),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
