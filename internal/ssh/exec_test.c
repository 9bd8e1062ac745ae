/* Commands and their streams, against a real dropbear and a real sshd. exec_fail_test.c has what
 * goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "testutil/sshpair.h"

enum { MIB = 1024 * 1024 };

static void test_streams_and_exit_codes(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    static const int codes[] = {0, 1, 2, 7, 126, 127, 128, 200, 254, 255};
    int fds = sshpair_fds();
    struct ssh_conn *c = sshserver_connect(s);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        _cleanup_(sshpair_said_free) struct sshpair_said r;
        char command[64];
        (void)snprintf(command, sizeof command, "echo out; echo err >&2; exit %d", codes[i]);
        sshpair_run(c, command, &r);
        assert_true(r.st.exited);
        assert_false(r.st.signalled);
        assert_int_equal(r.st.code, codes[i]);
        assert_string_equal(r.out.buf, "out\n");
        assert_string_equal(r.errout.buf, "err\n");
    }
    ssh_close(c);
    assert_int_equal(sshpair_fds(), fds);
}

static void test_every_exit_code(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    for (int code = 0; code < 256; code++) {
        _cleanup_(sshpair_said_free) struct sshpair_said r;
        char command[32];
        (void)snprintf(command, sizeof command, "exit %d", code);
        sshpair_run(c, command, &r);
        assert_true(r.st.exited);
        assert_int_equal(r.st.code, code);
        assert_int_equal(r.out.len, 0);
    }
}

static void test_signals(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    static const char *const names[] = {"KILL", "TERM", "SEGV", "INT", "ABRT"};
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_(sshpair_said_free) struct sshpair_said r;
        char command[64];
        (void)snprintf(command, sizeof command, "ulimit -c 0; kill -%s $$", names[i]);
        sshpair_run(c, command, &r);
        assert_true(r.st.signalled);
        assert_false(r.st.exited);
        assert_string_equal(r.st.signal, names[i]);
    }
}

static void test_capture_is_capped(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    _cleanup_(sshpair_said_free) struct sshpair_said r;
    sshpair_run(c, "head -c 3000000 /dev/zero", &r);
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
    struct ssh_conn *c = sshserver_connect(s);
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
    const struct sshserver *s = sshpair_of(state);
    long before = rss_kib();
    round_trip(s, 100 * MIB, 0);
    assert_grew_less(before, 24 * 1024);
}

static void test_slow_reader_bounds_memory(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    long before = rss_kib();
    round_trip(s, 24 * MIB, 500);
    assert_grew_less(before, 16 * 1024);
}

static void test_stdin_from_a_file_and_a_pipe(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct deadline d = deadline_in_ms(60000);
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
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct pattern p = {.x = 1, .left = 64 * MIB};
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    io.source = pattern_source;
    io.source_ctx = &p;
    assert_int_equal(ssh_exec(c, "exec 0<&-; exit 3", &io, &d, &st, &err), 0);
    assert_int_equal(st.code, 3);
    assert_true(p.left > 0);
    _cleanup_(sshpair_said_free) struct sshpair_said r;
    sshpair_run(c, "echo still usable", &r);
    assert_string_equal(r.out.buf, "still usable\n");
}

static void test_reader_that_went_away(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    CLOSE_FD(fds[0]);
    io.stdout_fd = fds[1];
    assert_int_equal(ssh_exec(c, "yes", &io, &d, &st, &err), -1);
    CLOSE_FD(fds[1]);
    assert_int_equal(err.kind, ERR_IO);
    assert_int_equal(err.sys, EPIPE);
}

/* The output stays open while anything has it, as long as that lasts; dropbear closes it. */
static void test_output_after_the_end(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    _cleanup_(sshpair_said_free) struct sshpair_said r;
    sshpair_run(c, "(sleep 1; echo late) & echo main; exit 3", &r);
    assert_int_equal(r.st.code, 3);
    assert_string_equal(r.out.buf, "main\nlate\n");
}

/* Something keeps it open and says nothing: the end is not waited for as long as a command is. */
static void test_silence_after_the_end(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(SSH_STALL_MS / 2);
    io.out = &out;
    io.out_max = 64;
    io.may_be_silent = true;
    if (ssh_exec(c, "sleep 4411 & echo $!; exit 3", &io, &d, &st, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(st.code, 3);
    uint64_t pid;
    out.buf[strcspn(out.buf, "\n")] = '\0';
    assert_int_equal(str_to_u64(out.buf, &pid), 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SSHPAIR_BOTH(test_streams_and_exit_codes),
        SSHPAIR_BOTH(test_every_exit_code),
        SSHPAIR_BOTH(test_signals),
        SSHPAIR_BOTH(test_capture_is_capped),
        SSHPAIR_BOTH(test_100_mib_both_ways),
        SSHPAIR_BOTH(test_slow_reader_bounds_memory),
        SSHPAIR_BOTH(test_stdin_from_a_file_and_a_pipe),
        SSHPAIR_BOTH(test_command_ignores_its_input),
        SSHPAIR_BOTH(test_reader_that_went_away),
        {"test_output_after_the_end (openssh)", test_output_after_the_end, NULL, NULL,
         &sshpair_openssh},
        {"test_silence_after_the_end (openssh)", test_silence_after_the_end, NULL, NULL,
         &sshpair_openssh},
    };
    return cmocka_run_group_tests(tests, sshpair_open, sshpair_close);
}
