#include "fetch/room.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/text.h"
#include "sys/host.h"

#define RESERVE_BYTES  (1LL << 30)
#define RESERVE_INODES 10000LL

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

int room_check(int dirfd, int64_t bytes, const char *what, struct error *err)
{
    struct statvfs fs;
    char shown[128];
    if (fstatvfs(dirfd, &fs) < 0)
        return 0;
    text_copy(shown, sizeof shown, what);
    int64_t unit = (int64_t)fs.f_frsize;
    int64_t bytes_left = (int64_t)fs.f_bavail * unit;
    int64_t bytes_kept = host_kept((int64_t)fs.f_blocks * unit, 0, RESERVE_BYTES);
    int64_t inodes_left = (int64_t)fs.f_favail;
    int64_t inodes_kept = host_kept((int64_t)fs.f_files, 0, RESERVE_INODES);
    if (fs.f_blocks && bytes > bytes_left - bytes_kept)
        return error_set(
            err, ERR_IO, 0,
            "%s does not fit: it needs %.1f MiB, %.1f MiB are free, and %.1f MiB must stay free; "
            "next: make room, or name a directory on another filesystem",
            shown, mib(bytes), mib(bytes_left), mib(bytes_kept));
    /* Filesystems without a fixed number of inodes have 0 of them. */
    if (fs.f_files && inodes_left - inodes_kept < 1)
        return error_set(
            err, ERR_IO, 0,
            "%s does not fit: it needs an inode, %lld are free, and %lld must stay free; "
            "next: make room, or name a directory on another filesystem",
            shown, (long long)inodes_left, (long long)inodes_kept);
    return 0;
}
