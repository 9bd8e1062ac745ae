/* probe.c: recognises kernels and root filesystems by their headers.
 *
 * A kernel is an ELF file whose segments lie inside the file, with or without a PVH note, or an
 * arm64 Image. A root filesystem is recognised by the magic number of its superblock, and it must
 * not be larger than its file. If a file is something else, wrong_format names the format that it
 * seems to have, because people often give a bzImage or a whole disk.
 */
#include "image/probe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/trusted.h"

#define PHDRS_MAX      64u
#define NOTES_MAX      (64u * 1024)
#define XEN_PHYS_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY: the PVH entry point */

/* Superblocks: where they are, and the offsets of the fields read here. */
#define EXT4_AT     1024u
#define EROFS_AT    1024u
#define BTRFS_AT    65536u
#define ROOTFS_HEAD (BTRFS_AT + 4096u)

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p)
{
    return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* Up to `len` bytes at `off`; fewer only at the end of the file. */
static int read_head(int fd, const char *path, void *buf, size_t len, uint64_t off, size_t *got,
                     struct error *err)
{
    size_t done = 0;
    if (off > INT64_MAX)
        return error_set(err, ERR_CONFIG, 0, "%s: an offset in its header is out of range", path);
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "read %s", path);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return 0;
}

/* The word for a file that is not regular. */
static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFBLK:
        return "a block device";
    case S_IFCHR:
        return "a character device";
    default:
        return "not a regular file";
    }
}

int probe_open_path(const char *path, const char *what, int flags, struct error *err)
{
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    struct error e = ERROR_INIT;
    struct stat st;
    int fd = -1;
    if (beneath_find(what, path, &b, &e) == 0 &&
        (fd = beneath_open_plain(b.dirfd, b.rest, flags, &st)) < 0)
        (void)beneath_failed(&b, errno, &e);
    if (fd >= 0)
        return fd;
    if (e.kind != ERR_USAGE)
        return error_set(err, e.sys == ENOENT || e.sys == EACCES ? ERR_ENV : ERR_CONFIG, e.sys,
                         "open %s %s", what, path);
    if (err)
        *err = e;
    return -1;
}

int probe_open(const char *path, const char *what, int64_t *size, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = probe_open_path(path, what, O_RDONLY, err);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "stat %s %s", what, path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_CONFIG, 0, "%s %s is %s, not a regular file", what, path,
                         type_name(st.st_mode));
    if (trusted_path(NULL, path, what, err) < 0 || trusted_fd(fd, path, what, err) < 0)
        return -1;
    if (st.st_size == 0)
        return error_set(err, ERR_CONFIG, 0, "%s %s is empty", what, path);
    *size = st.st_size;
    return TAKE_FD(fd);
}

