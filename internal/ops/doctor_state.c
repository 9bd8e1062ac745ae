/* doctor's checks of where leases live: the state directory, its disk, and the SSH client. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "lease/store.h"
#include "ops/doctor_check.h"
#include "ops/ops.h"
#include "sys/trusted.h"

void doctor_state(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct stat st;
    struct error err = ERROR_INIT;
    check_detail(c, "path", "%s", ctx->state_dir);
    if (!*ctx->state_dir) {
        check_fail(c, CLASS_CONFIG, "%s", ctx->state_err.msg);
        check_mend(c, "export CRABBOX_FC_STATE_DIR=/var/lib/crabbox-fc/state");
        return;
    }
    if (lstat(ctx->state_dir, &st) < 0) {
        check_detail(c, "exists", "false");
        if (trusted_way(NULL, ctx->state_dir, STORE_WHAT, &err) < 0) {
            check_error(c, DOCTOR_FAILED, &err, "");
            return;
        }
        if (access(ctx->state_ancestor, W_OK | X_OK) == 0) {
            check_ok(c, "%s does not exist yet; the first lease makes it", ctx->state_dir);
            return;
        }
        check_fail(c, CLASS_ENV, "%s does not exist and %s is not writable", ctx->state_dir,
                   ctx->state_ancestor);
        check_mend(c, "set CRABBOX_FC_STATE_DIR to a directory that you may create");
        return;
    }
    check_detail(c, "exists", "true");
    check_detail(c, "mode", "%04o", (unsigned)(st.st_mode & 07777));
    if (!S_ISDIR(st.st_mode)) {
        check_fail(c, CLASS_CONFIG, "%s is not a directory", ctx->state_dir);
        check_mend(c, "set CRABBOX_FC_STATE_DIR to a directory");
    } else if (st.st_uid != geteuid()) {
        check_fail(c, CLASS_CONFIG, "%s belongs to uid %u, not to you", ctx->state_dir,
                   (unsigned)st.st_uid);
        check_mend(c, "chown -R %u %s, or set CRABBOX_FC_STATE_DIR", (unsigned)geteuid(),
                   ctx->state_dir);
    } else if (st.st_mode & 077) {
        check_fail(c, CLASS_CONFIG, "%s is open to others (mode %04o): it holds private keys",
                   ctx->state_dir, (unsigned)(st.st_mode & 07777));
        check_mend(c, "chmod 700 %s", ctx->state_dir);
    } else if (trusted_path(NULL, ctx->state_dir, STORE_WHAT, &err) < 0) {
        check_error(c, DOCTOR_FAILED, &err, "");
    } else {
        check_ok(c, "%s", ctx->state_dir);
    }
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

void doctor_disk(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct statvfs v;
    const char *dir = ctx->state_ancestor;
    int64_t want = ctx->cfg->firecracker.disk_mib;
    check_detail(c, "path", "%s", dir);
    if (!*dir || statvfs(dir, &v) < 0) {
        check_fail(c, CLASS_ENV, "the disk of the state directory can't be read: %s",
                   *dir ? strerror(errno) : "no state directory");
        check_mend(c, "set CRABBOX_FC_STATE_DIR to a directory on a disk");
        return;
    }
    int64_t free_mib = (int64_t)(v.f_bavail * (uint64_t)v.f_frsize >> 20);
    check_detail(c, "freeMiB", "%lld", (long long)free_mib);
    check_detail(c, "freeInodes", "%llu", (unsigned long long)v.f_favail);
    check_detail(c, "diskMiB", "%lld", (long long)want);
    const char *how = clone_strategy(ctx);
    check_detail(c, "clone", "%s", how);
    if (v.f_flag & ST_RDONLY) {
        check_fail(c, CLASS_ENV, "%s is on a read-only filesystem", dir);
        check_mend(c, "set CRABBOX_FC_STATE_DIR to a writable disk");
    } else if (free_mib < ADMISSION_DISK_MIB || (v.f_files > 0 && v.f_favail < ADMISSION_INODES)) {
        check_fail(c, CLASS_ENV, "only %lld MiB and %llu inodes are free at %s",
                   (long long)free_mib, (unsigned long long)v.f_favail, dir);
        check_mend(c, "free some space there, or set CRABBOX_FC_STATE_DIR to another disk");
    } else if (str_eq(how, "copy")) {
        check_warn(c, "every lease copies the whole root: the disk knows no reflinks or holes");
        check_mend(c, "put image and state directory on one XFS or btrfs filesystem");
    } else if (free_mib < want) {
        check_warn(c, "a guest may write %lld MiB, but only %lld MiB are free at %s",
                   (long long)want, (long long)free_mib, dir);
        check_mend(c, "free some space there, or lower firecracker.diskMiB");
    } else {
        check_ok(c, "%lld MiB free at %s, root by %s", (long long)free_mib, dir, how);
    }
}

void doctor_ssh(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct program p;
    struct error err = ERROR_INIT;
    (void)ctx;
    if (!find_program("ssh", &p)) {
        check_warn(c, "no ssh client in PATH: `crabbox-fc ssh` can't open a session");
        check_mend(c, "apt-get install openssh-client");
        return;
    }
    check_detail(c, "path", "%s", p.path);
    if (trusted_path(NULL, p.path, "SSH client", &err) < 0)
        check_error(c, DOCTOR_WARNING, &err, "");
    else
        check_ok(c, "client at %s", p.path);
}
