#include "run/hung.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

int hung_in(enum err_kind kind, const struct lease *l, bool lease_ends, struct error *err)
{
    if (!err || err->kind != ERR_TIMEOUT)
        return -1;
    err->kind = kind;
    if (lease_ends)
        return error_append(err, "; next: again with --keep-on-failure and look at it, or with a "
                                 "longer --stall-timeout");
    return error_append(err,
                        "; next: crabbox-fc logs %s, crabbox-fc stop %s, or a longer "
                        "--stall-timeout",
                        l->slug, l->slug);
}

int hung_or_lost(const struct lease *l, bool lease_ends, struct error *err)
{
    if (err && (err->kind == ERR_SSH || err->kind == ERR_VMM) && !lease_ends) {
        _cleanup_free_ char *next = xasprintf("crabbox-fc logs %s", l->slug);
        return error_add_next(err, next);
    }
    return hung_in(ERR_SSH, l, lease_ends, err);
}

/* The commands run by ssh, which needs no file there. */
int hung_or_full(const struct lease *l, struct error *err)
{
    const bool full = strstr(err->msg, "No space left") || strstr(err->msg, "quota exceeded");
    /* ERR_SSH without an errno: the guest says it, not this host. */
    const bool fixed = strstr(err->msg, "Read-only file system");
    if (err->kind != ERR_SSH || err->sys || (!full && !fixed))
        return -1;
    _cleanup_free_ char *next = xasprintf(
        "%s: crabbox-fc ssh %s %s",
        full && fixed ? "the guest's disk takes no writes any more, and its memory filesystem "
                        "/dev/shm is full; remove files from /dev/shm"
        : full        ? "the guest has no room or no inodes left (df -h, df -i); remove files there"
                      : "look at the guest's disk, which takes no writes any more",
        l->slug, full ? "rm -r PATH" : "dmesg");
    return error_add_next(err, next);
}
