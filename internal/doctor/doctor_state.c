/* doctor's checks of where leases live: the state directory, and the SSH client. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "doctor/doctor_check.h"
#include "lease/place.h"
#include "lease/store.h"
#include "ops/ops.h"
#include "sys/trusted.h"

/* As every verb would look at it, without the mark that some would leave. */
static int claim(const char *dir, struct error *err)
{
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set(err, ERR_IO, errno, "open %s", dir)
                  : place_claim(fd, dir, false, err);
}

void doctor_state(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct stat st;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *quoted = str_shell_quoted(ctx->state_dir);
    check_detail(c, "path", "%s", ctx->state_dir);
    if (!*ctx->state_dir) {
        check_fail(c, CLASS_CONFIG, "%s", ctx->state_err.msg);
        check_fix(c, "export CRABBOX_FC_STATE_DIR=/var/lib/crabbox-fc/state");
        return;
    }
    if (lstat(ctx->state_dir, &st) < 0) {
        check_detail(c, "exists", "false");
        if (trusted_way(NULL, ctx->state_dir, STORE_WHAT, &err) < 0 ||
            place_check(ctx->state_dir, &err) < 0) {
            check_error(c, DOCTOR_FAILED, &err, "");
            return;
        }
        if (access(ctx->state_ancestor, W_OK | X_OK) == 0) {
            check_ok(c, "%s does not exist yet; the first lease makes it", ctx->state_dir);
            return;
        }
        check_fail(c, CLASS_ENV, "%s does not exist and %s is not writable", ctx->state_dir,
                   ctx->state_ancestor);
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a directory that you may create");
        return;
    }
    check_detail(c, "exists", "true");
    check_detail(c, "mode", "%04o", (unsigned)(st.st_mode & 07777));
    if (!S_ISDIR(st.st_mode)) {
        check_fail(c, CLASS_CONFIG, "%s is not a directory", ctx->state_dir);
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a directory");
    } else if (st.st_uid != geteuid()) {
        check_fail(c, CLASS_CONFIG, "%s belongs to uid %u, not to you", ctx->state_dir,
                   (unsigned)st.st_uid);
        /* Not to be taken over: that user may have prepared the leases there. */
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a new directory, or move %s away", quoted);
    } else if ((st.st_mode & 077) && place_check_closed(ctx->state_dir, &err) == 0) {
        check_fail(c, CLASS_CONFIG, "%s is open to others (mode %04o): it holds private keys",
                   ctx->state_dir, (unsigned)(st.st_mode & 07777));
        check_fix(c, "chmod 700 %s", quoted);
    } else if (error_is_set(&err) || trusted_path(NULL, ctx->state_dir, STORE_WHAT, &err) < 0 ||
               place_check(ctx->state_dir, &err) < 0 || claim(ctx->state_dir, &err) < 0) {
        check_error(c, DOCTOR_FAILED, &err, "");
    } else {
        check_ok(c, "%s", ctx->state_dir);
    }
}

void doctor_ssh(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct program p;
    struct error err = ERROR_INIT;
    (void)ctx;
    if (!find_program("ssh", &p)) {
        check_warn(c, "no ssh client in PATH: `crabbox-fc ssh` can't open a session");
        check_fix(c, "apt-get install openssh-client");
        return;
    }
    check_detail(c, "path", "%s", p.path);
    if (trusted_path(NULL, p.path, "SSH client", &err) < 0)
        check_error(c, DOCTOR_WARNING, &err, "");
    else
        check_ok(c, "client at %s", p.path);
}
