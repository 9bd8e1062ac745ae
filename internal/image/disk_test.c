/* Empty disks: e2fsck finds nothing to say about them, they cost almost no blocks, and the kernel
 * mounts and uses them (root only, in a mount namespace of the test's own). */
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
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "testutil/scratch.h"

static void fsck_is_clean(const char *name)
{
    char path[PATH_MAX];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    assert_int_equal(str_format(path, sizeof path, "%s/%s", scratch_dir, name), 0);
    const char *const argv[] = {"/sbin/e2fsck", "-f", "-n", path, NULL};
    int code = run_program(argv, &out);
    if (code != 0 || strstr(out.buf, "Fix?"))
        fail_msg("e2fsck of %s: %d\n%s", name, code, out.buf);
}

static void test_clean_at_many_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[] = {16, 17, 100, 127, 128, 129, 1023, 2048, 10240, 65536, 1048576};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct error err = ERROR_INIT;
        struct stat st;
        must(image_make_disk(scratch_fd, "disk", sizes[i], "crabbox-upper", &err), &err);
        assert_int_equal(fstatat(scratch_fd, "disk", &st, 0), 0);
        assert_int_equal(st.st_size, sizes[i] << 20);
        assert_int_equal(st.st_mode & 07777, 0600);
        if (sizes[i] <= 65536)
            fsck_is_clean("disk");
        must(file_unlink(scratch_fd, "disk", &err), &err);
    }
}

static void test_costs_little(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    int64_t start = clock_boot_us();
    must(image_make_disk(scratch_fd, "big", 16384, "crabbox-upper", &err), &err);
    int64_t took = clock_boot_us() - start;
    assert_int_equal(fstatat(scratch_fd, "big", &st, 0), 0);
    print_message("16 GiB: %lld us, %lld KiB of blocks\n", (long long)took,
                  (long long)st.st_blocks / 2);
    assert_true(st.st_blocks * 512 < 2 << 20);
    assert_true(took < 2000000); /* generous: sanitizers, a busy machine */
    must(file_unlink(scratch_fd, "big", &err), &err);
}

static void test_label(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char path[PATH_MAX];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    must(image_make_disk(scratch_fd, "labelled", 64, "crabbox-upper", &err), &err);
    assert_int_equal(str_format(path, sizeof path, "%s/labelled", scratch_dir), 0);
    const char *const argv[] = {"/sbin/blkid", "-p", "-o", "export", path, NULL};
    assert_int_equal(run_program(argv, &out), 0);
    assert_non_null(strstr(out.buf, "LABEL=crabbox-upper\n"));
    assert_non_null(strstr(out.buf, "TYPE=ext4\n"));
}

static void test_refusals(void **state)
{
    (void)state;
    static const int64_t sizes[] = {INT64_MIN, -1, 0, 15, INT64_MAX};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        error_clear(&err);
        assert_int_equal(image_make_disk(scratch_fd, "no", sizes[i], "x", &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_int_equal(faccessat(scratch_fd, "no", F_OK, 0), -1);
    }
    /* An existing file is never touched. */
    error_clear(&err);
    must(file_write_new(scratch_fd, "mine", "x", 1, 0600, &err), &err);
    assert_int_equal(image_make_disk(scratch_fd, "mine", 64, "x", &err), -1);
    assert_int_equal(err.sys, EEXIST);
    struct stat st;
    assert_int_equal(fstatat(scratch_fd, "mine", &st, 0), 0);
    assert_int_equal(st.st_size, 1);
}

static const char *child_step = "";

/* In the child's mount namespace: a disk that does not fit leaves nothing behind; the kernel
 * mounts one that does, writes to it, and it is clean afterwards. */
static bool child_body(void)
{
    struct error err = ERROR_INIT;
    char mnt[PATH_MAX], disk[PATH_MAX], name[PATH_MAX];
    child_step = "private mounts";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    (void)str_format(mnt, sizeof mnt, "%s/mnt", scratch_dir);
    (void)str_format(disk, sizeof disk, "%s/kernel.img", scratch_dir);
    child_step = "tiny tmpfs";
    if (mkdir(mnt, 0700) < 0 || mount("none", mnt, "tmpfs", 0, "size=32k") < 0)
        return false;
    child_step = "ENOSPC is an error and leaves nothing";
    int tiny = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (image_make_disk(tiny, "full", 4096, "x", &err) == 0 ||
        faccessat(tiny, "full", F_OK, 0) == 0)
        return false;
    if (err.sys != ENOSPC || !strstr(err.msg, "CRABBOX_FC_STATE_DIR"))
        return false;
    close(tiny);
    child_step = "mount by loop";
    error_clear(&err);
    if (umount(mnt) < 0 ||
        image_make_disk(scratch_fd, "kernel.img", 1024, "crabbox-upper", &err) < 0)
        return false;
    const char *const argv[] = {"/bin/mount", "-o", "loop", disk, mnt, NULL};
    if (run_program(argv, NULL) != 0)
        return false;
    child_step = "write to it";
    (void)str_format(name, sizeof name, "%s/dir", mnt);
    if (mkdir(name, 0755) < 0)
        return false;
    int d = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 500; i++) {
        char file[32];
        (void)str_format(file, sizeof file, "file-%d", i);
        if (file_write_new(d, file, mnt, sizeof mnt, 0644, &err) < 0)
            return false;
    }
    close(d);
    child_step = "unmount";
    return umount(mnt) == 0 && rmdir(mnt) == 0;
}

static void test_kernel_uses_it(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        if (getenv("CI"))
            fail_msg("CI must run this test as root");
        skip();
    }
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool ok = unshare(CLONE_NEWNS) == 0 && child_body();
        if (!ok)
            fprintf(stderr, "failed at: %s: %s\n", child_step, strerror(errno));
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fsck_is_clean("kernel.img");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_at_many_sizes),
        cmocka_unit_test(test_costs_little),
        cmocka_unit_test(test_label),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_kernel_uses_it),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
