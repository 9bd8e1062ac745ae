/* Finds how a root would be cloned between two directories, by the type of their filesystems. This
 * is for doctor, which may not create anything, not even a file without a name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "image/image.h"

/* Magic numbers that linux/magic.h lacks. */
#define BCACHEFS_MAGIC 0xca451a4e
#define VFAT_MAGIC     0x4d44

enum shares { SHARES_NEVER, SHARES_ALWAYS, SHARES_XFS }; /* XFS: depends on how it was made */

static const struct fs {
    uint32_t magic;
    enum shares shares;
    bool holes; /* holes take no space */
} known[] = {
    {EXT4_SUPER_MAGIC, SHARES_NEVER, true},  {TMPFS_MAGIC, SHARES_NEVER, true},
    {F2FS_SUPER_MAGIC, SHARES_NEVER, true},  {XFS_SUPER_MAGIC, SHARES_XFS, true},
    {BTRFS_SUPER_MAGIC, SHARES_NEVER, true}, {BCACHEFS_MAGIC, SHARES_ALWAYS, true},
    {VFAT_MAGIC, SHARES_NEVER, false},       {EXFAT_SUPER_MAGIC, SHARES_NEVER, false},
};

static const struct fs *find_fs(uint32_t magic)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].magic == magic)
            return &known[i];
    return NULL;
}

/* XFS_IOC_FSGEOMETRY of its first version; the header with it is seldom installed. */
struct xfs_geometry {
    uint32_t sizes[8];
    uint64_t blocks[4];
    uint8_t uuid[16];
    uint32_t stripe[2];
    int32_t version;
    uint32_t flags;
    uint32_t sectors[3];
};
#define XFS_GEOMETRY_V1  _IOR('X', 100, struct xfs_geometry)
#define XFS_FLAG_REFLINK (1u << 20)

static bool xfs_shares(int dir)
{
    struct xfs_geometry g;
    memset(&g, 0, sizeof g);
    return ioctl(dir, XFS_GEOMETRY_V1, &g) == 0 && (g.flags & XFS_FLAG_REFLINK);
}

static int open_dir(const char *path, struct statfs *fs, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, fs) < 0)
        return error_set(err, ERR_CONFIG, errno, "open directory %s", path);
    return TAKE_FD(fd);
}

int image_clone_probe(const char *src_dir, const char *dst_dir, enum clone_how *how,
                      struct error *err)
{
    struct statfs from, to;
    _cleanup_close_ int src = open_dir(src_dir, &from, err);
    _cleanup_close_ int dst = src < 0 ? -1 : open_dir(dst_dir, &to, err);
    if (dst < 0)
        return -1;
    const struct fs *fs = find_fs((uint32_t)to.f_type);
    if (!fs)
        return error_set(err, ERR_IO, 0, "%s: filesystem of unknown kind 0x%08x", dst_dir,
                         (unsigned)to.f_type);
    /* Compare ids and not device numbers, because each subvolume has a device number of its own. */
    bool same = from.f_type == to.f_type && memcmp(&from.f_fsid, &to.f_fsid, sizeof to.f_fsid) == 0;
    if (same && (fs->shares == SHARES_ALWAYS || (fs->shares == SHARES_XFS && xfs_shares(dst))))
        *how = CLONE_REFLINK;
    else
        *how = fs->holes ? CLONE_SPARSE : CLONE_COPY;
    return 0;
}
