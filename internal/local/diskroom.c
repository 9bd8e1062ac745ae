#include "local/diskroom.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/host.h"
#include "vmm/vmm.h"

#define MIB          (INT64_C(1) << 20)
#define BLOCK        512 /* of st_blocks */
#define KEPT_MIN_MIB 64
#define KEPT_MAX_MIB 16384

static int64_t up_to_mib(int64_t bytes)
{
    return bytes / MIB + (bytes % MIB > 0);
}

/* False where the lease has no such file (yet, or any more). */
static bool look(int leases_fd, const char *id, const char *file, struct stat *st)
{
    char name[NAME_MAX + 32];
    (void)str_format(name, sizeof name, "%s/%s", id, file);
    return fstatat(leases_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

/* The same of a file of the VMM. By its path: that takes no descriptor, of which there may be none
 * left, and nothing that is promised may be overlooked. */
static bool look_vmm(int leases_fd, const char *id, const char *file, struct stat *st)
{
    char name[64];
    (void)str_format(name, sizeof name, VMM_DIR "/%s", file);
    return look(leases_fd, id, name, st) || look(leases_fd, id, file, st); /* see vmm_dir_open */
}

static int64_t taken(const struct stat *st)
{
    return (int64_t)st->st_blocks * BLOCK;
}

/* What of the lease's room beside its disk is not taken yet; its logs are what fills it. */
static int64_t extra(int leases_fd, const char *id)
{
    static const char *const logs[] = {VMM_CONSOLE_LOG, VMM_LOG};
    int64_t left = DISKROOM_EXTRA_MIB * MIB;
    struct stat st;
    for (size_t i = 0; i < ARRAY_LEN(logs); i++)
        if (look_vmm(leases_fd, id, logs[i], &st))
            left -= taken(&st);
    return left > 0 ? left : 0;
}

int diskroom_note_size(int lease_fd, int vmm_fd, struct error *err)
{
    struct stat st;
    char text[32];
    if (fstatat(vmm_fd, DISK_NEW, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, ERR_IO, errno, "look at " DISK_NEW);
    (void)str_format(text, sizeof text, "%lld\n", (long long)st.st_size);
    return file_write_new(lease_fd, DISK_SIZE, text, strlen(text), 0600, err);
}

/* 0 where nobody noted it: a lease of an older version. */
static int64_t size_made(int leases_fd, const char *id)
{
    char name[NAME_MAX + 32];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    (void)str_format(name, sizeof name, "%s/" DISK_SIZE, id);
    return file_read_at(leases_fd, name, 32, &text, NULL) < 0 ? 0 : strtoll(text.buf, NULL, 10);
}

/* What one lease may still take; -1 where it has no disk. */
static int64_t growth(int leases_fd, const char *id)
{
    struct stat disk, st;
    if (!look_vmm(leases_fd, id, DISK_FILE, &disk))
        return -1;
    int64_t left = (int64_t)disk.st_size;
    int64_t made = size_made(leases_fd, id);
    left = made > left ? made : left;
    if (!look(leases_fd, id, DISK_SHARED, &st))
        left -= taken(&disk);
    return (left > 0 ? left : 0) + extra(leases_fd, id);
}

int diskroom_promised(int leases_fd, struct disk_promises *out, struct error *err)
{
    *out = (struct disk_promises){0};
    if (leases_fd < 0)
        return 0;
    _cleanup_closedir_ DIR *d = dir_reopen(leases_fd);
    if (!d)
        return error_set(err, ERR_IO, errno, "read the directory of leases");
    for (const struct dirent *e; (e = dir_next(d));) {
        int64_t bytes = e->d_name[0] == '.' ? -1 : growth(leases_fd, e->d_name);
        if (bytes < 0)
            continue;
        out->leases++;
        out->mib += up_to_mib(bytes);
    }
    return errno ? error_set(err, ERR_IO, errno, "read the directory of leases") : 0;
}

int64_t diskroom_kept_mib(int64_t filesystem_mib)
{
    return filesystem_mib == HOST_NO_LIMIT ? 0
                                           : host_kept(filesystem_mib, KEPT_MIN_MIB, KEPT_MAX_MIB);
}

int64_t diskroom_disk_mib(int64_t disk_mib, const char *stock_rootfs)
{
    struct stat st;
    if (!stock_rootfs || !*stock_rootfs || stat(stock_rootfs, &st) < 0)
        return disk_mib;
    int64_t root = up_to_mib((int64_t)st.st_size);
    return root > disk_mib ? root : disk_mib;
}
