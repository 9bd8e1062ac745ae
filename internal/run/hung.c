#include "run/hung.h"

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
    if (err && (err->kind == ERR_SSH || err->kind == ERR_VMM) && !lease_ends)
        return error_append(err, "; next: crabbox-fc logs %s", l->slug);
    return hung_in(ERR_SSH, l, lease_ends, err);
}
