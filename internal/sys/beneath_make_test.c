/* What is made and opened below a directory: never through a link, and in the name of whoever
 * called sudo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/beneath.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "testutil/scratch.h"

#define USER 4321

static void put(const char *path)
{
    struct error err = ERROR_INIT;
    must(file_write_new(AT_FDCWD, path, "x", 1, 0644, &err), &err);
}

static int setup(void **state)
{
    (void)umask(022);
    (void)scratch_open(state);
    assert_return_code(chmod(scratch_dir, 0755), errno);
    assert_return_code(chdir(scratch_dir), errno);
    return 0;
}

static int teardown(void **state)
{
    (void)unsetenv("SUDO_UID");
    (void)unsetenv("SUDO_GID");
    (void)unsetenv("DOAS_USER");
    assert_return_code(chdir("/"), errno);
    return scratch_close(state);
}

static void test_mkdirs(void **state)
{
    unsigned made;
    struct stat st;
    (void)state;
    assert_int_equal(dir_make_all("away", 0755, NULL), 0);
    assert_int_equal(dir_make_all("repo/sub/real", 0755, NULL), 0);
    put("repo/plain");
    assert_return_code(symlink("../away", "repo/dirlink"), errno);
    assert_return_code(symlink("../away/none", "repo/dangling"), errno);
    assert_return_code(chdir("repo"), errno);
    _cleanup_close_ int dirfd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int a = beneath_mkdirs(dirfd, "sub/a/b", 0755, &made);
    assert_true(a >= 0);
    assert_int_equal(made, 2);
    _cleanup_close_ int again = beneath_mkdirs(dirfd, "sub/a/b", 0755, &made);
    assert_true(again >= 0);
    assert_int_equal(made, 0);
    beneath_rmdirs(dirfd, "sub/a/b", 2);
    assert_int_equal(stat("sub/a", &st), -1);
    assert_int_equal(stat("sub", &st), 0);
    static const char *const bad[] = {"dirlink",   "dirlink/x", "dangling/x",      "..",
                                      "../away/x", "plain/x",   "sub/../../away/x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(beneath_mkdirs(dirfd, bad[i], 0755, NULL), -1);
    assert_int_equal(stat("../away/x", &st), -1);
    /* What was made before it failed goes away again, and nothing else does. */
    char too_long[NAME_MAX + 32] = "sub/new/b/";
    memset(too_long + strlen(too_long), 'x', NAME_MAX + 1);
    const char *const half[] = {"sub/new/b/../c", "sub/new/../c", too_long};
    for (size_t i = 0; i < ARRAY_LEN(half); i++) {
        made = 1;
        assert_int_equal(beneath_mkdirs(dirfd, half[i], 0755, &made), -1);
        assert_int_equal(made, 0);
        assert_int_equal(stat("sub/new", &st), -1);
        assert_int_equal(stat("sub/real", &st), 0);
    }
    assert_return_code(mkdir("sub/empty", 0755), errno);
    assert_int_equal(beneath_mkdirs(dirfd, "sub/empty/new/../c", 0755, NULL), -1);
    assert_int_equal(stat("sub/empty/new", &st), -1);
    assert_int_equal(stat("sub/empty", &st), 0);
}

/* ---- who called sudo ---- */

static void be_root_by_sudo(void)
{
    assert_return_code(setenv("SUDO_UID", "4321", 1), errno);
    assert_return_code(setenv("SUDO_GID", "4321", 1), errno);
}

static uid_t owner(const char *path)
{
    struct stat st;
    assert_return_code(lstat(path, &st), errno);
    assert_int_equal(st.st_uid, st.st_gid);
    return st.st_uid;
}

static void make_four(const char *dir)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *sub = xasprintf("%s/new/dir", dir);
    _cleanup_free_ char *out = xasprintf("%s/out", dir);
    _cleanup_free_ char *file = xasprintf("%s/file", dir);
    unsigned made;
    _cleanup_close_ int dirfd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = beneath_mkdirs(dirfd, sub, 0755, &made);
    assert_true(fd >= 0);
    _cleanup_close_ int written = beneath_output("--x", out, &err);
    must(written, &err);
    put(file);
}

static void test_sudo_caller(void **state)
{
    struct caller c;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(dir_make_all("theirs", 0755, NULL), 0);
    assert_int_equal(dir_make_all("ours", 0755, NULL), 0);
    assert_return_code(chown("theirs", USER, USER), errno);
    static const char *const not_ids[][2] = {
        {"0", "0"}, {"x", "1"}, {"4321", ""}, {"-1", "-1"}, {"4294967295", "4321"}};
    for (size_t i = 0; i < ARRAY_LEN(not_ids); i++) {
        assert_return_code(setenv("SUDO_UID", not_ids[i][0], 1), errno);
        assert_return_code(setenv("SUDO_GID", not_ids[i][1], 1), errno);
        assert_false(caller_get(&c));
    }
    be_root_by_sudo();
    make_four("theirs");
    make_four("ours");
    static const char *const made[] = {"new", "new/dir", "out", "file"};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        _cleanup_free_ char *theirs = xasprintf("theirs/%s", made[i]);
        _cleanup_free_ char *ours = xasprintf("ours/%s", made[i]);
        assert_int_equal(owner(theirs), USER);
        assert_int_equal(owner(ours), 0);
    }
    /* The way to the state directory is the user's, the directory itself is not. */
    _cleanup_close_ int fd = dir_open_private("theirs/.local/state/crabbox-fc", NULL);
    assert_true(fd >= 0);
    assert_int_equal(owner("theirs/.local"), USER);
    assert_int_equal(owner("theirs/.local/state"), USER);
    assert_int_equal(owner("theirs/.local/state/crabbox-fc"), 0);
    /* And this thread is who it was. */
    assert_return_code(mkdir("after", 0700), errno);
    assert_int_equal(owner("after"), 0);
}

