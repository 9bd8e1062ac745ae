/* Against a real dropbear and a real sshd, in a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "ssh/ssh.h"
#include "testutil/sandbox.h"
#include "testutil/sshserver.h"

enum { DROPBEAR_PORT = 2201, SSHD_PORT = 2202, MIB = 1024 * 1024 };

static struct sshserver dropbear_server;
static struct sshserver openssh_server;
static bool entered;

static int group_setup(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    entered = sandbox_enter_or_skip();
    if (!entered)
        return 0;
    if (sshserver_prepare(&dropbear_server, &err) < 0)
        goto fail;
    openssh_server = dropbear_server;
    if (sshserver_start(&dropbear_server, true, DROPBEAR_PORT, &err) < 0 ||
        sshserver_start(&openssh_server, false, SSHD_PORT, &err) < 0)
        goto fail;
    return 0;
fail:
    (void)fprintf(stderr, "setup: %s\n", err.msg);
    return -1;
}

static int group_teardown(void **state)
{
    (void)state;
    if (!entered)
        return 0;
    sshserver_stop(&dropbear_server);
    sshserver_stop(&openssh_server);
    return sandbox_children_left(5000);
}

/* Each test runs against both servers; *state says which. */
static const struct sshserver *server_of(void **state)
{
    if (!entered)
        skip();
    return *state;
}

static int open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static struct ssh_conn *connect_or_fail(const struct sshserver *s)
{
    struct ssh_target t = sshserver_target(s);
    struct deadline d = deadline_in_ms(10000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    if (ssh_connect_to(&t, &d, &c, &err) < 0)
        fail_msg("connect: %s", err.msg);
    return c;
}

struct result {
    struct ssh_status st;
    struct strbuf out, errout;
};

static void run(struct ssh_conn *c, const char *command, struct result *r)
{
    struct ssh_io io = SSH_IO_INIT;
    struct deadline d = deadline_in_ms(30000);
    struct error err = ERROR_INIT;
    *r = (struct result){{0}, STRBUF_INIT, STRBUF_INIT};
    io.out = &r->out;
    io.errout = &r->errout;
    io.out_max = MIB;
    if (ssh_exec(c, command, &io, &d, &r->st, &err) < 0)
        fail_msg("%s: %s", command, err.msg);
}

static void result_free(struct result *r)
{
    strbuf_free(&r->out);
    strbuf_free(&r->errout);
}

static void test_streams_and_exit_codes(void **state)
{
    const struct sshserver *s = server_of(state);
    static const int codes[] = {0, 1, 2, 7, 126, 127, 128, 200, 254, 255};
    int fds = open_fds();
    struct ssh_conn *c = connect_or_fail(s);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        _cleanup_(result_free) struct result r;
        char command[64];
        (void)snprintf(command, sizeof command, "echo out; echo err >&2; exit %d", codes[i]);
        run(c, command, &r);
        assert_true(r.st.exited);
        assert_false(r.st.signalled);
        assert_int_equal(r.st.code, codes[i]);
        assert_string_equal(r.out.buf, "out\n");
        assert_string_equal(r.errout.buf, "err\n");
    }
    ssh_close(c);
    assert_int_equal(open_fds(), fds);
}

static void test_every_exit_code(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    for (int code = 0; code < 256; code++) {
        _cleanup_(result_free) struct result r;
        char command[32];
        (void)snprintf(command, sizeof command, "exit %d", code);
        run(c, command, &r);
        assert_true(r.st.exited);
        assert_int_equal(r.st.code, code);
        assert_int_equal(r.out.len, 0);
    }
}

static void test_signals(void **state)
{
    const struct sshserver *s = server_of(state);
    static const char *const names[] = {"KILL", "TERM", "SEGV", "INT", "ABRT"};
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_(result_free) struct result r;
        char command[64];
        (void)snprintf(command, sizeof command, "ulimit -c 0; kill -%s $$", names[i]);
        run(c, command, &r);
        assert_true(r.st.signalled);
        assert_false(r.st.exited);
        assert_string_equal(r.st.signal, names[i]);
    }
}

static void test_capture_is_capped(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    _cleanup_(result_free) struct result r;
    run(c, "head -c 3000000 /dev/zero", &r);
    assert_int_equal(r.out.len, MIB);
    assert_int_equal(r.st.code, 0);
}

/* A stream that never repeats within its length and costs nothing to make. */
struct pattern {
    uint64_t x;
    size_t left;
    uint64_t sum;
};

static void pattern_fill(struct pattern *p, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p->left % 8 == 0)
            p->x = p->x * 6364136223846793005ULL + 1442695040888963407ULL;
        buf[i] = (uint8_t)(p->x >> (8 * (p->left % 8)));
        p->sum = (p->sum ^ buf[i]) * 0x100000001b3ULL;
        p->left--;
    }
}

