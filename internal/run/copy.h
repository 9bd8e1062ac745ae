/* copy.h: copies files and directories into a lease and out of it, as scp does.
 *
 * If the destination is an existing directory, the source goes into it under its own name. Any
 * other destination is the new name. Paths of the guest are relative to the user's home. Files out
 * of the guest follow the rules of fetch/fetch.h. Into the guest, symlinks are sent as symlinks,
 * and special files are left out.
 */
#ifndef CRABBOX_RUN_COPY_H
#define CRABBOX_RUN_COPY_H

#include "ops/ops.h"

struct ops_copied {
    size_t n_files;
    int64_t bytes;
    size_t n_skipped; /* links (out of the guest) and special files */
    char first_skipped[128];
    size_t n_obeyed; /* names that tools of the host would obey, out of the guest */
    char first_obeyed[256];
    int64_t us;
};

/* `stall_ms` as in ssh_watch; 0: SSH_STALL_MS. */
int ops_copy_out(struct ops *o, const char *ref, const char *remote, const char *local,
                 int64_t stall_ms, struct ops_copied *out, struct error *err);
int ops_copy_in(struct ops *o, const char *local, const char *ref, const char *remote,
                int64_t stall_ms, struct ops_copied *out, struct error *err);

#endif
