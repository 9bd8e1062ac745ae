/* Control groups of the machine's own kernel, below a parent that no one else has. Where the
 * machine has none that can be used, the tests hold that this is refused. */
#include "sys/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/spawn.h"
#include "testutil/scratch.h"

#define MIB (UINT64_C(1024) * 1024)

static char parent[CGROUP_PARENT_MAX], name[CGROUP_NAME_SIZE];
static bool usable;
static const struct cgroup_limits limits = {.memory = 64 * MIB, .tasks = 8, .cpu_percent = 200};

static int setup(void **state)
{
    struct error err = ERROR_INIT;
    assert_int_equal(scratch_open(state), 0);
    (void)str_format(parent, sizeof parent, "crabbox-fc-test-%s", strrchr(scratch_dir, '/') + 1);
    (void)str_format(name, sizeof name, "%s/cbx_0123456789ab", parent);
    usable = cgroup_look(parent, NULL, &err) == 0;
    if (!usable)
        print_message("no usable control groups here: %s\n", err.msg);
    return 0;
}

static int teardown(void **state)
{
    struct error err = ERROR_INIT;
    must(cgroup_end(name, NULL, &err), &err);
    must(cgroup_end(parent, NULL, &err), &err);
    return scratch_close(state);
}

/* Whether the group could be made; else it was refused with words of what to do. */
static bool make(const struct cgroup_limits *l)
{
    struct error err = ERROR_INIT;
    int r = cgroup_make(name, l, NULL, &err);
    if (usable)
        must(r, &err);
    else {
        assert_int_equal(r, -1);
        assert_int_equal(err.kind, ERR_ENV);
        assert_non_null(strstr(err.msg, "--isolation degraded"));
    }
    return usable;
}

/* A line of shell as a process in the group. */
static void start(const char *line, struct child *child)
{
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = argv;
    spec.cwd_fd = scratch_fd;
    spec.held = true;
    must(spawn(&spec, child, &err), &err);
    must(cgroup_enter(name, child->pid, &err), &err);
    must(cgroup_verify(name, child->pid, false, &err), &err);
    must(spawn_release(child, "sh", &err), &err);
}

