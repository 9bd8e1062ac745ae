/* Copies of root images: same bytes, holes stay holes, reflink where the filesystem has it, and a
 * failed copy leaves nothing. Mounts are made in a mount namespace of the test's own (root). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "sys/file.h"
#include "testutil/scratch.h"

#define MIB (1 << 20)

static bool private_mounts; /* this process has a mount namespace of its own */

static int setup(void **state)
{
    (void)scratch_open(state);
    private_mounts = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return 0;
}

static void need_mounts(void)
{
    if (private_mounts)
        return;
    if (getenv("CI"))
        fail_msg("CI must run this test as root");
    skip();
}

static const char *path_of(char buf[static PATH_MAX], const char *name)
{
    assert_int_equal(str_format(buf, PATH_MAX, "%s/%s", scratch_dir, name), 0);
    return buf;
}

static int open_dir(const char *name)
{
    char path[PATH_MAX];
    int fd = open(path_of(path, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void make_dir(const char *name)
{
    char path[PATH_MAX];
    assert_int_equal(mkdir(path_of(path, name), 0700), 0);
}

static void unmount(const char *name)
{
    char path[PATH_MAX];
    assert_int_equal(umount(path_of(path, name)), 0);
    assert_int_equal(rmdir(path), 0);
}

static void mount_tmpfs(const char *name, const char *options)
{
    char path[PATH_MAX];
    make_dir(name);
    assert_int_equal(mount("none", path_of(path, name), "tmpfs", 0, options), 0);
}

/* 8 MiB with data at 0, 3 MiB and the last byte; the rest are holes. */
static void make_sparse(const char *name)
{
    char path[PATH_MAX];
    static char block[64 * 1024];
    _cleanup_close_ int fd = open(path_of(path, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    memset(block, 'a', sizeof block);
    assert_int_equal(ftruncate(fd, 8 * MIB), 0);
    assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
    assert_int_equal(pwrite(fd, block, sizeof block, 3 * MIB), sizeof block);
    assert_int_equal(pwrite(fd, "z", 1, 8 * MIB - 1), 1);
}

static void same_bytes(const char *a, const char *b, size_t len)
{
    char path[PATH_MAX];
    _cleanup_free_ char *x = xcalloc(1, len), *y = xcalloc(1, len);
    _cleanup_close_ int fa = open(path_of(path, a), O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int fb = open(path_of(path, b), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fa, x, len, 0), (ssize_t)len);
    assert_int_equal(pread(fb, y, len, 0), (ssize_t)len);
    assert_memory_equal(x, y, len);
}

/* Opens and clones, as image_load and the step do. */
static int clone_of(const char *src, int dirfd, const char *name, int64_t size_mib,
                    enum clone_how *how, struct error *err)
{
    char path[PATH_MAX];
    _cleanup_close_ int in = open(path_of(path, src), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return image_clone(in, path, dirfd, name, size_mib, NULL, how, err);
}

/* Clones src to <to>/copy, compares, checks size, mode and blocks; gives back how. */
static enum clone_how clone_and_compare(const char *src, const char *to, int64_t size_mib)
{
    struct error err = ERROR_INIT;
    struct stat st;
    char copy[PATH_MAX];
    enum clone_how how = CLONE_COPY;
    _cleanup_close_ int fd = open_dir(to);
    must(clone_of(src, fd, "copy", size_mib, &how, &err), &err);
    assert_int_equal(fstatat(fd, "copy", &st, 0), 0);
    assert_int_equal(st.st_size, (size_mib > 8 ? size_mib : 8) * MIB);
    assert_int_equal(st.st_mode & 07777, 0600);
    if (how == CLONE_SPARSE)
        assert_true(st.st_blocks * 512 < MIB);
    assert_int_equal(str_format(copy, sizeof copy, "%s/copy", to), 0);
    same_bytes(src, copy, 8 * MIB);
    must(file_unlink(fd, "copy", &err), &err);
    return how;
}

static enum clone_how probe(const char *from, const char *to)
{
    struct error err = ERROR_INIT;
    char a[PATH_MAX], b[PATH_MAX];
    enum clone_how how = CLONE_COPY;
    must(image_clone_probe(path_of(a, from), path_of(b, to), &how, &err), &err);
    return how;
}

static void test_here(void **state)
{
    (void)state;
    make_dir("here");
    make_sparse("here/src");
    enum clone_how how = clone_and_compare("here/src", "here", 0);
    assert_int_equal(how, probe("here", "here"));
    print_message("%s: %s\n", scratch_dir, clone_how_name(how));
    assert_int_equal(clone_and_compare("here/src", "here", 4), how);  /* never made smaller */
    assert_int_equal(clone_and_compare("here/src", "here", 64), how); /* grown by a hole */
}

/* Anything but a file is refused; nothing is replaced. */
static void test_refusals(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char path[PATH_MAX];
    enum clone_how how;
    _cleanup_close_ int fd = open_dir(".");
    assert_int_equal(clone_of(".", fd, "c", 0, &how, &err), -1);
    assert_non_null(strstr(err.msg, "regular file"));
    assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
    assert_int_equal(clone_of("fifo", fd, "c", 0, &how, &err), -1);
    must(file_write_new(fd, "one", "1", 1, 0600, &err), &err);
    must(file_write_new(fd, "two", "2", 1, 0600, &err), &err);
    assert_int_equal(clone_of("one", fd, "two", 0, &how, &err), -1);
    assert_int_equal(err.sys, EEXIST);
    assert_int_equal(clone_of("one", fd, "c", -1, &how, &err), -1);
    assert_int_equal(clone_of("one", fd, "c", INT64_MAX, &how, &err), -1);
    assert_int_equal(faccessat(fd, "c", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(image_clone_probe(path_of(path, "none"), scratch_dir, &how, &err), -1);
    assert_int_equal(image_clone_probe(scratch_dir, path_of(path, "none"), &how, &err), -1);
}

/* A copy ends when the user interrupts, and leaves nothing. */
static void test_interrupted(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    enum clone_how how;
    struct deadline d = deadline_in_ms(60000);
    need_mounts();
    mount_tmpfs("other", "size=64m");
    make_sparse("source");
    _cleanup_close_ int user = eventfd(1, EFD_CLOEXEC);
    d.cancel_fd = user;
    _cleanup_close_ int in = open(path_of(path, "source"), O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int dir = open(path_of(path, "other"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(image_clone(in, "source", dir, "copy", 0, &d, &how, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_int_equal(faccessat(dir, "copy", F_OK, 0), -1);
    CLOSE_FD(dir);
    unmount("other");
}

static void test_across_filesystems(void **state)
{
    (void)state;
    need_mounts();
    mount_tmpfs("tmpfs", "size=64m");
    make_dir("disk");
    make_sparse("tmpfs/src");
    make_sparse("disk/src");
    assert_int_equal(clone_and_compare("tmpfs/src", "disk", 0), CLONE_SPARSE);
    assert_int_equal(clone_and_compare("disk/src", "tmpfs", 0), CLONE_SPARSE);
    assert_int_equal(clone_and_compare("tmpfs/src", "tmpfs", 16), CLONE_SPARSE);
    assert_int_equal(probe("tmpfs", "disk"), CLONE_SPARSE);
    assert_int_equal(probe("disk", "tmpfs"), CLONE_SPARSE);
    unmount("tmpfs");
}

static void test_full_disk(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    enum clone_how how;
    need_mounts();
    mount_tmpfs("tiny", "size=64k");
    make_sparse("big");
    {
        _cleanup_close_ int fd = open_dir("tiny");
        assert_int_equal(clone_of("big", fd, "copy", 0, &how, &err), -1);
        assert_int_equal(err.kind, ERR_IO);
        assert_int_equal(err.sys, ENOSPC);
        assert_non_null(strstr(err.msg, "CRABBOX_FC_STATE_DIR"));
        assert_int_equal(faccessat(fd, "copy", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    }
    unmount("tiny");
}

/* Looking is all it does: it needs no right to write, and leaves the directories as they were. */
static void test_probe_only_looks(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct stat before, after;
    need_mounts();
    mount_tmpfs("store", "size=16m");
    assert_int_equal(mount("none", path_of(path, "store"), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_int_equal(stat(scratch_dir, &before), 0);
    assert_int_equal(probe("store", "."), CLONE_SPARSE);
    assert_int_equal(probe(".", "store"), CLONE_SPARSE);
    assert_int_equal(stat(scratch_dir, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    unmount("store");
}

/* Filesystems that it does not know are not guessed at. */
static void test_probe_unknown(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    enum clone_how how;
    assert_int_equal(image_clone_probe(scratch_dir, "/proc", &how, &err), -1);
    assert_non_null(strstr(err.msg, "/proc: filesystem of unknown kind 0x00009fa0"));
}

/* The real thing: filesystems that share blocks, on a loop mount, or do not. */
static void clone_on(const char *const *mkfs, const char *image, enum clone_how expect,
                     void (*more)(void))
{
    char disk[PATH_MAX], mnt[PATH_MAX], other[PATH_MAX];
    enum clone_how how;
    struct error err = ERROR_INIT;
    need_mounts();
    _cleanup_close_ int fd = open(path_of(disk, image), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                  0600);
    assert_int_equal(ftruncate(fd, 512 * (off_t)MIB), 0);
    const char *const make[] = {mkfs[0], mkfs[1], mkfs[2], mkfs[3], disk, NULL};
    make_dir("mnt");
    const char *const mount_it[] = {"/bin/mount", "-o", "loop", disk, path_of(mnt, "mnt"), NULL};
    if (run_program(make, NULL) != 0 || run_program(mount_it, NULL) != 0) {
        assert_int_equal(rmdir(mnt), 0);
        if (getenv("CI"))
            fail_msg("CI needs %s and a kernel that mounts what it makes", mkfs[0]);
        skip();
    }
    make_sparse("mnt/src");
    assert_int_equal(clone_and_compare("mnt/src", "mnt", 0), expect);
    assert_int_equal(clone_and_compare("mnt/src", "mnt", 100), expect);
    assert_int_equal(probe("mnt", "mnt"), expect);
    make_dir("mnt/sub");
    assert_int_equal(probe("mnt", "mnt/sub"), expect);
    assert_int_equal(probe("mnt", "."), CLONE_SPARSE);
    must(image_clone_probe(mnt, path_of(other, "."), &how, &err), &err);
    assert_int_equal(clone_and_compare("mnt/src", ".", 0), CLONE_SPARSE);
    if (more)
        more();
    unmount("mnt");
}

/* btrfs keeps all of what was written in one piece while a block of it is in use: each round leaves
 * its first block to the file and writes the rest anew. Overwritten in place nothing is kept. */
static void overwrite_all_but_the_first(int fd)
{
    enum { PIECE = 4 * MIB, ROUNDS = 16 };
    _cleanup_free_ char *text = xcalloc(1, PIECE);
    memset(text, 'x', PIECE);
    for (int i = 0; i < ROUNDS; i++) {
        off_t skip = i * (off_t)4096;
        assert_int_equal(pwrite(fd, text, (size_t)(PIECE - skip), 8 * (off_t)MIB + skip),
                         PIECE - skip);
        assert_int_equal(fsync(fd), 0);
    }
}

static void stays_in_its_room(int dir, const char *name)
{
    struct statvfs before, after;
    _cleanup_close_ int fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    assert_int_equal(syncfs(dir), 0);
    assert_int_equal(fstatvfs(dir, &before), 0);
    overwrite_all_but_the_first(fd);
    assert_int_equal(syncfs(dir), 0);
    assert_int_equal(fstatvfs(dir, &after), 0);
    assert_true((before.f_bfree - after.f_bfree) * before.f_frsize < 12 * (uint64_t)MIB);
}

static void disks_stay_in_their_room_in(const char *name)
{
    struct error err = ERROR_INIT;
    enum clone_how how;
    _cleanup_close_ int dir = open_dir(name);
    must(image_make_disk(dir, "disk", 64, "test", &err), &err);
    stays_in_its_room(dir, "disk");
    must(clone_of("mnt/src", dir, "root", 64, &how, &err), &err);
    stays_in_its_room(dir, "root");
}

/* A container's filesystem says nothing of the one that has its files. */
static void disks_stay_in_their_room(void)
{
    static const char *const dirs[] = {"mnt/low", "mnt/up", "mnt/work", "above"};
    char path[PATH_MAX];
    _cleanup_free_ char *options = xasprintf(
        "lowerdir=%s/mnt/low,upperdir=%s/mnt/up,workdir=%s/mnt/work", scratch_dir, scratch_dir,
        scratch_dir);
    disks_stay_in_their_room_in("mnt");
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        make_dir(dirs[i]);
    assert_int_equal(mount("none", path_of(path, "above"), "overlay", 0, options), 0);
    disks_stay_in_their_room_in("above");
    _cleanup_close_ int dir = open_dir("above");
    _cleanup_close_ int disk = openat(dir, "disk", O_RDONLY | O_CLOEXEC);
    assert_true(file_keeps_extents(disk));
    CLOSE_FD(disk);
    CLOSE_FD(dir);
    unmount("above");
}

static void test_btrfs(void **state)
{
    (void)state;
    static const char *const mkfs[] = {"/sbin/mkfs.btrfs", "-q", "-q", "-f"};
    clone_on(mkfs, "btrfs.img", CLONE_SPARSE, disks_stay_in_their_room);
}

static void test_reflink_xfs(void **state)
{
    (void)state;
    static const char *const mkfs[] = {"/sbin/mkfs.xfs", "-q", "-m", "reflink=1"};
    clone_on(mkfs, "xfs.img", CLONE_REFLINK, NULL);
}

static void test_no_reflink_xfs(void **state)
{
    (void)state;
    static const char *const mkfs[] = {"/sbin/mkfs.xfs", "-q", "-m", "reflink=0"};
    clone_on(mkfs, "plain-xfs.img", CLONE_SPARSE, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_here),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_interrupted),   cmocka_unit_test(test_across_filesystems),
        cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_probe_only_looks),
        cmocka_unit_test(test_probe_unknown), cmocka_unit_test(test_btrfs),
        cmocka_unit_test(test_reflink_xfs),   cmocka_unit_test(test_no_reflink_xfs),
    };
    return cmocka_run_group_tests(tests, setup, scratch_close);
}
