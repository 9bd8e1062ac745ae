/* disk.c: makes an empty ext4 filesystem in a sparse file, with libext2fs.
 *
 * It does what mkfs.ext4 does, but without a process, a journal or zeroing: describe chooses the
 * features, ext2fs_initialize makes the layout, then come the tables, the root directory and
 * lost+found. Only blocks with content are written, so the file stays sparse and takes a few
 * milliseconds at any size.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

/* These are the library's headers, which convert signs without casts. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#include <et/com_err.h>
#include <ext2fs/ext2fs.h>
#pragma GCC diagnostic pop

#include "base/cleanup.h"
#include "sys/deadline.h"
#include "sys/file.h"

#define MIB             (INT64_C(1) << 20)
#define DISK_MIN_MIB    16
#define DISK_MAX_MIB    (INT64_C(16) << 20) /* 16 TiB */
#define BLOCK_LOG       2                   /* 4 KiB */
#define BYTES_PER_INODE 16384

static void close_fs(ext2_filsys *fs)
{
    if (*fs)
        ext2fs_free(*fs);
}

/* Newer versions of the library drop the kernel's error of a write, so find out whether the disk is
 * full. */
static errcode_t cause_of(errcode_t e, int fd)
{
    static const errcode_t writes[] = {EXT2_ET_GDESC_WRITE, EXT2_ET_BLOCK_BITMAP_WRITE,
                                       EXT2_ET_INODE_BITMAP_WRITE, EXT2_ET_INODE_TABLE_WRITE,
                                       EXT2_ET_SHORT_WRITE};
    struct statvfs st;
    for (size_t i = 0; i < ARRAY_LEN(writes); i++)
        if (e == writes[i])
            return fstatvfs(fd, &st) == 0 && st.f_bavail == 0 ? ENOSPC : EIO;
    return e;
}

static int fs_error(struct error *err, int fd, const char *name, const char *what, errcode_t e)
{
    e = cause_of(e, fd);
    if (e < 1 || e > 4095) /* a code of the library's own */
        return error_set(err, ERR_IO, 0, "make ext4 on %s: %s: %s", name, what, error_message(e));
    (void)error_set(err, ERR_IO, (int)e, "make ext4 on %s: %s", name, what);
    if (e == ENOSPC || e == EDQUOT)
        return error_append(
            err, "; free some, or set CRABBOX_FC_STATE_DIR to a directory on a larger disk");
    return -1;
}

/* Describes the filesystem. It exists only as long as its lease, so it has no journal (after a
 * crash of the guest the lease is lost anyway, and an orderly stop leaves it clean) and no reserved
 * blocks. It has group descriptor checksums, so unused groups and inode tables can stay holes. */
static void describe(struct ext2_super_block *sb, int64_t size_mib)
{
    memset(sb, 0, sizeof *sb);
    sb->s_rev_level = EXT2_DYNAMIC_REV;
    sb->s_log_block_size = BLOCK_LOG;
    sb->s_log_cluster_size = BLOCK_LOG;
    sb->s_inode_size = 256;
    sb->s_log_groups_per_flex = 4;
    sb->s_feature_compat = EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_DIR_INDEX;
    sb->s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
                             EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_64BIT;
    sb->s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER |
                              EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_HUGE_FILE |
                              EXT4_FEATURE_RO_COMPAT_GDT_CSUM | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
                              EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE;
    sb->s_inodes_count = (uint32_t)(size_mib * MIB / BYTES_PER_INODE);
    ext2fs_blocks_count_set(sb, (uint64_t)(size_mib * MIB) >> (10 + BLOCK_LOG));
}

