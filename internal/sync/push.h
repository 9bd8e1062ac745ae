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

/* sync_push that adds what it sent to `res`; with a marker text (may be NULL) the guest writes it
 * beside the work directory when everything is unpacked. */
int push_files(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
               const char *marker_id, const struct deadline *d,
               const struct push_progress *progress, struct sync_result *res, struct error *err);

/* Takes the whole of remote_dir away; what is not there is fine. A symlink is not followed. */
int push_clear(struct ssh_conn *c, const char *remote_dir, const struct deadline *d,
               struct error *err);

/* Deletes files in the guest, and the directories that are empty then. No symlink on the way to
 * one is followed. What is not there any more is fine. */
int push_deletes(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err);

#endif
