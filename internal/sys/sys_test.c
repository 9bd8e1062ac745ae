/* sys_test.c: child processes and what names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/spawn.h"
#include "testutil/scratch.h"

static void spawn_reports_exec_failure(void **state)
{
    struct error e = ERROR_INIT;
    struct child c;
    (void)state;
    static const char *const missing[] = {"/nonexistent/program", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = missing;
    assert_int_equal(spawn(&s, &c, &e), -1);
    assert_int_equal(e.kind, ERR_ENV);
    assert_int_equal(e.sys, ENOENT);
}

static void spawn_run_captures_apart_and_tells_how_it_ended(void **state)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    (void)state;
    static const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 7", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    assert_int_equal(spawn_run(&s, &d, 100, &out, &errout, &st, NULL), 0);
    assert_string_equal(out.buf, "out\n");
    assert_string_equal(errout.buf, "err\n");
    assert_true(st.exited && st.code == 7 && !st.signalled);
    static const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    s.argv = killed;
    assert_int_equal(spawn_run(&s, &d, 100, NULL, NULL, &st, NULL), 0);
    assert_true(st.signalled && st.signal == 9 && !st.exited);
}

static void spawn_bounds_memory(void **state)
{
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    (void)state;
    static const char *const argv[] = {"dd",      "if=/dev/zero", "of=/dev/null",
                                       "bs=100M", "count=1",      NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    for (int64_t max = 64 << 20; max <= 256 << 20; max *= 4) {
        s.data_max = max;
        assert_int_equal(spawn_run(&s, &d, 4096, NULL, NULL, &st, NULL), 0);
        assert_true(st.exited && st.code == (max < 100 << 20 ? 1 : 0));
    }
}

/* Files in memory too; they count as nobody's memory. */
static void spawn_bounds_what_is_written(void **state)
{
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    (void)state;
    static const char *const argv[] = {"head", "-c", "8192", "/dev/zero", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    struct child c;
    s.argv = argv;
    for (int64_t max = 4096; max <= 8192; max += 4096) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
        s.stdout_fd = fd;
        s.file_max = max;
        assert_int_equal(spawn(&s, &c, NULL), 0);
        assert_int_equal(child_wait(&c, &d, &st, NULL), 0);
        child_release(&c);
        assert_true(max < 8192 ? st.signalled && st.signal == SIGXFSZ : st.exited && st.code == 0);
        assert_int_equal(lseek(fd, 0, SEEK_END), max);
    }
}

static void spawn_leaks_no_descriptor(void **state)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    _cleanup_close_ int leaky = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;
    static const char *const argv[] = {"sh", "-c", "ls /proc/self/fd | wc -l", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    assert_true(leaky > 2);
    assert_int_equal(spawn_run(&s, &d, 100, &out, NULL, &st, NULL), 0);
    assert_string_equal(out.buf, "4\n"); /* 0, 1, 2 and ls's own directory */
}

