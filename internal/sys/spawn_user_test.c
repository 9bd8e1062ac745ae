/* What a child that becomes another user still has of ours: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define USER 4321

/* A key of root's that any process with our session's keyring may use; it ends with this process.
 */
static void hold_a_key(void)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
        (void)syscall(SYS_add_key, "user", "spawn-test-key", "secret", 6UL,
                      KEY_SPEC_SESSION_KEYRING);
}

/* In a session with a terminal of its own: starts the script as the user and writes to `to` what it
 * prints. */
static int on_a_terminal(const char *script, const char *terminal, int to)
{
    const struct caller user = {USER, USER};
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    /* Without O_CLOEXEC, as something might have left them to us. */
    pid_t session = setsid();
    _cleanup_close_ int left = open(terminal, O_RDWR);
    _cleanup_close_ int secret = open("/etc/shadow", O_RDONLY);
    if (session < 0 || left < 0 || secret < 0)
        return 1;
    _cleanup_close_ int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    hold_a_key();
    spec.argv = argv;
    spec.user = &user;
    return tty < 0 || spawn_run(&spec, &d, 4096, &out, NULL, &st, NULL) < 0 ||
           fd_write_all(to, out.buf, out.len, "test", NULL) < 0;
}

/* The other user's processes may take this one over (ptrace), so it must not reach our terminal,
 * where it could type, or anything that we have open. */
static void spawn_as_a_user_leaves_our_session(void **state)
{
    static const char script[] =
        "read -r pid name stat parent group session tty rest </proc/$$/stat; "
        "[ $pid = $$ ] && [ $session = $$ ] && echo leader; echo tty=$tty; "
        "grep spawn-test-key /proc/keys 2>/dev/null; "
        "(: </dev/tty) 2>/dev/null && echo opened; "
        "for fd in /proc/$$/fd/*; do [ -L $fd ] && echo ${fd##*/}; done; id -u; id -G";
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    int to[2];
    int status;
    (void)state;
    if (geteuid() != 0)
        skip();
    _cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    assert_return_code(pipe2(to, O_CLOEXEC), errno);
    pid_t pid = fork();
    if (pid == 0)
        _exit(on_a_terminal(script, ptsname(master), to[1]));
    (void)close(to[1]);
    _cleanup_close_ int from = to[0];
    assert_int_equal(fd_read_all(from, 4096, "test", &out, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(out.buf, "leader\ntty=0\n0\n1\n2\n4321\n4321\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spawn_as_a_user_leaves_our_session)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
