/* doctor's checks of whether the host can carry one more lease now, by the sums of admission.c:
 * what warmup would refuse is never called ready. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "doctor/doctor_check.h"
#include "sys/file.h"

/* A field of /proc/meminfo in MiB, or -1. */
static int64_t meminfo_mib(const char *text, const char *field)
{
    unsigned long long kib;
    const char *p = strstr(text, field);
    if (!p || sscanf(p + strlen(field), " %llu", &kib) != 1)
        return -1;
    return (int64_t)(kib / 1024);
}

void doctor_memory(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error err = ERROR_INIT;
    int64_t guest = ctx->need.memory_mib, need = admission_memory_mib(&ctx->need);
    int64_t available = ctx->room.memory_mib;
    if (file_read_at(AT_FDCWD, "/proc/meminfo", 16384, &text, &err) < 0) {
        check_fail(c, CLASS_ENV, "%s", err.msg);
        check_fix(c, "mount -t proc proc /proc");
        return;
    }
    int64_t total = meminfo_mib(text.buf, "MemTotal:");
    check_detail(c, "availableMiB", "%lld", (long long)available);
    check_detail(c, "totalMiB", "%lld", (long long)total);
    check_detail(c, "guestMiB", "%lld", (long long)guest);
    check_detail(c, "needMiB", "%lld", (long long)need);
    check_detail(c, "swapMiB", "%lld", (long long)meminfo_mib(text.buf, "SwapTotal:"));
    if (total > 0 && need > total) {
        check_fail(c, CLASS_CONFIG, "a lease takes %lld MiB, but the host has only %lld MiB",
                   (long long)need, (long long)total);
        check_fix(c, "set firecracker.memoryMiB below %lld", (long long)(total - (need - guest)));
    } else if (available < need) {
        check_fail(c, CLASS_ENV,
                   "a lease takes %lld MiB, but only %lld MiB are free: warmup refuses",
                   (long long)need, (long long)available);
        check_fix(c, "stop a lease (crabbox-fc list shows them), or lower "
                     "firecracker.memoryMiB");
    } else {
        check_ok(c, "%lld MiB free, a lease takes %lld MiB", (long long)available, (long long)need);
    }
}

/* In warmup's words. */
static void fail_as_warmup(struct doctor_check *c, const struct error *err)
{
    check_error(c, DOCTOR_FAILED, err, "raise it");
}

static void limit_detail(struct doctor_check *c, const char *key, int64_t n)
{
    if (n == HOST_NO_LIMIT)
        check_detail(c, key, "no limit");
    else
        check_detail(c, key, "%lld", (long long)n);
}

void doctor_limits(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    struct host_room room = ctx->room;
    limit_detail(c, "openFiles", room.files);
    limit_detail(c, "descriptors", room.own_fds);
    limit_detail(c, "processes", room.tasks);
    room.memory_mib = room.disk_mib = room.inodes = HOST_NO_LIMIT; /* checks of their own */
    if (admission_look(ctx->state_dir, &ctx->need, &room, NULL, &err) == 0)
        check_ok(c, "open files, descriptors and processes are enough for a lease");
    else
        fail_as_warmup(c, &err);
}

/* How a lease's disk is made: nothing is cloned where the root is shared. */
static const char *clone_strategy(struct doctor_ctx *ctx)
{
    static const char *const names[] = {
        [CLONE_REFLINK] = "reflink", [CLONE_SPARSE] = "sparse", [CLONE_COPY] = "copy"};
    enum clone_how how;
    struct error err = ERROR_INIT;
    char dir[PATH_MAX];
    if (*ctx->cfg->image.dir)
        return "overlay";
    if (!*ctx->state_ancestor || !realpath(ctx->rootfs, dir))
        return "unknown";
    char *slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';
    return image_clone_probe(dir, ctx->state_ancestor, &how, &err) < 0 ? "unknown" : names[how];
}

/* Every demand but the disk's is another check's. */
static int look_at_disk(const struct doctor_ctx *ctx, const struct admission *need, const char *dir,
                        struct error *err)
{
    struct host_room room = ctx->room;
    room.memory_mib = room.files = room.own_fds = room.tasks = HOST_NO_LIMIT;
    return admission_look(dir, need, &room, &ctx->promised, err);
}

static void disk_details(const struct doctor_ctx *ctx, const struct admission *need,
                         struct doctor_check *c)
{
    const struct host_room *r = &ctx->room;
    check_detail(c, "freeMiB", "%lld", (long long)r->disk_mib);
    limit_detail(c, "freeInodes", r->inodes);
    check_detail(c, "diskMiB", "%lld", (long long)need->disk_mib);
    check_detail(c, "promisedMiB", "%lld", (long long)ctx->promised.mib);
    check_detail(c, "keptMiB", "%lld", (long long)diskroom_kept_mib(r->disk_total_mib));
    check_detail(c, "overcommit", "%s", need->overcommit ? "true" : "false");
}

void doctor_disk(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct statvfs v;
    struct error err = ERROR_INIT;
    const char *dir = ctx->state_ancestor;
    check_detail(c, "path", "%s", dir);
    if (!*dir || statvfs(dir, &v) < 0) {
        check_fail(c, CLASS_ENV, "the disk of the state directory can't be read: %s",
                   *dir ? strerror(errno) : "no state directory");
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a directory on a disk");
        return;
    }
    const char *how = clone_strategy(ctx);
    struct admission need = ctx->need;
    need.disk_mib = diskroom_disk_mib(need.disk_mib, *ctx->cfg->image.dir ? NULL : ctx->rootfs);
    disk_details(ctx, &need, c);
    check_detail(c, "clone", "%s", how);
    if (v.f_flag & ST_RDONLY) {
        check_fail(c, CLASS_ENV, "%s is on a read-only filesystem", dir);
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a directory on a writable disk");
    } else if (look_at_disk(ctx, &need, dir, &err) < 0) {
        fail_as_warmup(c, &err);
    } else if (need.overcommit) {
        check_warn(c, "disk.overcommit is set: once guests have filled %s, all leases there fail",
                   dir);
        check_fix(c, "remove disk.overcommit, and set firecracker.diskMiB to a size that fits");
    } else if (str_eq(how, "copy")) {
        check_warn(c, "every lease copies the whole root: the disk has neither reflinks nor holes");
        check_fix(c, "put image and state directory on one XFS filesystem");
    } else {
        check_ok(c, "%lld MiB free at %s, a lease takes at most %lld MiB, root by %s",
                 (long long)ctx->room.disk_mib, dir, (long long)admission_disk_mib(&need), how);
    }
}