static ssize_t pattern_source(void *ctx, void *buf, size_t size, struct error *err)
{
    (void)err;
    struct pattern *p = ctx;
    size_t n = p->left < size ? p->left : size;
    pattern_fill(p, buf, n);
    return (ssize_t)n;
}

/* Reads a pipe to its end in a child process; the result comes back as its checksum. */
static pid_t start_reader(const int data[2], int result_fd, int pause_us)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    int fd = data[0];
    (void)close(data[1]);
    uint64_t sum = 0;
    size_t total = 0;
    static uint8_t buf[65536];
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) {
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ buf[i]) * 0x100000001b3ULL;
        total += (size_t)n;
        if (pause_us)
            (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, pause_us * 1000L},
                                  NULL);
    }
    _exit(write(result_fd, &sum, sizeof sum) == sizeof sum &&
                  write(result_fd, &total, sizeof total) == sizeof total
              ? 0
              : 1);
}

static long rss_kib(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* The sanitizers keep freed memory: there the bounds are not looked at. */
static void assert_grew_less(long before_kib, long limit_kib)
{
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(rss_kib(), before_kib, before_kib + limit_kib);
#else
    (void)before_kib;
    (void)limit_kib;
#endif
}

/* `size` bytes to the guest's cat and back, through a pipe whose reader may be slow. */
static void round_trip(const struct sshserver *s, size_t size, int pause_us)
{
    struct pattern p = {.x = 42, .left = size};
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(120000);
    int data[2];
    int result[2];
    uint64_t sum = 0;
    size_t total = 0;
    int status = -1;
    assert_int_equal(pipe2(data, O_CLOEXEC), 0);
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t reader = start_reader(data, result[1], pause_us);
    CLOSE_FD(data[0]);
    struct ssh_conn *c = connect_or_fail(s);
    io.source = pattern_source;
    io.source_ctx = &p;
    io.stdout_fd = data[1];
    int rc = ssh_exec(c, "cat", &io, &d, &st, &err);
    ssh_close(c);
    CLOSE_FD(data[1]);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    if (rc < 0)
        fail_msg("cat: %s", err.msg);
    assert_int_equal(status, 0);
    assert_int_equal(read(result[0], &sum, sizeof sum), sizeof sum);
    assert_int_equal(read(result[0], &total, sizeof total), sizeof total);
    CLOSE_FD(result[0]);
    CLOSE_FD(result[1]);
    assert_int_equal(st.code, 0);
    assert_int_equal(total, size);
    assert_true(sum == p.sum);
}

static void test_100_mib_both_ways(void **state)
{
    const struct sshserver *s = server_of(state);
    long before = rss_kib();
    round_trip(s, 100 * MIB, 0);
    assert_grew_less(before, 24 * 1024);
}

static void test_slow_reader_bounds_memory(void **state)
{
    const struct sshserver *s = server_of(state);
    long before = rss_kib();
    round_trip(s, 24 * MIB, 500);
    assert_grew_less(before, 16 * 1024);
}

static void test_stdin_from_a_file_and_a_pipe(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct deadline d = deadline_in_ms(10000);
    for (int from_pipe = 0; from_pipe < 2; from_pipe++) {
        struct ssh_io io = SSH_IO_INIT;
        struct ssh_status st;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        int fds[2] = {-1, -1};
        if (from_pipe)
            assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        else
            fds[0] = fds[1] = memfd_create("input", MFD_CLOEXEC);
        assert_int_equal(write(fds[1], "line\n\0x", 7), 7);
        if (from_pipe)
            CLOSE_FD(fds[1]);
        else
            (void)lseek(fds[0], 0, SEEK_SET);
        io.stdin_fd = fds[0];
        io.out = &out;
        io.out_max = 100;
        assert_int_equal(ssh_exec(c, "cat", &io, &d, &st, &err), 0);
        CLOSE_FD(fds[0]);
        assert_int_equal(out.len, 7);
        assert_memory_equal(out.buf, "line\n\0x", 7);
    }
}

/* A command that never reads its input ends all the same, though we have more to give. */
static void test_command_ignores_its_input(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct pattern p = {.x = 1, .left = 64 * MIB};
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(20000);
    io.source = pattern_source;
    io.source_ctx = &p;
    assert_int_equal(ssh_exec(c, "exec 0<&-; exit 3", &io, &d, &st, &err), 0);
    assert_int_equal(st.code, 3);
    assert_true(p.left > 0);
    _cleanup_(result_free) struct result r;
    run(c, "echo still usable", &r);
    assert_string_equal(r.out.buf, "still usable\n");
}

static void test_reader_that_went_away(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(20000);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    CLOSE_FD(fds[0]);
    io.stdout_fd = fds[1];
    assert_int_equal(ssh_exec(c, "yes", &io, &d, &st, &err), -1);
    CLOSE_FD(fds[1]);
    assert_int_equal(err.kind, ERR_IO);
    assert_int_equal(err.sys, EPIPE);
}

static void test_deadline_holds_under_a_flood(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(300);
    int64_t start = clock_boot_ms();
    assert_int_equal(ssh_exec(c, "yes", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_true(clock_boot_ms() - start < 2000);
    error_clear(&err);
    d = deadline_in_ms(200);
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
}

static void test_cancel_and_dying_vmm(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(10000);
    _cleanup_close_ int event = eventfd(1, EFD_CLOEXEC);
    d.cancel_fd = event;
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    error_clear(&err);
    d.cancel_fd = -1;
    io.vmm_fd = event;
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
}

/* Who interrupts a run takes its command along, also where the lease lives on. */
static void test_abort_signal_reaches_the_command(void **state)
{
    const struct sshserver *s = server_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = connect_or_fail(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(300);
    (void)unlink("/run/got-term");
    io.abort_signal = "TERM";
    assert_int_equal(
        ssh_exec(c, "trap 'echo > /run/got-term; exit' TERM; sleep 1 & wait", &io, &d, &st, &err),
        -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    for (int i = 0; i < 400 && access("/run/got-term", F_OK) < 0; i++)
        (void)poll(NULL, 0, 5);
    assert_int_equal(access("/run/got-term", F_OK), 0);
}

/* The server's process for this connection is killed by the command itself. */
static void test_connection_dies_during_a_command(void **state)
{
    const struct sshserver *s = server_of(state);
    int fds = open_fds();
    struct ssh_conn *c = connect_or_fail(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(10000);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    io.out = &out;
    io.out_max = 100;
    assert_int_equal(
        ssh_exec(c, "echo begun; sleep 0.2; kill -9 $PPID; sleep 0.2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_string_equal(out.buf, "begun\n");
    assert_false(st.exited || st.signalled);
    ssh_close(c);
    assert_int_equal(open_fds(), fds);
}

static void refused_host_key(struct ssh_target t, const char *pinned)
{
    struct deadline d = deadline_in_ms(10000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    t.host_key = pinned;
    /* The key file must not even be read before the guest is known: it does not exist. */
    t.key_file = "/run/no-such-key";
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_null(c);
    assert_int_equal(err.kind, ERR_HOSTKEY);
}

static void test_wrong_host_key(void **state)
{
    const struct sshserver *s = server_of(state);
    char other[SSH_PUBKEY_SIZE];
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    int fds = open_fds();
    assert_int_equal(ssh_key_generate(&pem, other, NULL), 0);
    refused_host_key(sshserver_target(s), other);
    refused_host_key(sshserver_target(s), "ssh-ed25519 AAAA");
    refused_host_key(sshserver_target(s), "");
    assert_int_equal(open_fds(), fds);
}

static void test_wrong_client_key(void **state)
{
    const struct sshserver *s = server_of(state);
    struct ssh_target t = sshserver_target(s);
    struct deadline d = deadline_in_ms(10000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    int fds = open_fds();
    t.key_file = s->stranger_key;
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_non_null(strstr(err.msg, "refused the lease's key"));
    error_clear(&err);
    int64_t start = clock_boot_ms();
    assert_int_equal(ssh_wait_ready(&t, NULL, &d, &c, NULL, &err), -1);
    assert_non_null(strstr(err.msg, "refused the lease's key"));
    assert_true(clock_boot_ms() - start < 5000);
    assert_int_equal(open_fds(), fds);
}

#define BOTH(test)                                                                                 \
    {#test " (dropbear)", test, NULL, NULL, &dropbear_server},                                     \
    {                                                                                              \
#test " (sshd)", test, NULL, NULL, &openssh_server                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_streams_and_exit_codes),
        BOTH(test_every_exit_code),
        BOTH(test_signals),
        BOTH(test_capture_is_capped),
        BOTH(test_100_mib_both_ways),
        BOTH(test_slow_reader_bounds_memory),
        BOTH(test_stdin_from_a_file_and_a_pipe),
        BOTH(test_command_ignores_its_input),
        BOTH(test_reader_that_went_away),
        BOTH(test_deadline_holds_under_a_flood),
        BOTH(test_cancel_and_dying_vmm),
        /* sshd forwards no signals where the user is root: dropbear only. */
        {"test_abort_signal_reaches_the_command (dropbear)", test_abort_signal_reaches_the_command,
         NULL, NULL, &dropbear_server},
        BOTH(test_connection_dies_during_a_command),
        BOTH(test_wrong_host_key),
        BOTH(test_wrong_client_key),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