/* The fields that ext2fs_initialize() does not take from its parameters. */
static void name_filesystem(ext2_filsys fs, const char *label)
{
    struct ext2_super_block *sb = fs->super;
    random_bytes(sb->s_uuid, sizeof sb->s_uuid);
    sb->s_uuid[6] = (uint8_t)((sb->s_uuid[6] & 0x0f) | 0x40);
    sb->s_uuid[8] = (uint8_t)((sb->s_uuid[8] & 0x3f) | 0x80);
    random_bytes(sb->s_hash_seed, sizeof sb->s_hash_seed);
    memcpy(sb->s_volume_name, label, strnlen(label, sizeof sb->s_volume_name));
    sb->s_def_hash_version = EXT2_HASH_HALF_MD4;
    sb->s_max_mnt_count = -1;
    sb->s_checkinterval = 0;
    sb->s_errors = EXT2_ERRORS_RO;
    sb->s_min_extra_isize = sb->s_want_extra_isize = sizeof(struct ext2_inode_large) - 128;
    sb->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    sb->s_mkfs_time = (uint32_t)clock_unix_s();
}

/* The file has only zeros already. Tell this to the kernel, so that it never writes the inode
 * tables. */
static void mark_tables_zeroed(ext2_filsys fs)
{
    for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
        ext2fs_bg_flags_set(fs, g, EXT2_BG_INODE_ZEROED);
        ext2fs_group_desc_csum_set(fs, g);
    }
    ext2fs_mark_super_dirty(fs);
}

/* Inodes below the first free one belong to the filesystem. */
static void reserve_inodes(ext2_filsys fs)
{
    for (ext2_ino_t i = EXT2_ROOT_INO + 1; i < EXT2_FIRST_INODE(fs->super); i++)
        ext2fs_inode_alloc_stats2(fs, i, +1, 0);
    ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, +1, 0);
    ext2fs_mark_ib_dirty(fs);
}

/* Root and lost+found, which e2fsck expects. */
static errcode_t make_directories(ext2_filsys fs)
{
    errcode_t e = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, NULL);
    if (e)
        return e;
    reserve_inodes(fs);
    return ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, "lost+found");
}

/* libext2fs closes the descriptor that it gets, so it gets a duplicate, by its number as a text. */
static int format_fd(int fd, const char *name, int64_t size_mib, const char *label,
                     struct error *err)
{
    char number[16];
    struct ext2_super_block sb;
    _cleanup_(close_fs) ext2_filsys fs = NULL;
    _cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return error_set(err, ERR_IO, errno, "make ext4 on %s", name);
    (void)str_format(number, sizeof number, "%d", copy);
    describe(&sb, size_mib);
    errcode_t e = ext2fs_initialize(number, EXT2_FLAG_64BITS, &sb, unixfd_io_manager, &fs);
    if (e)
        return fs_error(err, fd, name, "lay out", e);
    copy = -1;
    /* Without a cache, every failed write is reported at once, even without the two fsyncs that the
     * library makes at the end. Those are not needed: if the host goes down, the lease is lost
     * anyway. */
    if ((e = io_channel_set_options(fs->io, "cache=off")))
        return fs_error(err, fd, name, "set options", e);
    name_filesystem(fs, label);
    if ((e = ext2fs_allocate_tables(fs)))
        return fs_error(err, fd, name, "place tables", e);
    if ((e = make_directories(fs)))
        return fs_error(err, fd, name, "make directories", e);
    mark_tables_zeroed(fs);
    if ((e = ext2fs_close2(fs, EXT2_FLAG_FLUSH_NO_SYNC)))
        return fs_error(err, fd, name, "write", e);
    fs = NULL;
    return 0;
}

int image_make_disk(int dirfd, const char *name, int64_t size_mib, const char *label,
                    struct error *err)
{
    if (size_mib < DISK_MIN_MIB || size_mib > DISK_MAX_MIB)
        return error_set(err, ERR_CONFIG, 0,
                         "a disk of %" PRId64 " MiB can't hold an ext4 (at least %d MiB, at most "
                         "%" PRId64 "); set firecracker.diskMiB",
                         size_mib, DISK_MIN_MIB, DISK_MAX_MIB);
    _cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create %s", name);
    int r = file_in_place(fd, name, err);
    if (r == 0 && ftruncate(fd, (off_t)(size_mib * MIB)) < 0)
        r = error_set(err, ERR_IO, errno, "size %s to %" PRId64 " MiB", name, size_mib);
    if (r == 0)
        r = format_fd(fd, name, size_mib, label, err);
    if (r < 0)
        (void)unlinkat(dirfd, name, 0);
    return r;
}