static int status_of(const char *line)
{
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct child child = CHILD_INIT;
    start(line, &child);
    must(child_wait(&child, NULL, &st, &err), &err);
    return st.exited ? st.code : 128 + st.signal;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"crabbox-fc", "a/b/c", "machines.slice/leases", "A_1-2"};
    static const char *const bad[] = {"",     "/",    "/a", "a/",  "a//b", ".",   "..",
                                      "a/..", "../a", ".a", "a b", "a\n",  "a/.b"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_null(cgroup_name_check(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(cgroup_name_check(bad[i]));
}

static void test_one_of_that_name_is_not_taken(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    if (!make(&limits))
        return;
    assert_int_equal(cgroup_make(name, &limits, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_STATE);
}

static void test_who_is_not_in_it_is_seen(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    if (!make(&limits))
        return;
    assert_int_equal(cgroup_verify(name, getpid(), true, &err), -1);
    assert_non_null(strstr(err.msg, "is not in the control group"));
}

/* A group that somebody removes before the VMM is in it limits nothing. */
static void test_a_group_that_is_gone_is_missed(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    must(cgroup_enter(name, getpid(), &err), &err);
    must(cgroup_verify(name, getpid(), true, &err), &err);
    assert_int_equal(cgroup_verify(name, getpid(), false, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
}

/* What the guest writes to its disk is charged, and given back; what a VMM keeps is not. */
static void test_memory_is_limited_and_page_cache_is_no_reason_to_die(void **state)
{
    (void)state;
    struct statfs fs;
    if (!make(&limits))
        return;
    assert_int_equal(fstatfs(scratch_fd, &fs), 0);
    if (fs.f_type != TMPFS_MAGIC) { /* which has no disk to write to */
        assert_int_equal(status_of("exec dd if=/dev/zero of=disk bs=1M count=256 status=none"), 0);
        assert_int_equal(status_of("exec dd if=disk of=/dev/null bs=1M status=none"), 0);
    }
    assert_int_equal(status_of("exec dd if=/dev/zero of=/dev/null bs=32M count=1 status=none"), 0);
    assert_int_equal(status_of("exec dd if=/dev/zero of=/dev/null bs=128M count=1 status=none"),
                     128 + SIGKILL);
}

static void test_processes_are_limited(void **state)
{
    (void)state;
    if (!make(&limits))
        return;
    assert_int_equal(status_of("for i in 1 2 3 4; do sleep 0.01 & done; wait"), 0);
    /* They outlast the shell, so that it does not matter how fast it is; teardown ends them. */
    assert_int_not_equal(status_of("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done"), 0);
}

/* Whatever they became meanwhile: of another session, of another parent. */
static void test_nothing_outlives_its_end(void **state)
{
    (void)state;
    int p[2];
    char byte;
    struct error err = ERROR_INIT;
    struct child child = CHILD_INIT;
    if (!make(&(struct cgroup_limits){.memory = 64 * MIB, .tasks = 64}))
        return;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    const char *const argv[] = {
        "/bin/sh", "-c",
        "(setsid sh -c 'echo x; while sleep 0.001; do :; done' &) & exec sleep "
        "1000",
        NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = argv;
    spec.stdout_fd = p[1];
    spec.held = true;
    must(spawn(&spec, &child, &err), &err);
    must(cgroup_enter(name, child.pid, &err), &err);
    must(spawn_release(&child, "sh", &err), &err);
    (void)close(p[1]);
    assert_int_equal(read(p[0], &byte, 1), 1);
    must(cgroup_end(name, NULL, &err), &err);
    /* The write end is closed where the last of them has ended. */
    while (read(p[0], &byte, 1) > 0)
        ;
    (void)close(p[0]);
    child_kill(&child);
    must(cgroup_end(name, NULL, &err), &err); /* absent is a success */
}

/* As in a container: nothing of it may be seen, or nothing changed. */
static void refused(const char *why)
{
    struct error err = ERROR_INIT, e2 = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf lacks = STRBUF_INIT, looked = STRBUF_INIT;
    assert_int_equal(cgroup_make(name, &limits, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    if (!strstr(err.msg, why))
        fail_msg("%s", err.msg);
    assert_int_equal(cgroup_look(parent, NULL, &e2), -1);
    must(cgroup_look(parent, &looked, &err), &err);
    must(cgroup_make(name, &limits, &lacks, &err), &err);
    if (!strstr(lacks.buf, why) || !strstr(looked.buf, why))
        fail_msg("%s; %s", lacks.buf, looked.buf);
}

static void in_own_mounts(void (*mounts)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(2);
        mounts();
        _exit(0);
    }
    int st = -1;
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_int_equal(st, 0);
}

static void hide(void)
{
    if (mount("none", "/sys", "tmpfs", 0, NULL) < 0)
        _exit(3);
    refused("memory, pids, cpu: no cgroup filesystem is mounted");
}

static void make_readonly(void)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount_setattr(AT_FDCWD, "/sys", AT_RECURSIVE, &attr, sizeof attr) < 0)
        _exit(3);
    refused("Read-only file system");
}

static void test_hidden_is_refused(void **state)
{
    (void)state;
    in_own_mounts(hide);
}

static void test_readonly_is_refused(void **state)
{
    (void)state;
    if (usable)
        in_own_mounts(make_readonly);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        EACH(test_one_of_that_name_is_not_taken),
        EACH(test_who_is_not_in_it_is_seen),
        EACH(test_a_group_that_is_gone_is_missed),
        EACH(test_memory_is_limited_and_page_cache_is_no_reason_to_die),
        EACH(test_processes_are_limited),
        EACH(test_nothing_outlives_its_end),
        EACH(test_hidden_is_refused),
        EACH(test_readonly_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
