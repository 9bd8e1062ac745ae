/* Namespaces of a user who is not root: made, worked in, and gone with whoever made them. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "sys/userns.h"

#define NOBODY 65534

/* Runs a test as a user who is not root, in a child with mounts of its own; its failed assertions
 * are the child's exit code. */
static void as_user(bool (*test)(void))
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool ready = unshare(CLONE_NEWNS) == 0 &&
                     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        _exit(ready && test() ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* As if it had been started so: a change of user closes a process to itself (prctl(2)). */
static bool be_user(void)
{
    return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
           prctl(PR_SET_DUMPABLE, 1) == 0;
}

static int say_who(void *arg, struct error *err)
{
    int *never = arg;
    *never = 1; /* in the child's memory only */
    return geteuid() == 0 && access("/proc/self/ns/net", F_OK) == 0
               ? 7
               : error_set(err, ERR_INTERNAL, 0, "not root inside");
}

static int say_no(void *arg, struct error *err)
{
    (void)arg;
    return error_set(err, ERR_NET, ENODEV, "no such thing");
}

static int give_pipe(void *arg, int *fds, unsigned max, struct error *err)
{
    (void)arg;
    (void)max;
    if (pipe2(fds, O_CLOEXEC) < 0 || write(fds[1], "x", 1) != 1)
        return error_set(err, ERR_INTERNAL, errno, "pipe");
    return 2;
}

static bool works_inside(void)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(20000);
    struct userns ns;
    int never = 0, fds[2] = {-1, -1};
    char byte = 0;
    if (!be_user() || userns_new(&d, &ns, &err) < 0) {
        print_error("%s\n", err.msg);
        return false;
    }
    bool ok = userns_run(&ns, say_who, &never, &err) == 7 && never == 0;
    ok = ok && userns_run(&ns, say_no, NULL, &err) == -1 && err.kind == ERR_NET &&
         err.sys == ENODEV && strstr(err.msg, "no such thing");
    ok = ok && userns_run_fds(&ns, give_pipe, NULL, fds, 2, NULL) == 2 &&
         read(fds[0], &byte, 1) == 1 && byte == 'x' && fcntl(fds[0], F_GETFD) == FD_CLOEXEC;
    /* More than there is room for is refused. */
    ok = ok && userns_run_fds(&ns, give_pipe, NULL, fds, 1, NULL) == -1;
    /* Both live on without the holder. */
    pid_t holder = ns.holder;
    userns_let_go(&ns);
    ok = ok && kill(holder, 0) < 0 && errno == ESRCH && userns_run(&ns, say_who, &never, &err) == 7;
    userns_close(&ns);
    return ok;
}

static void test_work_inside(void **state)
{
    (void)state;
    as_user(works_inside);
}

/* kill -9 of whoever made them: the holder goes, and with it the namespaces. */
static void test_holder_goes_with_its_maker(void **state)
{
    (void)state;
    int say[2], status;
    pid_t holder = 0;
    assert_int_equal(pipe2(say, O_CLOEXEC), 0);
    pid_t maker = fork();
    if (maker == 0) {
        struct deadline d = deadline_in_ms(20000);
        struct userns ns;
        if (!be_user() || userns_new(&d, &ns, NULL) < 0)
            _exit(1);
        (void)!write(say[1], &ns.holder, sizeof ns.holder);
        (void)pause();
    }
    (void)close(say[1]);
    assert_int_equal(read(say[0], &holder, sizeof holder), (ssize_t)sizeof holder);
    struct proc_ref ref;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(20000);
    assert_int_equal(proc_ref_of(holder, &ref, &err), 0);
    _cleanup_close_ int gone = proc_open(&ref, &err);
    assert_true(gone >= 0);
    assert_int_equal(kill(maker, SIGKILL), 0);
    assert_int_equal(waitpid(maker, &status, 0), maker);
    assert_int_equal(pidfd_wait(gone, &d, &err), 0);
    (void)close(say[0]);
}

/* ---- what a host forbids ---- */

/* A file of the host's, as this process sees it from now on. */
static bool replace(const char *path, const char *text, mode_t mode)
{
    char at[] = "/tmp/userns-test-XXXXXX";
    _cleanup_close_ int fd = mkostemp(at, O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0 && fchmod(fd, mode) == 0;
    CLOSE_FD(fd); /* a program that is open for writing can't be run */
    ok = ok && mount(at, path, NULL, MS_BIND, NULL) == 0;
    (void)unlink(at);
    return ok;
}

/* Its words are in the message, which is one line. */
static bool refused_by_newuidmap(void)
{
    static const char ids[] = "65534:100000:65536\n";
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(20000);
    struct userns ns;
    if (!replace("/etc/subuid", ids, 0644) || !replace("/etc/subgid", ids, 0644) ||
        !replace("/usr/bin/newuidmap", "#!/bin/sh\necho 'not\nallowed' >&2\nexit 1\n", 0755) ||
        !be_user())
        return false;
    bool ok = userns_new(&d, &ns, &err) < 0 && strstr(err.msg, "newuidmap: ") &&
              strstr(err.msg, "allowed") && strstr(err.msg, "; next: look at your lines in") &&
              !strchr(err.msg, '\n');
    if (!ok)
        print_error("said: %s\n", err.msg);
    return ok;
}

/* A setting of the kernel's, as this process sees it from now on. */
static bool set(const char *dir, const char *name, const char *value)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    if (mount("settings", dir, "tmpfs", 0, "mode=0755") < 0)
        return false;
    _cleanup_close_ int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    return fd >= 0 && write(fd, value, strlen(value)) > 0;
}

static bool told(const char *setting, const char *fix)
{
    struct error err = ERROR_INIT;
    bool ok = userns_check(&err) < 0 && err.kind == ERR_ENV && strstr(err.msg, setting) &&
              strstr(err.msg, fix);
    if (!ok)
        print_error("said: %s\n", err.msg);
    return ok;
}

static bool no_namespaces(void)
{
    return set("/proc/sys/user", "max_user_namespaces", "0\n") &&
           told("user.max_user_namespaces is 0", "; next: as root: sysctl user.max_user_names");
}

static bool for_root_alone(void)
{
    return set("/proc/sys/kernel", "unprivileged_userns_clone", "0\n") &&
           told("kernel.unprivileged_userns_clone is 0",
                "sysctl kernel.unprivileged_userns_clone=1");
}

static bool restricted_by_apparmor(void)
{
    return set("/proc/sys/kernel", "apparmor_restrict_unprivileged_userns", "1\n") &&
           told("AppArmor", "sysctl kernel.apparmor_restrict_unprivileged_userns=0");
}

static bool nothing_forbidden(void)
{
    struct error err = ERROR_INIT;
    return userns_check(&err) == 0;
}

static void test_what_forbids_them(void **state)
{
    (void)state;
    as_user(nothing_forbidden);
    as_user(no_namespaces);
    as_user(for_root_alone);
    as_user(restricted_by_apparmor);
    as_user(refused_by_newuidmap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_inside),
        cmocka_unit_test(test_holder_goes_with_its_maker),
        cmocka_unit_test(test_what_forbids_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
