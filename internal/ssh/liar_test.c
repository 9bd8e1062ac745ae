/* Commands in guests that lie or hang: an SSH server that does as a test says, on libssh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "ssh/ssh.h"
#include "sys/file.h"
#include "testutil/oddserver.h"

enum { PORT = 2211, LARGE = 300000, STALL_MS = 400 };

enum lie {
    HONEST,
    HANG_OPEN, /* no answer to the request for a channel */
    HANG_EXEC, /* nor to that for a command */
    SILENT,
    NO_STATUS,
    CUT,        /* the connection ends in the middle */
    EARLY_EOF,  /* the end of the output, then nothing */
    NEVER_ENDS, /* a status, but the channel stays open */
    STATUS_FIRST,
    STATUS_THEN_SIGNAL,
    SIGNAL_THEN_STATUS,
    TWO_STATUSES,
    CODE_256,
    CODE_HUGE,
    ODD_SIGNAL,
    DRIBBLE, /* slow, but it goes on */
    FLOOD,
    CLOSE_EARLY, /* before it has read its input */
};

/* ---- the server ---- */

static void say(ssh_channel ch, const char *text)
{
    (void)ssh_channel_write(ch, text, (uint32_t)strlen(text));
}

static void say_much(ssh_channel ch)
{
    static char text[LARGE];
    memset(text, 'x', sizeof text);
    (void)ssh_channel_write(ch, text, sizeof text);
}

static void send_signal(ssh_channel ch, const char *name)
{
    (void)ssh_channel_request_send_exit_signal(ch, name, 0, "", "");
}

static void send_status(ssh_channel ch, int code)
{
    (void)ssh_channel_request_send_exit_status(ch, code);
}

static void dribble(ssh_channel ch)
{
    for (int i = 0; i < 10; i++) {
        say(ch, ".");
        (void)poll(NULL, 0, STALL_MS / 4);
    }
    send_status(ch, 0);
}

