/* What git may do, and what is said of one that failed. It is a script here. */
#include "sync/gitbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "testutil/scratch.h"

/* A script is found as git. */
static void make_git(const char *command)
{
    _cleanup_free_ char *make = xasprintf("cd %s && printf '#!/bin/sh\\n%%s\\n' '%s' >git && "
                                          "chmod 755 git",
                                          scratch_dir, command);
    assert_int_equal(run_program((const char *const[]){"/bin/sh", "-c", make, NULL}, NULL), 0);
    assert_int_equal(setenv("PATH", scratch_dir, 1), 0);
}

static void says(int work_fd, const char *want)
{
    struct gitbox b;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    must(gitbox_open(&b, work_fd, work_fd, NULL, &d, &err), &err);
    assert_int_equal(gitbox_run(&b, (const char *const[]){"x", NULL}, -1, &err), -1);
    gitbox_close(&b);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_string_equal(err.msg, want);
}

static void test_a_failure_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *command, *says;
    } cases[] = {
        {"echo fatal: bad object >&2; echo more >&2; exit 128", "git x: fatal: bad object"},
        {"exit 3", "git x: exit code 3"},
        {"echo >&2; exit 3", "git x: exit code 3"}};
    _cleanup_free_ char *path = xstrdup(getenv("PATH"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        make_git(cases[i].command);
        says(scratch_fd, cases[i].says);
    }
    assert_int_equal(setenv("PATH", path, 1), 0);
}

/* What git could do if the objects took it over. The same script can do it all outside the box. */
static void test_git_is_confined(void **state)
{
    (void)state;
    _cleanup_free_ char *path = xstrdup(getenv("PATH"));
    _cleanup_free_ char *command = scratch_in(
        "exec 3>&2 2>&-; read -r x <%/secret && echo \"read $x\" >&3; "
        "echo x >%/written && echo wrote >&3; echo x >written && echo wrote here >&3; "
        "echo ran >&3; exit 3");
    _cleanup_free_ char *make = scratch_in("mkdir %/work && cd %/work && echo hidden >%/secret");
    _cleanup_free_ char *outside = scratch_in(
        "cd %/work && ../git 2>../said; grep -qx \"read hidden\" ../said && "
        "rm written ../written");
    assert_int_equal(run_program((const char *const[]){"/bin/sh", "-c", make, NULL}, NULL), 0);
    make_git(command);
    assert_int_equal(setenv("PATH", path, 1), 0);
    assert_int_equal(run_program((const char *const[]){"/bin/sh", "-c", outside, NULL}, NULL), 0);
    _cleanup_close_ int work_fd = openat(scratch_fd, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(setenv("PATH", scratch_dir, 1), 0);
    says(work_fd, "git x: ran");
    assert_int_equal(setenv("PATH", path, 1), 0);
}

/* The kernel's Landlock is switched off from here on. */
static int lose_landlock(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {ARRAY_LEN(code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
               ? -1
               : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* What helps for a VMM, --sandbox false, does not help here. */
static void test_without_landlock_git_does_not_run(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct gitbox b;
        struct error err = ERROR_INIT;
        struct deadline d = deadline_in_ms(60000);
        _exit(lose_landlock() < 0 || gitbox_open(&b, scratch_fd, scratch_fd, NULL, &d, &err) == 0 ||
              err.kind != ERR_ENV || !strstr(err.msg, "Landlock") || strstr(err.msg, "sandbox"));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_failure_has_its_reason, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_git_is_confined, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_without_landlock_git_does_not_run, scratch_open,
                                        scratch_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
