#include "sys/jail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "testutil/scratch.h"

#define OWNER 54321

static struct jail jail;
static int confine_fd = -1;

/* A jail with what a shell needs, a directory to write in and a file to read; and a list of files
 * that keeps nothing out, so that it is the jail that does. */
static void make_jail(void)
{
    struct error err = ERROR_INIT;
    static const char *const links[][2] = {
        {"usr/bin", "/bin"}, {"usr/lib", "/lib"}, {"usr/lib64", "/lib64"}};
    must(jail_open(&jail, OWNER, &err), &err);
    must(jail_put(&jail, AT_FDCWD, "/usr", "/usr", JAIL_EXECUTE, false, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        must(jail_link(&jail, links[i][0], links[i][1], &err), &err);
    must(jail_put(&jail, scratch_fd, "own", "/lease", JAIL_WRITE, false, &err), &err);
    must(jail_put(&jail, scratch_fd, "read", "/image/read", JAIL_READ, false, &err), &err);
    must(jail_device(&jail, "/dev/null", &err), &err);
    jail.cwd = "/lease";
    confine_fd = confine_new(&err);
    must(confine_fd, &err);
    static const enum confine_access all[] = {CONFINE_EXECUTE, CONFINE_DEVICE};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        must(confine_allow(confine_fd, AT_FDCWD, "/", all[i], false, &err), &err);
        must(confine_allow(confine_fd, jail.root_fd, ".", all[i], false, &err), &err);
    }
}

static void drop_jail(void)
{
    CLOSE_FD(confine_fd);
    jail_close(&jail);
}

static int setup(void **state)
{
    struct error err = ERROR_INIT;
    assert_int_equal(scratch_open(state), 0);
    assert_int_equal(mkdirat(scratch_fd, "own", 0700), 0);
    assert_int_equal(fchownat(scratch_fd, "own", OWNER, OWNER, 0), 0);
    must(file_write_new(scratch_fd, "read", "text\n", 5, 0644, &err), &err);
    return 0;
}

static void start(const char *line, int out_fd, struct child *child)
{
    static const struct caller user = {OWNER, OWNER};
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    make_jail();
    spec.argv = argv;
    spec.stdout_fd = out_fd;
    spec.stderr_fd = out_fd;
    spec.confine_fd = confine_fd;
    spec.jail = &jail;
    spec.user = &user;
    must(spawn(&spec, child, &err), &err);
    drop_jail();
}

/* What a line of shell prints in the jail, where it can start no process but become one. */
static void expect(const char *line, const char *says)
{
    int p[2];
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct child child = CHILD_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    start(line, p[1], &child);
    (void)close(p[1]);
    must(fd_read_all(p[0], 65536, "output", &out, &err), &err);
    (void)close(p[0]);
    must(child_wait(&child, NULL, &st, &err), &err);
    if (!str_eq(out.buf ? out.buf : "", says))
        fail_msg("%s: %s", line, out.buf);
}

static void test_it_sees_what_was_put_there(void **state)
{
    (void)state;
    expect("exec ls -A /", "bin\ndev\nimage\nlease\nlib\nlib64\nusr\n");
    expect("exec ls -A /dev /image", "/dev:\nnull\n\n/image:\nread\n");
    expect("exec cat /image/read", "text\n");
    expect("pwd", "/lease\n");
    expect("exec ls -A ../..", "bin\ndev\nimage\nlease\nlib\nlib64\nusr\n");
    expect("echo lost >>/dev/null", "");
}

static void test_it_is_a_user_of_its_own(void **state)
{
    (void)state;
    expect("exec id -u", "54321\n");
    expect("exec id -G", "54321\n");
    expect("exec uname -n", "vmm\n");
    expect("echo $$", "1\n");
}

static bool mounts_have(pid_t pid, const char *what)
{
    char path[64];
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf table = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/mountinfo", (int)pid);
    must(file_read_at(AT_FDCWD, path, 1 << 20, &table, &err), &err);
    return strstr(table.buf, what) != NULL;
}

/* An automounter's point that is set up later, for one. */
static void test_what_is_mounted_later_does_not_show(void **state)
{
    (void)state;
    int p[2];
    char point[PATH_MAX + 8];
    _cleanup_(child_kill) struct child child = CHILD_INIT;
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    (void)close(scratch_fd);
    scratch_fd = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);    /* of this namespace */
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0); /* as systemd has it */
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    start("exec sleep 1000", p[1], &child);
    (void)str_format(point, sizeof point, "%s/own", scratch_dir);
    assert_int_equal(mount("later", point, "tmpfs", 0, NULL), 0);
    assert_true(mounts_have(getpid(), "later"));
    assert_false(mounts_have(child.pid, "later"));
    assert_false(mounts_have(child.pid, " /proc "));
    /* And what did show is read-only, but for one directory. */
    assert_true(mounts_have(child.pid, " / / ro,"));
    assert_true(mounts_have(child.pid, " /usr ro,"));
    assert_true(mounts_have(child.pid, " /image/read ro,"));
    assert_true(mounts_have(child.pid, " /lease rw,nosuid,nodev,noexec"));
    assert_int_equal(umount2(point, MNT_DETACH), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    (void)close(p[0]);
    (void)close(p[1]);
}

