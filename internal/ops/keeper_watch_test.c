#include "ops/keeper_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "testutil/scratch.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

#define ID "cbx_0123456789ab"

/* Both stay until the process ends: the thread has them until the directory is gone. */
static int leases_fd, lease_fd, vmm_fd, event_fd;

static int setup(void **state)
{
    struct error err = ERROR_INIT;
    (void)scratch_open(state);
    assert_int_equal(mkdirat(scratch_fd, ID, 0700), 0);
    leases_fd = fcntl(scratch_fd, F_DUPFD_CLOEXEC, 3);
    lease_fd = openat(leases_fd, ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    event_fd = keeper_watch(leases_fd, ID, &err);
    must(event_fd, &err);
    assert_int_equal(mkdirat(lease_fd, VMM_DIR, 0700), 0);
    vmm_fd = vmm_dir_open(lease_fd, &err);
    must(vmm_fd, &err);
    return 0;
}

static int teardown(void **state)
{
    struct error err = ERROR_INIT;
    (void)close(vmm_fd);
    (void)close(lease_fd);
    must(dir_remove_tree(leases_fd, ID, &err), &err);
    return scratch_close(state);
}

/* Within the time, the keeper hears of something. */
static bool heard(int ms)
{
    struct pollfd p = {.fd = event_fd, .events = POLLIN};
    uint64_t n;
    if (poll(&p, 1, ms) != 1)
        return false;
    (void)!read(event_fd, &n, sizeof n);
    return true;
}

static void test_a_new_record_is_heard_of(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    must(file_write_new(lease_fd, "lease.json", "{}", 2, 0600, &err), &err);
    assert_true(heard(60000));
    assert_false(heard(50));
}

static void test_the_directory_s_end_is_heard_of(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    CLOSE_FD(vmm_fd);
    (void)close(lease_fd);
    must(dir_remove_tree(leases_fd, ID, &err), &err);
    assert_true(heard(60000));
    assert_int_equal(mkdirat(leases_fd, ID, 0700), 0);
    lease_fd = openat(leases_fd, ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int64_t on_disk(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return (int64_t)st.st_blocks * 512;
}

/* The file comes later than the watch, as a VMM's does. What the guest writes is no news for the
 * keeper, and a record that changes meanwhile is heard of without waiting for the log's turn. */
static void test_a_flood_is_kept_small(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_free_ char *line = xcalloc(1, 65536);
    memset(line, 'x', 65535);
    _cleanup_close_ int fd = openat(vmm_fd, VMM_CONSOLE_LOG,
                                    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (int64_t n = 0; n < LOGCAP_MAX + LOGCAP_MAX / 2; n += 65535)
        must(fd_write_all(fd, line, 65535, "log", &err), &err);
    assert_false(heard(0));
    must(file_write_new(lease_fd, "lease.json", "{}", 2, 0600, &err), &err);
    assert_true(heard(60000));
    struct deadline d = deadline_in_ms(120000);
    while (!deadline_passed(&d) && on_disk(fd) > LOGCAP_MAX)
        (void)poll(NULL, 0, 20);
    assert_true(on_disk(fd) <= LOGCAP_MAX);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_size >= LOGCAP_MAX + LOGCAP_MAX / 2);
    /* And again: the watch is set anew each time. */
    for (int64_t n = 0; n < LOGCAP_MAX + LOGCAP_MAX / 2; n += 65535)
        must(fd_write_all(fd, line, 65535, "log", &err), &err);
    d = deadline_in_ms(120000);
    while (!deadline_passed(&d) && on_disk(fd) > LOGCAP_MAX)
        (void)poll(NULL, 0, 20);
    assert_true(on_disk(fd) <= LOGCAP_MAX);
}

/* Nothing more is written once the watch is there. */
static void test_what_was_written_before_is_kept_small(void **state)
{
    (void)state;
    static const char other[] = "cbx_0123456789ac";
    struct error err = ERROR_INIT;
    _cleanup_free_ char *text = xcalloc(1, LOGCAP_MAX + 65536);
    assert_int_equal(mkdirat(leases_fd, other, 0700), 0);
    _cleanup_close_ int dir = openat(leases_fd, other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(dir, VMM_DIR, 0700), 0);
    _cleanup_close_ int fd = openat(dir, VMM_DIR "/" VMM_CONSOLE_LOG, O_RDWR | O_CREAT | O_CLOEXEC,
                                    0600);
    memset(text, 'x', LOGCAP_MAX + 65536);
    must(fd_write_all(fd, text, LOGCAP_MAX + 65536, "log", &err), &err);
    _cleanup_close_ int event = keeper_watch(leases_fd, other, &err);
    must(event, &err);
    struct deadline d = deadline_in_ms(120000);
    while (!deadline_passed(&d) && on_disk(fd) > LOGCAP_MAX)
        (void)poll(NULL, 0, 20);
    assert_true(on_disk(fd) <= LOGCAP_MAX);
    CLOSE_FD(dir);
    must(dir_remove_tree(leases_fd, other, &err), &err);
}

/* A VMM that was taken over may hold a lease on its log: the kernel lets the keeper in later, and
 * tells it nothing then. */
static void test_a_log_that_is_held_is_looked_at_again(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *line = xcalloc(1, 65536);
    memset(line, 'x', 65535);
    _cleanup_close_ int fd = openat(vmm_fd, VMM_CONSOLE_LOG,
                                    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)signal(SIGIO, SIG_IGN); /* by which the kernel asks for it back */
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        skip();
    for (int64_t n = 0; n < 2 * LOGCAP_MAX; n += 65535)
        must(fd_write_all(fd, line, 65535, "log", &err), &err);
    struct deadline d = deadline_in_ms(120000);
    while (!deadline_passed(&d) && fcntl(fd, F_GETLEASE) == F_WRLCK)
        (void)poll(NULL, 0, 20);
    assert_int_equal(fcntl(fd, F_GETLEASE), F_UNLCK); /* that is what it is asked to become */
    assert_true(on_disk(fd) > LOGCAP_MAX);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    d = deadline_in_ms(120000);
    while (!deadline_passed(&d) && on_disk(fd) > LOGCAP_MAX)
        (void)poll(NULL, 0, 20);
    assert_true(on_disk(fd) <= LOGCAP_MAX);
    (void)signal(SIGIO, SIG_DFL);
}

/* From here on this process gets no inotify instance: by a limit of a user namespace of its own, or
 * where there can be none (in a chroot) by taking all that there are. */
static bool use_up_instances(void)
{
    if (unshare(CLONE_NEWUSER) == 0) {
        _cleanup_close_ int limit = open("/proc/sys/user/max_inotify_instances",
                                         O_WRONLY | O_CLOEXEC);
        if (limit < 0 || write(limit, "0", 1) != 1)
            return false;
    }
    for (int i = 0; i < 100000; i++)
        if (inotify_init1(IN_CLOEXEC) < 0)
            return errno == EMFILE;
    return false;
}

/* "" or what went wrong. */
static const char *hear_without_an_instance(void)
{
    struct error err = ERROR_INIT;
    if (!use_up_instances())
        return "instances are left";
    struct pollfd p = {.fd = keeper_watch(leases_fd, ID, &err), .events = POLLIN};
    if (p.fd < 0 || file_write_new(lease_fd, "lease.json", "{}", 2, 0600, &err) < 0)
        return "refused";
    return poll(&p, 1, 10000) == 1 ? "" : "nothing heard";
}

/* Where the user has no inotify instance left, a change is heard of all the same. */
static void test_without_an_instance(void **state)
{
    (void)state;
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *why = hear_without_an_instance();
        fprintf(stderr, "%s", why);
        _exit(*why != '\0');
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_new_record_is_heard_of),
        T(test_the_directory_s_end_is_heard_of),
        T(test_a_flood_is_kept_small),
        T(test_a_log_that_is_held_is_looked_at_again),
        T(test_what_was_written_before_is_kept_small),
        T(test_without_an_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