/* What is in our environment is nobody else's business. */
static void spawn_hands_on_no_variable(void **state)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    (void)state;
    static const char *const argv[] = {"env", NULL};
    static const char *const own[] = {"ONE=1", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    assert_int_equal(setenv("DEPLOY_TOKEN", "hunter2", 1), 0);
    assert_int_equal(spawn_run(&s, &d, 1000, &out, NULL, &st, NULL), 0);
    assert_string_equal(out.buf, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n");
    strbuf_reset(&out);
    s.envp = own;
    assert_int_equal(spawn_run(&s, &d, 1000, &out, NULL, &st, NULL), 0);
    assert_string_equal(out.buf, "ONE=1\n");
    strbuf_reset(&out);
    s.envp = (const char *const *)environ;
    assert_int_equal(spawn_run(&s, &d, 65536, &out, NULL, &st, NULL), 0);
    assert_non_null(strstr(out.buf, "DEPLOY_TOKEN=hunter2\n"));
    assert_int_equal(unsetenv("DEPLOY_TOKEN"), 0);
}

static void spawn_hands_on_no_umask(void **state)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    (void)state;
    static const char *const argv[] = {"sh", "-c", "umask", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    mode_t before = umask(0);
    int r = spawn_run(&s, &d, 100, &out, NULL, &st, NULL);
    (void)umask(before);
    assert_int_equal(r, 0);
    assert_string_equal(out.buf, "0022\n");
}

/* A program that another user could have put there is not started, unless it is our own. */
static void spawn_starts_nobody_else_s_program(void **state)
{
    (void)state;
    struct exit_status st;
    struct error e = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    _cleanup_free_ char *path = xasprintf("%s/tool", scratch_dir);
    const char *const argv[] = {path, NULL};
    static const char *const relative[] = {"./tool", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    assert_int_equal(file_write_new(scratch_fd, "tool", "#!/bin/sh\n", 10, 0700, NULL), 0);
    s.argv = argv;
    assert_int_equal(spawn_run(&s, &d, 100, NULL, NULL, &st, NULL), 0);
    assert_int_equal(fchmodat(scratch_fd, "tool", 0777, 0), 0);
    assert_int_equal(spawn_run(&s, &d, 100, NULL, NULL, &st, &e), -1);
    assert_int_equal(e.kind, ERR_TRUST);
    s.any_owner = true;
    assert_int_equal(spawn_run(&s, &d, 100, NULL, NULL, &st, NULL), 0);
    s.any_owner = false;
    s.argv = relative;
    s.cwd_fd = scratch_fd;
    assert_int_equal(spawn_run(&s, &d, 100, NULL, NULL, &st, &e), -1);
    assert_int_equal(e.kind, ERR_TRUST);
}

static void a_held_child_runs_only_when_released(void **state)
{
    (void)state;
    struct child c;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    static const char *const argv[] = {"touch", "ran", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    s.held = true;
    s.cwd_fd = scratch_fd;
    assert_int_equal(spawn(&s, &c, NULL), 0);
    struct proc_ref ref;
    assert_int_equal(proc_ref_of(c.pid, &ref, NULL), 0);
    assert_true(proc_alive(&ref));
    assert_int_equal(proc_parent(c.pid), getpid());
    assert_int_equal(faccessat(scratch_fd, "ran", F_OK, 0), -1);
    assert_int_equal(spawn_release(&c, "touch", NULL), 0);
    assert_int_equal(child_wait(&c, &d, &st, NULL), 0);
    assert_int_equal(faccessat(scratch_fd, "ran", F_OK, 0), 0);
    assert_false(proc_alive(&ref));
    assert_int_equal(proc_parent(c.pid), 0);
}

/* The point of holding: a parent that dies before it wrote the pid down leaves nothing running. */
static void a_held_child_ends_with_its_parent(void **state)
{
    (void)state;
    int report[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t maker = fork();
    if (maker == 0) {
        struct child c;
        struct proc_ref ref;
        static const char *const argv[] = {"touch", "ran", NULL};
        struct spawn_spec s = SPAWN_SPEC_INIT;
        s.argv = argv;
        s.held = true;
        s.new_session = true;
        s.cwd_fd = scratch_fd;
        if (spawn(&s, &c, NULL) < 0 || proc_ref_of(c.pid, &ref, NULL) < 0)
            _exit(1);
        (void)!write(report[1], &ref, sizeof ref);
        (void)kill(getpid(), SIGKILL);
    }
    struct proc_ref ref;
    assert_int_equal(read(report[0], &ref, sizeof ref), sizeof ref);
    assert_int_equal(waitpid(maker, NULL, 0), maker);
    int fd = proc_open(&ref, NULL);
    struct deadline d = deadline_in_ms(60000);
    if (fd >= 0) {
        assert_int_equal(pidfd_wait(fd, &d, NULL), 0);
        (void)close(fd);
    }
    assert_int_equal(faccessat(scratch_fd, "ran", F_OK, 0), -1);
    (void)close(report[0]);
    (void)close(report[1]);
}

static void a_process_is_named_for_good(void **state)
{
    struct proc_ref me, other;
    (void)state;
    assert_int_equal(proc_ref_of(getpid(), &me, NULL), 0);
    assert_true(proc_alive(&me));
    other = me;
    other.start_time++;
    assert_false(proc_alive(&other)); /* a reused pid */
    other = me;
    other.boot_id[0] = other.boot_id[0] == '0' ? '1' : '0';
    assert_false(proc_alive(&other)); /* before a reboot */
    other = me;
    other.pid = 0;
    assert_false(proc_alive(&other));
}

static void *run_on(void *arg)
{
    (void)arg;
    for (;;)
        (void)pause();
    return NULL;
}

/* Its first thread is a zombie then, and counts as nothing: the others go on. */
static void a_process_lives_as_long_as_any_thread(void **state)
{
    (void)state;
    struct proc_ref ref;
    int ready[2];
    char byte;
    assert_return_code(pipe2(ready, O_CLOEXEC), errno);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        if (unshare(CLONE_NEWNET) < 0 || pthread_create(&thread, NULL, run_on, NULL) != 0)
            _exit(1);
        (void)!write(ready[1], "", 1);
        (void)syscall(SYS_exit, 0);
    }
    CLOSE_FD(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    CLOSE_FD(ready[0]);
    assert_int_equal(proc_ref_of(pid, &ref, NULL), 0);
    _cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", (int)pid);
    struct deadline d = deadline_in_ms(60000);
    while (access(path, F_OK) == 0) /* the first thread is on its way */
        assert_false(deadline_passed(&d));
    assert_true(proc_alive(&ref));
    _cleanup_close_ int ns = proc_open_netns(&ref);
    assert_return_code(ns, errno);
    _cleanup_close_ int fd = proc_open(&ref, NULL);
    assert_int_equal(pidfd_signal(fd, SIGKILL, NULL), 0);
    assert_int_equal(pidfd_wait(fd, &d, NULL), 0);
    assert_false(proc_alive(&ref));
}

static void zombies_are_not_alive(void **state)
{
    struct proc_ref ref;
    int go[2];
    (void)state;
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        (void)!read(go[0], &c, 1);
        _exit(0);
    }
    assert_int_equal(proc_ref_of(pid, &ref, NULL), 0);
    assert_true(proc_alive(&ref));
    (void)!write(go[1], "x", 1);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(proc_alive(&ref));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(go[0]);
    (void)close(go[1]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(spawn_reports_exec_failure),
        T(spawn_run_captures_apart_and_tells_how_it_ended),
        T(spawn_bounds_what_is_written),
        T(spawn_bounds_memory),
        T(spawn_leaks_no_descriptor),
        T(spawn_hands_on_no_variable),
        T(spawn_hands_on_no_umask),
        cmocka_unit_test_setup_teardown(spawn_starts_nobody_else_s_program, scratch_open,
                                        scratch_close),
        T(a_held_child_runs_only_when_released),
        T(a_held_child_ends_with_its_parent),
        T(a_process_is_named_for_good),
        T(zombies_are_not_alive),
        T(a_process_lives_as_long_as_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