static void lie_about(ssh_channel ch, enum lie lie)
{
    switch (lie) {
    case SILENT:
        oddserver_hang();
    case CUT:
        say(ch, "half");
        _exit(0);
    case NO_STATUS:
        say(ch, "out");
        break;
    case EARLY_EOF:
        (void)ssh_channel_send_eof(ch);
        (void)ssh_blocking_flush(ssh_channel_get_session(ch), 1000);
        oddserver_hang();
    case NEVER_ENDS:
        say(ch, "out");
        send_status(ch, 4);
        (void)ssh_blocking_flush(ssh_channel_get_session(ch), 1000);
        oddserver_hang();
    case STATUS_FIRST:
        send_status(ch, 3);
        say_much(ch);
        break;
    case STATUS_THEN_SIGNAL:
        send_status(ch, 0);
        send_signal(ch, "KILL");
        break;
    case SIGNAL_THEN_STATUS:
        send_signal(ch, "KILL");
        send_status(ch, 0);
        break;
    case TWO_STATUSES:
        send_status(ch, 1);
        send_status(ch, 0);
        break;
    case CODE_256:
        send_status(ch, 256);
        break;
    case CODE_HUGE:
        send_status(ch, (int)0x80000000u);
        break;
    case ODD_SIGNAL:
        send_signal(ch, "\033[2J");
        break;
    case DRIBBLE:
        dribble(ch);
        break;
    case FLOOD:
        for (;;)
            say_much(ch);
    default:
        send_status(ch, 0);
        break;
    }
    (void)ssh_channel_send_eof(ch);
    (void)ssh_channel_close(ch);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* the callbacks are no shorter */
static ssh_channel open_channel(ssh_session s, ssh_message m, int lie)
{
    (void)s;
    if (lie == HANG_OPEN)
        oddserver_hang();
    return ssh_message_channel_request_open_reply_accept(m);
}

static void start_command(ssh_session s, ssh_message m, ssh_channel ch, int lie)
{
    (void)s;
    if (lie == HANG_EXEC)
        oddserver_hang();
    (void)ssh_message_channel_request_reply_success(m);
    lie_about(ch, (enum lie)lie);
}

#pragma GCC diagnostic pop

static const struct oddserver server = {
    .port = PORT, .on_open = open_channel, .on_command = start_command};

/* ---- the tests ---- */

/* One command in a guest of this kind. */
struct attempt {
    int rc;
    struct ssh_status st;
    struct error err;
    struct strbuf out;
};

static void attempt_free(struct attempt *a)
{
    strbuf_free(&a->out);
}

static struct ssh_conn *connect_here(void)
{
    struct error err = ERROR_INIT;
    struct ssh_conn *c = NULL;
    if (oddserver_connect(&server, 10000, &c, &err) < 0)
        fail_msg("connect: %s", err.msg);
    return c;
}

static ssize_t zeros(void *ctx, void *buf, size_t size, struct error *err)
{
    (void)ctx;
    (void)err;
    memset(buf, 0, size);
    return (ssize_t)size;
}

/* `io` may be NULL; its output is captured. */
static struct attempt run(enum lie lie, const struct ssh_io *io)
{
    struct attempt a = {.err = ERROR_INIT, .out = STRBUF_INIT};
    struct ssh_io mine = SSH_IO_INIT;
    struct deadline d = deadline_in_ms(60000);
    pid_t pid = oddserver_start(&server, lie);
    struct ssh_conn *c = connect_here();
    if (io)
        mine = *io;
    mine.out = &a.out;
    mine.out_max = LARGE;
    ssh_watch(c, -1, STALL_MS);
    a.rc = ssh_exec(c, "command", &mine, &d, &a.st, &a.err);
    ssh_close(c);
    oddserver_stop(pid);
    return a;
}

static void test_hangs(void **state)
{
    (void)state;
    static const struct {
        enum lie lie;
        const char *says;
    } cases[] = {
        {HANG_OPEN, "hangs: it does not start a command for 400 ms"},
        {HANG_EXEC, "hangs: it does not start a command for 400 ms"},
        {SILENT, "hangs: nothing came from it and it took nothing for 400 ms"},
        {EARLY_EOF, "hangs: nothing came from it and it took nothing for 400 ms"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(attempt_free) struct attempt a = run(cases[i].lie, NULL);
        assert_int_equal(a.rc, -1);
        assert_int_equal(a.err.kind, ERR_TIMEOUT);
        if (!strstr(a.err.msg, cases[i].says))
            fail_msg("case %zu: %s", i, a.err.msg);
    }
    /* It takes input for a while, then no more. */
    struct ssh_io io = SSH_IO_INIT;
    io.source = zeros;
    _cleanup_(attempt_free) struct attempt a = run(SILENT, &io);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
}

/* A command of the user's may say nothing as long as it likes; that its guest never starts it, or
 * never closes what it ended, is another matter. */
static void test_hangs_of_a_silent_command(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    io.may_be_silent = true;
    _cleanup_(attempt_free) struct attempt start = run(HANG_EXEC, &io);
    assert_int_equal(start.rc, -1);
    assert_int_equal(start.err.kind, ERR_TIMEOUT);
    log_set_level(LOG_QUIET);
    _cleanup_(attempt_free) struct attempt end = run(NEVER_ENDS, &io);
    log_set_level(LOG_INFO);
    assert_int_equal(end.rc, 0);
    assert_true(end.st.exited);
    assert_int_equal(end.st.code, 4);
    assert_string_equal(end.out.buf, "out");
}

static void test_slow_is_no_hang(void **state)
{
    (void)state;
    _cleanup_(attempt_free) struct attempt a = run(DRIBBLE, NULL);
    if (a.rc < 0)
        fail_msg("%s", a.err.msg);
    assert_string_equal(a.out.buf, "..........");
}

/* A flood moves, but it is no end either: the deadline holds. */
static void test_flood(void **state)
{
    (void)state;
    _cleanup_(attempt_free) struct attempt a = {.err = ERROR_INIT};
    struct ssh_io io = SSH_IO_INIT;
    pid_t pid = oddserver_start(&server, FLOOD);
    struct ssh_conn *c = connect_here();
    struct deadline d = deadline_in_ms(2 * STALL_MS);
    io.out = &a.out;
    io.out_max = 1000;
    ssh_watch(c, -1, STALL_MS);
    assert_int_equal(ssh_exec(c, "command", &io, &d, &a.st, &a.err), -1);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
    assert_null(strstr(a.err.msg, "hangs"));
    assert_int_equal(a.out.len, 1000);
    ssh_close(c);
    oddserver_stop(pid);
}

static void test_ends_that_are_none(void **state)
{
    (void)state;
    static const struct {
        enum lie lie;
        const char *says;
    } cases[] = {
        {NO_STATUS, "without an exit code"},
        {CUT, "connection was lost"},
        {STATUS_THEN_SIGNAL, "reported the end of one command 2 times"},
        {SIGNAL_THEN_STATUS, "reported the end of one command 2 times"},
        {TWO_STATUSES, "reported the end of one command 2 times"},
        {CODE_256, "exit code 256, which no command can have"},
        {CODE_HUGE, "exit code 2147483648, which no command can have"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(attempt_free) struct attempt a = run(cases[i].lie, NULL);
        assert_int_equal(a.rc, -1);
        assert_int_equal(a.err.kind, ERR_SSH);
        if (!strstr(a.err.msg, cases[i].says))
            fail_msg("case %zu: %s", i, a.err.msg);
    }
}

static void test_ends_in_an_odd_order(void **state)
{
    (void)state;
    /* All output comes, whatever was told before it. */
    _cleanup_(attempt_free) struct attempt first = run(STATUS_FIRST, NULL);
    assert_int_equal(first.rc, 0);
    assert_int_equal(first.st.code, 3);
    assert_int_equal(first.out.len, LARGE);
    /* Nothing of a signal's name can steer a terminal. */
    _cleanup_(attempt_free) struct attempt odd = run(ODD_SIGNAL, NULL);
    assert_int_equal(odd.rc, 0);
    assert_true(odd.st.signalled);
    assert_string_equal(odd.st.signal, "?");
    /* What it does not want to read is no error of the command. */
    struct ssh_io io = SSH_IO_INIT;
    io.source = zeros;
    _cleanup_(attempt_free) struct attempt early = run(CLOSE_EARLY, &io);
    assert_int_equal(early.rc, 0);
    assert_int_equal(early.st.code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_hangs_of_a_silent_command),
        cmocka_unit_test(test_slow_is_no_hang),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_ends_that_are_none),
        cmocka_unit_test(test_ends_in_an_odd_order),
    };
    return cmocka_run_group_tests(tests, oddserver_open, oddserver_close);
}
