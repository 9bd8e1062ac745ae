#include "ops/diskroom.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/host.h"

#define MIB          (INT64_C(1) << 20)
#define BLOCK        512 /* of st_blocks */
#define KEPT_SHARE   20
#define KEPT_MIN_MIB 64
#define KEPT_MAX_MIB 16384

static int64_t up_to_mib(int64_t bytes)
{
    return bytes / MIB + (bytes % MIB > 0);
}

/* What the disk of one lease may grow by; -1 where it has none (yet, or any more). */
static int64_t growth(int leases_fd, const char *id)
{
    char name[NAME_MAX + 32];
    struct stat st;
    (void)str_format(name, sizeof name, "%s/" DISK_FILE, id);
    if (fstatat(leases_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return -1;
    int64_t taken = (int64_t)st.st_blocks * BLOCK;
    (void)str_format(name, sizeof name, "%s/" DISK_SHARED, id);
    if (faccessat(leases_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        taken = 0;
    return taken < st.st_size ? (int64_t)st.st_size - taken : 0;
}

int diskroom_promised(int leases_fd, struct disk_promises *out, struct error *err)
{
    *out = (struct disk_promises){0};
    if (leases_fd < 0)
        return 0;
    int fd = openat(leases_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int sys = errno;
        CLOSE_FD(fd);
        return error_set(err, ERR_IO, sys, "read the directory of leases");
    }
    for (const struct dirent *e; (e = readdir(d));) {
        int64_t bytes = e->d_name[0] == '.' ? -1 : growth(leases_fd, e->d_name);
        if (bytes < 0)
            continue;
        out->leases++;
        out->mib += up_to_mib(bytes) + DISKROOM_EXTRA_MIB;
    }
    return 0;
}

int64_t diskroom_kept_mib(int64_t filesystem_mib)
{
    int64_t kept = filesystem_mib / KEPT_SHARE;
    if (filesystem_mib == HOST_NO_LIMIT)
        return 0;
    return kept < KEPT_MIN_MIB ? KEPT_MIN_MIB : kept > KEPT_MAX_MIB ? KEPT_MAX_MIB : kept;
}

int64_t diskroom_disk_mib(int64_t disk_mib, const char *stock_rootfs)
{
    struct stat st;
    if (!stock_rootfs || !*stock_rootfs || stat(stock_rootfs, &st) < 0)
        return disk_mib;
    int64_t root = up_to_mib((int64_t)st.st_size);
    return root > disk_mib ? root : disk_mib;
}
