/* doctor's checks of whether the host can carry one more lease now, and where it would lie. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "doctor/doctor_check.h"
#include "ops/access.h"

void doctor_memory(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct sysinfo s;
    if (sysinfo(&s) == 0)
        check_detail(c, "swapMiB", "%llu",
                     (unsigned long long)s.totalswap * s.mem_unit / (1024 * 1024));
    if (check_condition(ctx, c))
        check_ok(c, "%lld MiB free, a lease takes %lld MiB", (long long)ctx->on.room.memory_mib,
                 (long long)admission_memory_mib(&ctx->on.need));
}

void doctor_limits(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "open files, descriptors and processes are enough for a lease");
}

void doctor_state(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct stat st;
    check_detail(c, "path", "%s", ctx->state_dir);
    if (!*ctx->state_dir) {
        check_error(c, DOCTOR_FAILED, &ctx->state_err, "");
        return;
    }
    bool exists = lstat(ctx->state_dir, &st) == 0;
    check_detail(c, "exists", "%s", exists ? "true" : "false");
    if (exists)
        check_detail(c, "mode", "%04o", (unsigned)(st.st_mode & 07777));
    if (check_condition(ctx, c))
        check_ok(c, "%s%s", ctx->state_dir,
                 exists ? "" : " does not exist yet; the first lease makes it");
}

/* How a lease's disk is made: nothing is cloned where the root is shared. */
static const char *clone_strategy(const struct doctor_ctx *ctx)
{
    static const char *const names[] = {
        [CLONE_REFLINK] = "reflink", [CLONE_SPARSE] = "sparse", [CLONE_COPY] = "copy"};
    enum clone_how how;
    struct error err = ERROR_INIT;
    char dir[PATH_MAX];
    if (*ctx->on.cfg->image.dir)
        return "overlay";
    if (!*ctx->state_ancestor || !realpath(ctx->on.image.rootfs, dir))
        return "unknown";
    char *slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';
    return image_clone_probe(dir, ctx->state_ancestor, &how, &err) < 0 ? "unknown" : names[how];
}

void doctor_disk(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const char *dir = ctx->state_ancestor;
    const char *how = clone_strategy(ctx);
    check_detail(c, "path", "%s", dir);
    check_detail(c, "clone", "%s", how);
    if (!*ctx->state_dir) {
        check_error(c, DOCTOR_FAILED, &ctx->state_err, "");
        return;
    }
    if (!check_condition(ctx, c))
        return;
    if (ctx->on.need.overcommit) {
        check_warn(c, "disk.overcommit is set: once guests have filled %s, all leases there fail",
                   dir);
        check_fix(c, "remove disk.overcommit, and set firecracker.diskMiB to a size that fits");
    } else if (str_eq(how, "copy")) {
        check_warn(c, "every lease copies the whole root: the disk has neither reflinks nor holes");
        check_fix(c, "put image and state directory on one XFS filesystem");
    } else {
        check_ok(c, "%lld MiB free at %s, a lease takes at most %s MiB, root by %s",
                 (long long)ctx->on.room.disk_mib, dir,
                 json_opt_string(c->details, "leaseMiB", "?"), how);
    }
}

/* No lease needs it, but the verb `ssh` does. */
void doctor_ssh(struct doctor_ctx *ctx, struct doctor_check *c)
{
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    (void)ctx;
    if (access_find_ssh(path, &err) < 0) {
        check_error(c, DOCTOR_WARNING, &err, "");
        return;
    }
    check_detail(c, "path", "%s", path);
    check_ok(c, "client at %s", path);
}