/* The name of a format that people often give by mistake, or NULL. */
static const char *wrong_format(const uint8_t *head, size_t len)
{
    static const struct {
        size_t at, len;
        const char *magic;
        const char *name;
    } table[] = {
        {0x202, 4, "HdrS", "a compressed bzImage"},
        {0, 2, "\x1f\x8b", "compressed with gzip"},
        {0, 6,
         "\xfd"
         "7zXZ\0",
         "compressed with xz"},
        {0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd"},
        {0, 3, "BZh", "compressed with bzip2"},
        {0, 4, "\x04\x22\x4d\x18", "compressed with lz4"},
        {0, 4, "QFI\xfb", "a qcow2 disk"},
        {257, 5, "ustar", "a tar archive"},
        {0, 6, "070701", "a cpio archive"},
        {512, 8, "EFI PART", "a whole disk with a GPT partition table"},
        {32769, 5, "CD001", "an ISO9660 volume"},
        {0, 4,
         "\x7f"
         "ELF",
         "an ELF file"},
        {0, 2, "#!", "a script"},
        {510, 2, "\x55\xaa", "a whole disk or boot sector with an MBR"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].at + table[i].len <= len &&
            memcmp(head + table[i].at, table[i].magic, table[i].len) == 0)
            return table[i].name;
    return NULL;
}

/* Looks for the PVH entry among the notes of one segment; note contents are all untrusted. */
static bool notes_have_pvh(const uint8_t *p, size_t len)
{
    while (len >= sizeof(Elf64_Nhdr)) {
        size_t name = le32(p), desc = le32(p + 4);
        uint32_t type = le32(p + 8);
        size_t name_room = (name + 3) & ~(size_t)3, desc_room = (desc + 3) & ~(size_t)3;
        p += sizeof(Elf64_Nhdr);
        len -= sizeof(Elf64_Nhdr);
        if (name_room > len || desc_room > len - name_room)
            return false;
        if (type == XEN_PHYS_ENTRY && name == 4 && memcmp(p, "Xen", 4) == 0)
            return true;
        p += name_room + desc_room;
        len -= name_room + desc_room;
    }
    return false;
}

/* Whether one PT_NOTE segment has the PVH note. A segment outside the file counts as having
 * none. */
static int segment_has_pvh(int fd, const char *path, const Elf64_Phdr *ph, bool *pvh,
                           struct error *err)
{
    size_t len = ph->p_filesz < NOTES_MAX ? (size_t)ph->p_filesz : NOTES_MAX, got = 0;
    _cleanup_free_ uint8_t *notes = xcalloc(1, len + 1);
    if (read_head(fd, path, notes, len, ph->p_offset, &got, err) < 0)
        return -1;
    *pvh = *pvh || notes_have_pvh(notes, got);
    return 0;
}

/* Program headers: at least one loadable segment, all of them inside the file. */
static int check_segments(int fd, const char *path, const Elf64_Ehdr *eh, bool *pvh,
                          struct error *err)
{
    struct stat st;
    Elf64_Phdr ph[PHDRS_MAX];
    size_t want = eh->e_phnum * sizeof ph[0], got = 0;
    bool loads = false;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "stat %s", path);
    if (eh->e_phnum == 0 || eh->e_phnum > PHDRS_MAX || eh->e_phentsize != sizeof ph[0])
        return error_set(err, ERR_CONFIG, 0, "kernel %s has no usable program headers", path);
    if (read_head(fd, path, ph, want, eh->e_phoff, &got, err) < 0)
        return -1;
    for (unsigned i = 0; got == want && i < eh->e_phnum; i++) {
        uint64_t end = 0;
        if (__builtin_add_overflow(ph[i].p_offset, ph[i].p_filesz, &end) ||
            end > (uint64_t)st.st_size)
            got = 0; /* reaches past the end */
        else if (ph[i].p_type == PT_NOTE && segment_has_pvh(fd, path, &ph[i], pvh, err) < 0)
            return -1;
        loads = loads || ph[i].p_type == PT_LOAD;
    }
    if (got != want)
        return error_set(err, ERR_CONFIG, 0,
                         "kernel %s is truncated: its segments reach past its end; copy or build "
                         "it again",
                         path);
    if (!loads)
        return error_set(err, ERR_CONFIG, 0, "kernel %s has nothing to load: is it a vmlinux?",
                         path);
    return 0;
}

static int probe_elf(int fd, const char *path, const uint8_t *head, size_t len,
                     struct kernel_info *out, struct error *err)
{
    Elf64_Ehdr eh;
    if (len < sizeof eh)
        return error_set(err, ERR_CONFIG, 0, "kernel %s is truncated: %zu bytes of an ELF header",
                         path, len);
    memcpy(&eh, head, sizeof eh);
    if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
        eh.e_machine != EM_X86_64)
        return error_set(err, ERR_CONFIG, 0,
                         "kernel %s is an ELF file for another machine (%u), not x86-64", path,
                         (unsigned)eh.e_machine);
    if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
        return error_set(err, ERR_CONFIG, 0,
                         "kernel %s is an ELF file of type %u (an object or module?), not a "
                         "vmlinux",
                         path, (unsigned)eh.e_type);
    out->format = KERNEL_ELF_X86_64;
    return check_segments(fd, path, &eh, &out->pvh, err);
}

