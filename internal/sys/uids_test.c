/* Ids for VMMs. Everything happens in a mount namespace of the test's own, with another /run. */
#include "sys/uids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "testutil/scratch.h"

#define FIRST 1900000000u

static int setup(void **state)
{
    assert_int_equal(scratch_open(state), 0);
    assert_int_equal(mount("run", "/run", "tmpfs", 0, "mode=0755"), 0);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(umount2("/run", MNT_DETACH), 0);
    return scratch_close(state);
}

static void test_ranges(void **state)
{
    static const char *const bad[] = {
        "",       "1900000000",       "-",          "2-1", "1000-70000", "70000-x", "70000-",
        "-70000", "70000-2147483646", "70001-70000"};
    struct uid_range r;
    struct error err = ERROR_INIT;
    (void)state;
    must(uid_range_parse(UID_RANGE, &r, &err), &err);
    assert_int_equal(r.first, FIRST);
    assert_int_equal(r.last, FIRST + 65535);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        error_clear(&err);
        assert_int_equal(uid_range_parse(bad[i], &r, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
    }
}

/* A line "user:first:count", at either end of the range and around it. */
static void test_subordinate_ids(void **state)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {{"", 0},
                 {"a:100000:65536\nmalformed\nb:1900000010:\n", 0},
                 {"a:1899999000:1000\n", 0},
                 {"a:1899999000:1001\n", -1},
                 {"a:1900000009:1\n", -1},
                 {"a:1900000010:1\n", 0},
                 {"a:1800000000:200000000\n", -1},
                 {"a:1900000003:0\n", 0}};
    const struct uid_range r = {FIRST, FIRST + 9};
    _cleanup_free_ char *path = xasprintf("%s/subuid", scratch_dir);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = ERROR_INIT;
        must(file_write_new(scratch_fd, "subuid", cases[i].text, strlen(cases[i].text), 0644, &err),
             &err);
        assert_int_equal(mount(path, "/etc/subuid", NULL, MS_BIND, NULL), 0);
        int got = uid_range_check(&r, &err);
        assert_int_equal(umount2("/etc/subuid", MNT_DETACH), 0);
        if (got != cases[i].want)
            fail_msg("%s: %d, %s", cases[i].text, got, err.msg);
        if (got < 0)
            assert_non_null(strstr(err.msg, "/etc/subuid:1, which belong"));
    }
}

static void test_each_has_one_of_its_own(void **state)
{
    const struct uid_range r = {FIRST, FIRST + 1};
    uid_t a = 0, b = 0, again = 0;
    struct error err = ERROR_INIT;
    (void)state;
    int first = uid_claim(&r, UID_DIRECTORY, &a, &err);
    must(first, &err);
    _cleanup_close_ int second = uid_claim(&r, UID_DIRECTORY, &b, &err);
    must(second, &err);
    assert_int_equal(a, FIRST);
    assert_int_equal(b, FIRST + 1);
    assert_int_equal(uid_claim(&r, UID_DIRECTORY, &again, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "sandboxUids"));
    /* The lock can be held by whoever inherited it, and can't be written to. */
    int inherited = dup(first);
    (void)close(first);
    assert_int_equal(write(inherited, "x", 1), -1);
    error_clear(&err);
    assert_int_equal(uid_claim(&r, UID_DIRECTORY, &again, &err), -1);
    (void)close(inherited);
    error_clear(&err);
    _cleanup_close_ int third = uid_claim(&r, UID_DIRECTORY, &again, &err);
    must(third, &err);
    assert_int_equal(again, a);
}

/* 65534 is nobody on every Debian. */
static void test_an_id_of_a_user_is_passed_over(void **state)
{
    const struct uid_range r = {65534, 65535};
    uid_t got = 0;
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_close_ int fd = uid_claim(&r, UID_DIRECTORY, &got, &err);
    must(fd, &err);
    assert_int_equal(got, 65535);
}

/* A VMM that was taken over has closed its lock and runs on. */
static void test_an_id_that_runs_is_passed_over(void **state)
{
    const struct uid_range r = {FIRST + 2, FIRST + 3};
    uid_t got = 0;
    int ready[2];
    char c;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setuid(FIRST + 2) < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    _cleanup_close_ int fd = uid_claim(&r, UID_DIRECTORY, &got, &err);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    must(fd, &err);
    assert_int_equal(got, FIRST + 3);
    _cleanup_close_ int again = uid_claim(&r, UID_DIRECTORY, &got, &err);
    must(again, &err);
    assert_int_equal(got, FIRST + 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_ranges), T(test_subordinate_ids), T(test_each_has_one_of_its_own),
        T(test_an_id_of_a_user_is_passed_over), T(test_an_id_that_runs_is_passed_over)};
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