/* In a directory with what the tests need, whose root is a tmpfs, or which is no mount. */
static void enter_root(bool is_mount)
{
    static const char *const host[] = {"usr", "dev", "proc", "tmp"};
    static const char *const links[][2] = {
        {"usr/bin", "bin"}, {"usr/lib", "lib"}, {"usr/lib64", "lib64"}};
    char root[PATH_MAX], from[16];
    (void)str_copy(root, sizeof root, scratch_dir);
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(chdir(root), 0);
    assert_int_equal(mkdir("root", 0755), 0);
    if (is_mount)
        assert_int_equal(mount("root", "root", "tmpfs", 0, NULL), 0);
    assert_int_equal(chdir("root"), 0);
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        (void)str_format(from, sizeof from, "/%s", host[i]);
        assert_int_equal(mkdir(host[i], 0755), 0);
        assert_int_equal(mount(from, host[i], NULL, MS_BIND | MS_REC, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        assert_int_equal(symlink(links[i][0], links[i][1]), 0);
    assert_int_equal(chroot("."), 0);
    (void)close(scratch_fd);
    scratch_fd = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Back to the first root, in the first namespace of mounts. */
static void leave_root(int root, int ns)
{
    (void)close(scratch_fd);
    assert_int_equal(setns(ns, CLONE_NEWNS), 0);
    assert_int_equal(fchdir(root), 0);
    assert_int_equal(chroot("."), 0);
    scratch_fd = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* As an initramfs is one. */
static void test_a_root_in_memory(void **state)
{
    (void)state;
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    enter_root(true);
    expect("exec ls -A /", "bin\ndev\nimage\nlease\nlib\nlib64\nusr\n");
    expect("exec ls -A ../../..", "bin\ndev\nimage\nlease\nlib\nlib64\nusr\n");
    expect("exec cat /image/read", "text\n");
    expect("pwd", "/lease\n");
    leave_root(root, ns);
}

static void test_a_root_that_is_no_mount(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct jail none;
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    enter_root(false);
    int r = jail_open(&none, OWNER, &err);
    leave_root(root, ns);
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "; next: mount --bind DIR DIR before chroot DIR"));
}

static void test_what_can_not_be_put_there(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    make_jail();
    unsigned n = jail.n;
    must(jail_put(&jail, AT_FDCWD, "/no/such", "/no/such", JAIL_READ, true, &err), &err);
    assert_int_equal(jail_put(&jail, AT_FDCWD, "/no/such", "/x", JAIL_READ, false, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    must(jail_device(&jail, "/dev/no-such", &err), &err);
    error_clear(&err);
    assert_int_equal(jail_device(&jail, "/etc/passwd", &err), -1);
    assert_non_null(strstr(err.msg, "not a character device"));
    assert_int_equal(jail.n, n);
    drop_jail();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, scratch_close)
    const struct CMUnitTest tests[] = {
        T(test_it_sees_what_was_put_there),
        T(test_it_is_a_user_of_its_own),
        T(test_what_is_mounted_later_does_not_show),
        T(test_a_root_that_is_no_mount),
        T(test_a_root_in_memory),
        T(test_what_can_not_be_put_there),
    };
    if (geteuid() != 0)
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