int probe_kernel(int fd, const char *path, struct kernel_info *out, struct error *err)
{
    uint8_t head[1024];
    size_t len = 0;
    *out = (struct kernel_info){0};
    if (read_head(fd, path, head, sizeof head, 0, &len, err) < 0)
        return -1;
    if (len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
        return probe_elf(fd, path, head, len, out, err);
    if (len >= 64 && memcmp(head + 56, "ARM\x64", 4) == 0) {
        out->format = KERNEL_ARM64_IMAGE;
        return 0;
    }
    const char *looks = wrong_format(head, len);
    return error_set(err, ERR_CONFIG, 0,
                     "kernel %s is %s; an uncompressed vmlinux (ELF) or arm64 Image is needed: "
                     "scripts/build-image.sh extracts one from Debian's kernel package",
                     path, looks ? looks : "not a kernel");
}

/* The functions below recognise one filesystem each by its magic number. Its size is the number of
 * blocks times the block size. */
static bool known_ext4(const uint8_t *sb, struct rootfs_info *out)
{
    uint32_t log_block = le32(sb + 0x18), incompat = le32(sb + 0x60);
    if (le16(sb + 0x38) != 0xef53 || log_block > 6)
        return false;
    uint64_t blocks = le32(sb + 0x04);
    if (incompat & 0x80) /* 64bit: the count has a high half */
        blocks |= (uint64_t)le32(sb + 0x150) << 32;
    if (__builtin_mul_overflow(blocks, UINT64_C(1024) << log_block, &out->bytes))
        out->bytes = UINT64_MAX;
    out->needs_recovery = incompat & 0x4;
    (void)str_copy(out->type, sizeof out->type, "ext4");
    return blocks > 0;
}

static bool known_erofs(const uint8_t *sb, struct rootfs_info *out)
{
    unsigned bits = sb[12];
    if (le32(sb) != 0xe0f5e1e2u || bits < 9 || bits > 16)
        return false;
    out->bytes = (uint64_t)le32(sb + 36) << bits;
    (void)str_copy(out->type, sizeof out->type, "erofs");
    return true;
}

static bool known_btrfs(const uint8_t *sb, struct rootfs_info *out)
{
    if (memcmp(sb + 0x40, "_BHRfS_M", 8) != 0)
        return false;
    out->bytes = le64(sb + 0x70);
    (void)str_copy(out->type, sizeof out->type, "btrfs");
    return true;
}

static bool known_squashfs(const uint8_t *sb, struct rootfs_info *out)
{
    if (memcmp(sb, "hsqs", 4) != 0 || le16(sb + 28) != 4)
        return false;
    out->bytes = le64(sb + 40);
    (void)str_copy(out->type, sizeof out->type, "squashfs");
    return true;
}

static bool known_xfs(const uint8_t *sb, struct rootfs_info *out)
{
    if (memcmp(sb, "XFSB", 4) != 0)
        return false;
    if (__builtin_mul_overflow(be64(sb + 8), (uint64_t)be32(sb + 4), &out->bytes))
        out->bytes = UINT64_MAX;
    (void)str_copy(out->type, sizeof out->type, "xfs");
    return out->bytes > 0;
}

/* The head is zero-padded to ROOTFS_HEAD, so no superblock reaches past the buffer. */
static bool identify(const uint8_t *head, struct rootfs_info *out)
{
    return known_squashfs(head, out) || known_xfs(head, out) || known_erofs(head + EROFS_AT, out) ||
           known_btrfs(head + BTRFS_AT, out) || known_ext4(head + EXT4_AT, out);
}

int probe_rootfs(int fd, const char *path, int64_t size, struct rootfs_info *out, struct error *err)
{
    size_t len = 0;
    _cleanup_free_ uint8_t *head = xcalloc(1, ROOTFS_HEAD);
    *out = (struct rootfs_info){0};
    if (read_head(fd, path, head, ROOTFS_HEAD, 0, &len, err) < 0)
        return -1;
    if (!identify(head, out)) {
        const char *looks = wrong_format(head, len);
        return error_set(err, ERR_CONFIG, 0,
                         "root filesystem %s is %s; a bare ext4, squashfs, erofs, xfs or btrfs "
                         "image is needed",
                         path, looks ? looks : "not a known filesystem");
    }
    if (out->bytes > (uint64_t)size)
        return error_set(err, ERR_CONFIG, 0,
                         "root filesystem %s is truncated: its %s needs %" PRIu64
                         " bytes, the file has %" PRId64 "; copy or build it again",
                         path, out->type, out->bytes, size);
    return 0;
}