/* doas tells only the user's name. */
static void test_doas_caller(void **state)
{
    struct caller c;
    struct caller nobody;
    (void)state;
    if (geteuid() != 0 || !caller_by_name("nobody", &nobody))
        skip();
    uid_t uid = nobody.uid;
    static const char *const not_callers[] = {"", "root", "no such user", "65534"};
    for (size_t i = 0; i < ARRAY_LEN(not_callers); i++) {
        assert_return_code(setenv("DOAS_USER", not_callers[i], 1), errno);
        assert_false(caller_get(&c));
    }
    assert_return_code(setenv("DOAS_USER", "nobody", 1), errno);
    assert_true(caller_get(&c));
    assert_int_equal(c.uid, uid);
    assert_int_equal(dir_make_all("theirs", 0755, NULL), 0);
    assert_return_code(chown("theirs", uid, c.gid), errno);
    struct stat st;
    put("theirs/file");
    assert_return_code(stat("theirs/file", &st), errno);
    assert_int_equal(st.st_uid, uid);
    /* Where sudo's word differs, one of them is the caller's own. */
    assert_return_code(setenv("SUDO_UID", "0", 1), errno);
    assert_false(caller_get(&c));
    be_root_by_sudo();
    assert_false(caller_get(&c));
    assert_return_code(unsetenv("DOAS_USER"), errno);
    assert_true(caller_get(&c));
    assert_int_equal(c.uid, USER);
}

/* Opening a device acts on it. */
static void test_devices_are_not_opened(void **state)
{
    struct stat st;
    (void)state;
    put("plain");
    assert_return_code(mkdir("sub", 0755), errno);
    assert_return_code(mkfifo("fifo", 0600), errno);
    if (mknod("device", S_IFCHR | 0600, makedev(1, 5)) < 0)
        skip();
    static const struct {
        const char *name;
        int flags;
        bool opened;
    } cases[] = {{"device", O_RDONLY, false}, {"device", O_WRONLY | O_NONBLOCK, false},
                 {"fifo", O_RDONLY, false},   {"plain", O_RDONLY, true},
                 {"plain", O_WRONLY, true},   {"sub", O_RDONLY, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_close_ int fd = beneath_open_plain(AT_FDCWD, cases[i].name, cases[i].flags, &st);
        assert_return_code(fd, errno);
        if (!(fcntl(fd, F_GETFL) & O_PATH) != cases[i].opened)
            fail_msg("%s", cases[i].name);
    }
    struct error err = ERROR_INIT;
    assert_int_equal(beneath_input("--x", "device", NULL, &err), -1);
    assert_non_null(strstr(err.msg, "it is a device"));
    error_clear(&err);
    assert_int_equal(beneath_output("--x", "device", &err), -1);
    assert_non_null(strstr(err.msg, "it is a device"));
}

/* A process that holds a lease on a file of the tree keeps nobody waiting. */
static void test_file_with_a_lease(void **state)
{
    struct stat st;
    (void)state;
    put("plain");
    _cleanup_close_ int holder = open("plain", O_RDONLY | O_CLOEXEC);
    (void)signal(SIGIO, SIG_IGN); /* what the kernel asks the holder with */
    if (fcntl(holder, F_SETLEASE, F_WRLCK) < 0)
        skip();
    assert_int_equal(beneath_open_plain(AT_FDCWD, "plain", O_RDONLY, &st), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(beneath_open(AT_FDCWD, "plain", O_RDONLY | O_NONBLOCK, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_return_code(fcntl(holder, F_SETLEASE, F_UNLCK), errno);
    _cleanup_close_ int fd = beneath_open_plain(AT_FDCWD, "plain", O_RDONLY, &st);
    assert_return_code(fd, errno);
}

/* What no shell has expanded would be made as a directory of that name, and "-" as a file. */
static void test_home_is_no_name(void **state)
{
    static const char *const home[] = {"~", "~/", "~/x", "~/file"};
    (void)state;
    assert_int_equal(dir_make_all("~/x", 0755, NULL), 0);
    put("~/file");
    put("~file");
    for (size_t i = 0; i < sizeof home / sizeof *home; i++) {
        struct error in = ERROR_INIT, out = ERROR_INIT;
        assert_int_equal(beneath_input("--script", home[i], NULL, &in), -1);
        assert_int_equal(in.kind, ERR_USAGE);
        assert_non_null(strstr(in.msg, "; next: write $HOME"));
        assert_int_equal(beneath_output("--capture-stdout", home[i], &out), -1);
        assert_int_equal(out.kind, ERR_USAGE);
    }
    struct error dash = ERROR_INIT;
    assert_int_equal(beneath_output("--capture-stdout", "-", &dash), -1);
    assert_non_null(strstr(dash.msg, "; next: write /dev/stdin"));
    _cleanup_close_ int inside = beneath_input("--script", "./~/file", NULL, NULL);
    _cleanup_close_ int named = beneath_input("--script", "~file", NULL, NULL);
    assert_true(inside >= 0 && named >= 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_mkdirs),
        TEST(test_devices_are_not_opened),
        TEST(test_file_with_a_lease),
        TEST(test_home_is_no_name),
        TEST(test_sudo_caller),
        TEST(test_doas_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
