/* Telling files apart by their first bytes: each wrong file gets the message that names what it
 * is, and damaged headers never pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/probe.h"
#include "sys/file.h"
#include "testutil/scratch.h"

/* ---- opening ---- */

/* probe_open of `name` fails and says `words`. */
static void open_fails(const char *name, const char *words)
{
    struct error err = ERROR_INIT;
    char path[PATH_MAX];
    int64_t size = -1;
    assert_int_equal(str_format(path, sizeof path, "%s/%s", scratch_dir, name), 0);
    assert_int_equal(probe_open(path, "kernel", &size, &err), -1);
    assert_int_equal(err.kind, err.sys == ENOENT ? ERR_ENV : ERR_CONFIG);
    if (!strstr(err.msg, words) || !strstr(err.msg, path) || !strstr(err.msg, "kernel"))
        fail_msg("\"%s\" does not say \"%s\" about %s", err.msg, words, path);
}

static void test_open(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char path[PATH_MAX];
    int64_t size = 0;
    open_fails("absent", "No such file");
    assert_int_equal(mkdirat(scratch_fd, "directory", 0700), 0);
    open_fails("directory", "is a directory");
    assert_int_equal(mkfifoat(scratch_fd, "fifo", 0600), 0);
    open_fails("fifo", "is a FIFO"); /* and does not hang */
    assert_int_equal(symlinkat("loop", scratch_fd, "loop"), 0);
    open_fails("loop", "Too many levels");
    assert_int_equal(symlinkat("gone", scratch_fd, "dangling"), 0);
    open_fails("dangling", "No such file");
    assert_int_equal(file_write_new(scratch_fd, "empty", "", 0, 0600, &err), 0);
    open_fails("empty", "is empty");
    assert_int_equal(str_format(sun.sun_path, sizeof sun.sun_path, "%s/socket", scratch_dir), 0);
    _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&sun, sizeof sun), 0);
    open_fails("socket", "is a socket, not a regular file"); /* seen without opening it */
    assert_int_equal(file_write_new(scratch_fd, "good", "xyz", 3, 0600, &err), 0);
    assert_int_equal(str_format(path, sizeof path, "%s/good", scratch_dir), 0);
    _cleanup_close_ int fd = probe_open(path, "kernel", &size, &err);
    assert_true(fd >= 0);
    assert_int_equal(size, 3);
}

/* ---- kernels ---- */

