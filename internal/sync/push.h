/* push.h: sends an archive to the guest and deletes files there. Only the files of this module use
 * it. */
#ifndef CRABBOX_SYNC_PUSH_H
#define CRABBOX_SYNC_PUSH_H

#include "sync/manifest.h"
#include "sync/sync.h"

struct push_progress {
    sync_progress_fn *fn; /* may be NULL */
    void *ctx;
};

/* The same as sync_push, but adds the sent files to `res`. If there is a marker text (may be
 * NULL), the guest writes it beside the work directory when everything is unpacked, and what stands
 * in the way of a file there is removed; and a file that changes meanwhile is only a warning,
 * because the next sync sends it again. */
int push_files(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
               const char *marker_id, const struct deadline *d,
               const struct push_progress *progress, struct sync_result *res, struct error *err);

/* Appends what to do next where the guest says that its disk is full or read-only; else `other`.
 * Returns -1. */
int push_add_next(struct error *err, const char *other);

/* Removes the whole of remote_dir and its marker; it may be absent. A symlink is not followed. */
int push_clear(struct ssh_conn *c, const char *remote_dir, const struct deadline *d,
               struct error *err);

/* Deletes files in the guest, and directories that become empty. No symlink on the way to a file
 * is followed. Files may be gone already. */
int push_deletes(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err);

/* Removes what the guest has where the files of the list go, so that they can be unpacked. */
int push_make_way(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
                  const struct deadline *d, struct error *err);

/* Runs a script that may call zap, mine and unmount (delete.c), with the directory as $top. `what`
 * begins the message, before "the guest's DIRECTORY": "remove the repository in". */
int push_run(struct ssh_conn *c, const char *remote_dir, const char *script, const char *what,
             const struct deadline *d, struct error *err);

/* Unmounts what is mounted at these places, which come sorted. */
int push_unmount(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err);

#endif
