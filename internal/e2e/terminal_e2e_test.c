/* run -t: the user's terminal and the one in the guest, through the whole program and the stand-in.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "e2e/e2e.h"

/* A pseudo-terminal with the program on it, as a session of its own. */
struct terminal {
    int master, slave;
    struct child child;
    struct termios before;
    struct strbuf said;
};

/* In a new lease where `slug` is NULL. */
static void terminal_start(struct terminal *t, const char *slug, const char *script)
{
    struct error err = ERROR_INIT;
    struct winsize size = {.ws_row = 33, .ws_col = 101};
    const char *const argv[] = {"setsid", "--ctty", "--wait", bed.program, "run",
                                "-q",     "-t",     "--id",   slug,        "--no-sync",
                                "--",     "bash",   "-c",     script,      NULL};
    /* With its progress, for which a thread draws. */
    const char *const fresh[] = {"setsid",    "--ctty", "--wait", bed.program, "run",  "-t",
                                 "--no-sync", "--",     "bash",   "-c",        script, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    *t = (struct terminal){.said = STRBUF_INIT, .child = CHILD_INIT};
    t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(t->master >= 0);
    assert_int_equal(grantpt(t->master), 0);
    assert_int_equal(unlockpt(t->master), 0);
    t->slave = open(ptsname(t->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(t->slave >= 0);
    assert_int_equal(ioctl(t->slave, TIOCSWINSZ, &size), 0);
    assert_int_equal(tcgetattr(t->slave, &t->before), 0);
    spec.any_owner = true;
    spec.argv = slug ? argv : fresh;
    spec.envp = (const char *const *)bed.env;
    spec.stdin_fd = spec.stdout_fd = spec.stderr_fd = t->slave;
    if (spawn(&spec, &t->child, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Reads until the terminal has shown this. */
static void terminal_expect(struct terminal *t, const char *what)
{
    struct deadline d = deadline_in_ms(60000);
    struct pollfd p = {.fd = t->master, .events = POLLIN};
    struct error err = ERROR_INIT;
    while (!strstr(t->said.buf, what)) {
        char text[4096];
        if (deadline_poll(&p, 1, &d, what, &err) < 0)
            fail_msg("%s; it showed: %s", err.msg, t->said.buf);
        ssize_t n = read(t->master, text, sizeof text);
        if (n <= 0)
            fail_msg("no \"%s\"; it showed: %s", what, t->said.buf);
        strbuf_add(&t->said, text, (size_t)n);
    }
    const char *rest = strstr(t->said.buf, what) + strlen(what);
    _cleanup_free_ char *kept = xstrdup(rest);
    strbuf_reset(&t->said);
    strbuf_adds(&t->said, kept);
}

static void terminal_type(struct terminal *t, const char *keys)
{
    assert_int_equal(write(t->master, keys, strlen(keys)), strlen(keys));
}

static bool is_raw(const struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    return !(now.c_lflag & ICANON);
}

/* The exit code as a shell has it, 128 + number of the signal; and the terminal is as it was. */
static int terminal_end(struct terminal *t)
{
    struct termios now = {0};
    struct exit_status st = e2e_wait(&t->child, 30000);
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    assert_memory_equal(&now, &t->before, sizeof now);
    (void)close(t->master);
    (void)close(t->slave);
    strbuf_free(&t->said);
    return st.exited ? st.code : 128 + st.signal;
}

static void test_terminal(void **state)
{
    (void)state;
    struct terminal t;
    struct winsize size = {.ws_row = 17, .ws_col = 43};
    bed_setenv(&bed, "TERM", "vt220");
    e2e_warmup("term");
    _cleanup_bed_result_ struct bed_result none = BED_RUN(&bed, "run", "--id", "term", "-t", "--",
                                                          "true");
    bed_assert_code(none, 2);
    bed_assert_has(none.err.buf, "needs a terminal");
    /* Size, kind, resize, Ctrl-C and keys. */
    terminal_start(&t, "term",
                   "trap i=1 INT; trap 'w=$(stty size)' WINCH; tty; echo $TERM ready\n"
                   "until [ \"$w\" ]; do sleep 0.05; done; echo now $w\n"
                   "until [ \"$i\" ]; do sleep 0.05; done; echo int\n"
                   "read -r x; echo got $x; exit 9");
    terminal_expect(&t, "/dev/pts/");
    terminal_expect(&t, "vt220 ready");
    assert_true(is_raw(&t));
    assert_int_equal(ioctl(t.master, TIOCSWINSZ, &size), 0);
    terminal_expect(&t, "now 17 43");
    terminal_type(&t, "\003");
    terminal_expect(&t, "int");
    terminal_type(&t, "words\r");
    terminal_expect(&t, "got words");
    assert_int_equal(terminal_end(&t), 9);
    /* Job control within: Ctrl-Z stops the foreground job, the shell goes on. */
    terminal_start(&t, "term", "set -m; stty size; sleep 4441; echo stopped $?; kill %1; exit 3");
    terminal_expect(&t, "33 101");
    e2e_wait_processes("4441", 1);
    terminal_type(&t, "\032");
    terminal_expect(&t, "stopped 148");
    assert_int_equal(terminal_end(&t), 3);
    /* What the command leaves running may have something to say. */
    terminal_start(&t, "term", "exec > >(sleep 1; cat) 2>&1; echo la''te; exit 4");
    terminal_expect(&t, "late");
    assert_int_equal(terminal_end(&t), 4);
    /* But it keeps nobody waiting. */
    terminal_start(&t, "term", "sleep 4442 & echo le''ft; exit 5");
    terminal_expect(&t, "left");
    assert_int_equal(terminal_end(&t), 5);
    e2e_stop("term");
}

/* No thread of ours takes the signal that tells of a new size. */
static void test_size_in_a_new_lease(void **state)
{
    (void)state;
    struct terminal t;
    struct winsize size = {.ws_row = 17, .ws_col = 43};
    bed_setenv(&bed, "TERM", "vt220");
    terminal_start(&t, NULL,
                   "trap 'w=$(stty size)' WINCH; echo rea''dy\n"
                   "until [ \"$w\" ]; do sleep 0.05; done; echo now $w");
    terminal_expect(&t, "ready");
    assert_int_equal(ioctl(t.master, TIOCSWINSZ, &size), 0);
    terminal_expect(&t, "now 17 43");
    assert_int_equal(terminal_end(&t), 0);
}

/* The terminal is itself again however the program ends. */
static void test_terminal_is_restored(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGHUP, SIGQUIT, SIGSEGV};
    struct terminal t;
    e2e_warmup("raw");
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        terminal_start(&t, "raw", "echo up; sleep 3331");
        terminal_expect(&t, "up");
        assert_true(is_raw(&t));
        /* setsid has become the program. */
        assert_int_equal(kill(t.child.pid, signals[i]), 0);
        int code = terminal_end(&t);
        if (i < 2)
            assert_int_equal(code, 130);
        else
            assert_int_equal(code, 128 + signals[i]);
    }
    /* And when the VMM dies under it. */
    terminal_start(&t, "raw", "echo up; sleep 3331");
    terminal_expect(&t, "up");
    assert_int_equal(kill(e2e_vmm_pid("raw"), SIGKILL), 0);
    assert_int_equal(terminal_end(&t), 1);
    e2e_stop("raw");
}

/* "~." leaves at once where the guest still answers, and ends the command there. In the middle of a
 * line it is text. */
static void test_escapes(void **state)
{
    (void)state;
    struct terminal t;
    e2e_warmup("escape");
    terminal_start(&t, "escape", "stty -echo; echo up; while read -r x; do echo \"<$x>\"; done");
    terminal_expect(&t, "up");
    terminal_type(&t, "a~.\r");
    terminal_expect(&t, "<a~.>");
    terminal_type(&t, "~~.\r");
    terminal_expect(&t, "<~.>");
    terminal_type(&t, "~?");
    terminal_expect(&t, "~.   end the command and leave");
    terminal_type(&t, "~x\r");
    terminal_expect(&t, "<~x>");
    terminal_type(&t, "~.");
    terminal_expect(&t, "left by ~.");
    assert_int_equal(terminal_end(&t), 130);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "pgrep", "-f", "stty -echo; echo up");
    bed_assert_code(r, 1);
    e2e_stop("escape");
}

/* And where the guest is stuck, with keys on the way that it does not take. */
static void test_escape_from_a_stuck_guest(void **state)
{
    (void)state;
    struct terminal t;
    _cleanup_free_ char *keys = xcalloc(3000, 1);
    memset(keys, 'k', 2999);
    e2e_warmup("stuck");
    terminal_start(&t, "stuck", "echo up; sleep 2221");
    terminal_expect(&t, "up");
    assert_int_equal(kill(e2e_vmm_pid("stuck"), SIGSTOP), 0);
    for (int i = 0; i < 3; i++)
        terminal_type(&t, keys);
    terminal_type(&t, "\r~.");
    terminal_expect(&t, "end the command in the guest");
    terminal_expect(&t, "left by ~.");
    assert_int_equal(terminal_end(&t), 130);
    e2e_stop("stuck");
}

/* And where the command takes no key: more than the SSH server holds for it are on the way. */
static void test_escape_past_keys_that_nobody_takes(void **state)
{
    (void)state;
    enum { SERVER_HOLDS = 1 << 20, PIECE = 1024 };
    struct terminal t;
    char keys[PIECE];
    memset(keys, 'k', sizeof keys);
    e2e_warmup("full");
    terminal_start(&t, "full", "stty raw -echo; echo up; sleep 2222");
    terminal_expect(&t, "up");
    for (int n = 0; n < SERVER_HOLDS + 8 * PIECE; n += PIECE)
        assert_int_equal(write(t.master, keys, PIECE), PIECE);
    terminal_type(&t, "\r~.");
    terminal_expect(&t, "left by ~.");
    assert_int_equal(terminal_end(&t), 130);
    e2e_stop("full");
}

/* Nobody reads what the terminal shows any more: the second interrupt ends the program anyhow. */
static void test_interrupts_with_a_stuck_terminal(void **state)
{
    (void)state;
    struct terminal t;
    e2e_warmup("still");
    terminal_start(&t, "still", "echo up; exec yes");
    terminal_expect(&t, "up");
    struct pollfd room = {.fd = t.slave, .events = POLLOUT};
    while (poll(&room, 1, 0) > 0)
        (void)poll(NULL, 0, 20);
    struct pollfd end = {.fd = t.child.pidfd, .events = POLLIN};
    for (int tries = 0; tries < 60 && poll(&end, 1, 400) == 0; tries++)
        assert_int_equal(kill(t.child.pid, SIGTERM), 0);
    (void)kill(t.child.pid, SIGKILL);
    assert_int_equal(terminal_end(&t), 130);
    e2e_stop("still");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_terminal),
        E2E_TEST(test_size_in_a_new_lease),
        E2E_TEST(test_terminal_is_restored),
        E2E_TEST(test_escapes),
        E2E_TEST(test_escape_from_a_stuck_guest),
        E2E_TEST(test_escape_past_keys_that_nobody_takes),
        E2E_TEST(test_interrupts_with_a_stuck_terminal),
    };
    return E2E_MAIN(tests);
}