static int memory_file(const void *data, size_t len)
{
    int fd = memfd_create("probe", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
    return fd;
}

/* A small vmlinux: header, a PT_LOAD over all of it, a PT_NOTE with the PVH entry. */
struct tiny_kernel {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
    Elf64_Nhdr note;
    char note_name[4];
    uint8_t note_desc[8];
};

static struct tiny_kernel make_kernel(void)
{
    struct tiny_kernel k = {
        .eh = {.e_type = ET_EXEC,
               .e_machine = EM_X86_64,
               .e_version = EV_CURRENT,
               .e_phoff = offsetof(struct tiny_kernel, ph),
               .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 2},
        .ph = {{.p_type = PT_LOAD, .p_filesz = sizeof k},
               {.p_type = PT_NOTE,
                .p_offset = offsetof(struct tiny_kernel, note),
                .p_filesz = sizeof k - offsetof(struct tiny_kernel, note)}},
        .note = {.n_namesz = 4, .n_descsz = 8, .n_type = 18},
        .note_name = "Xen",
    };
    memcpy(k.eh.e_ident, ELFMAG, SELFMAG);
    k.eh.e_ident[EI_CLASS] = ELFCLASS64;
    k.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    return k;
}

static int probe_bytes(const void *data, size_t len, struct kernel_info *out, struct error *err)
{
    _cleanup_close_ int fd = memory_file(data, len);
    return probe_kernel(fd, "/x/vmlinux", out, err);
}

static void kernel_fails(const void *data, size_t len, const char *words)
{
    struct error err = ERROR_INIT;
    struct kernel_info info;
    assert_int_equal(probe_bytes(data, len, &info, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    if (!strstr(err.msg, words) || !strstr(err.msg, "/x/vmlinux"))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void test_kernel_good(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct kernel_info info;
    struct tiny_kernel k = make_kernel();
    assert_int_equal(probe_bytes(&k, sizeof k, &info, &err), 0);
    assert_int_equal(info.format, KERNEL_ELF_X86_64);
    assert_true(info.pvh);
    k.note.n_type = 1;
    assert_int_equal(probe_bytes(&k, sizeof k, &info, &err), 0);
    assert_false(info.pvh);
    k.note.n_namesz = UINT32_MAX; /* no room for it: no note */
    assert_int_equal(probe_bytes(&k, sizeof k, &info, &err), 0);
    assert_false(info.pvh);
    k = make_kernel();
    k.eh.e_type = ET_DYN;
    assert_int_equal(probe_bytes(&k, sizeof k, &info, &err), 0);
    uint8_t arm[64] = {'M', 'Z', [56] = 'A', 'R', 'M', 0x64};
    assert_int_equal(probe_bytes(arm, sizeof arm, &info, &err), 0);
    assert_int_equal(info.format, KERNEL_ARM64_IMAGE);
}

static void test_kernel_damaged(void **state)
{
    (void)state;
    struct tiny_kernel k = make_kernel();
    for (size_t len = SELFMAG; len < sizeof k; len += 7)
        kernel_fails(&k, len, "truncated");
    kernel_fails(&k, sizeof k - 1, "truncated");
    k.eh.e_machine = EM_AARCH64;
    kernel_fails(&k, sizeof k, "another machine");
    k = make_kernel();
    k.eh.e_ident[EI_CLASS] = ELFCLASS32;
    kernel_fails(&k, sizeof k, "another machine");
    k = make_kernel();
    k.eh.e_type = ET_REL;
    kernel_fails(&k, sizeof k, "module");
    k = make_kernel();
    k.eh.e_phnum = UINT16_MAX;
    kernel_fails(&k, sizeof k, "program headers");
    k = make_kernel();
    k.eh.e_phoff = UINT64_MAX - 8;
    kernel_fails(&k, sizeof k, "out of range");
    k = make_kernel();
    k.ph[0].p_offset = UINT64_MAX;
    kernel_fails(&k, sizeof k, "truncated");
    k = make_kernel();
    k.ph[0].p_type = PT_NULL;
    kernel_fails(&k, sizeof k, "nothing to load");
}

static void test_kernel_wrong_format(void **state)
{
    (void)state;
    uint8_t bz[1024] = {[0x1fe] = 0x55, 0xaa, [0x202] = 'H', 'd', 'r', 'S'};
    kernel_fails(bz, sizeof bz, "a compressed bzImage");
    kernel_fails("\x1f\x8b\x08\x00", 4, "gzip");
    kernel_fails("hello", 5, "not a kernel");
    kernel_fails("x", 1, "build-image.sh");
    char zero[4096] = {0};
    kernel_fails(zero, sizeof zero, "not a kernel");
}

/* ---- root filesystems, made by the real tools ---- */

struct maker {
    const char *type;
    int64_t size;
    const char *argv[8]; /* the file's path is added */
};

/* Makes the filesystem in `path`; false if the tool is not there. */
static bool make_fs(const struct maker *m, const char *path)
{
    const char *argv[ARRAY_LEN(m->argv) + 1];
    size_t n = 0;
    while (n < ARRAY_LEN(m->argv) && m->argv[n]) {
        argv[n] = m->argv[n];
        n++;
    }
    argv[n++] = path;
    argv[n] = NULL;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)m->size) == 0);
    return run_program(argv, NULL) == 0;
}

static void rootfs_is(const char *path, const char *type)
{
    struct error err = ERROR_INIT;
    struct rootfs_info info;
    int64_t size = 0;
    _cleanup_close_ int fd = probe_open(path, "root filesystem", &size, &err);
    if (fd < 0 || probe_rootfs(fd, path, size, &info, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(info.type, type);
    assert_true(info.bytes > 0 && info.bytes <= (uint64_t)size);
    assert_false(info.needs_recovery);
}

static void rootfs_fails(int fd, int64_t size, const char *words)
{
    struct error err = ERROR_INIT;
    struct rootfs_info info;
    assert_int_equal(probe_rootfs(fd, "/x/rootfs", size, &info, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    if (!strstr(err.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void test_rootfs_made_by_tools(void **state)
{
    (void)state;
    static const struct maker makers[] = {
        {"ext4", 8 << 20, {"/sbin/mke2fs", "-q", "-F", "-t", "ext4"}},
        {"ext4", 2 << 20, {"/sbin/mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024"}},
        {"xfs", 400 << 20, {"/sbin/mkfs.xfs", "-q", "-f"}},
        {"btrfs", 128 << 20, {"/sbin/mkfs.btrfs", "-q", "-f"}},
    };
    char path[PATH_MAX];
    int64_t size = 0;
    struct error err = ERROR_INIT;
    unsigned made = 0;
    assert_int_equal(str_format(path, sizeof path, "%s/fs", scratch_dir), 0);
    for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
        if (!make_fs(&makers[i], path)) {
            print_message("no %s here\n", makers[i].argv[0]);
            continue;
        }
        made++;
        rootfs_is(path, makers[i].type);
        assert_int_equal(truncate(path, makers[i].size / 2), 0);
        _cleanup_close_ int fd = probe_open(path, "root filesystem", &size, &err);
        rootfs_fails(fd, size, "truncated");
    }
    assert_true(made >= 2); /* e2fsprogs are part of any Debian */
    if (getenv("CI"))
        assert_int_equal(made, ARRAY_LEN(makers));
}

/* Superblocks by hand, for the two whose tools are rarely there. */
static void test_rootfs_by_hand(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct rootfs_info info;
    uint8_t squash[96] = {'h', 's', 'q', 's', [28] = 4, [41] = 0x10};
    _cleanup_close_ int fd = memory_file(squash, sizeof squash);
    assert_int_equal(probe_rootfs(fd, "x", 4096, &info, &err), 0);
    assert_string_equal(info.type, "squashfs");
    rootfs_fails(fd, 4095, "truncated");
    uint8_t erofs[1152] = {[1024] = 0xe2, 0xe1, 0xf5, 0xe0, [1036] = 12, [1060] = 2};
    _cleanup_close_ int fd2 = memory_file(erofs, sizeof erofs);
    assert_int_equal(probe_rootfs(fd2, "x", 8192, &info, &err), 0);
    assert_string_equal(info.type, "erofs");
    rootfs_fails(fd2, 8191, "truncated");
}

static void test_rootfs_wrong_format(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *magic, *words;
    } cases[] = {
        {0, "\x1f\x8b", "gzip"},
        {0, "QFI\xfb", "qcow2"},
        {257, "ustar", "tar archive"},
        {512, "EFI PART", "partition"},
        {32769, "CD001", "ISO9660"},
        {510, "\x55\xaa", "MBR"},
        {0, "hello", "not a known filesystem"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char file[40000] = {0};
        memcpy(file + cases[i].at, cases[i].magic, strlen(cases[i].magic));
        _cleanup_close_ int fd = memory_file(file, sizeof file);
        rootfs_fails(fd, sizeof file, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_kernel_good),
        cmocka_unit_test(test_kernel_damaged),
        cmocka_unit_test(test_kernel_wrong_format),
        cmocka_unit_test(test_rootfs_made_by_tools),
        cmocka_unit_test(test_rootfs_by_hand),
        cmocka_unit_test(test_rootfs_wrong_format),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
