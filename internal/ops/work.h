/* work.h: the state of making or undoing one lease, shared by its provider's steps.
 *
 * acquire.c fills it and runs the steps. release.c loads the record into it and undoes them. Some
 * steps are the same for every provider. They are declared here, so that a provider can put them
 * into its table.
 */
#ifndef CRABBOX_OPS_WORK_H
#define CRABBOX_OPS_WORK_H

#include "ops/ops.h"
#include "plan/plan.h"

/* Undo uses only ops, lease, handle and the state that it finds on the host. */
struct work {
    struct ops *ops;
    const struct provider *provider;
    struct lease lease;
    struct lease_handle handle;
    struct deadline deadline;
    void *own; /* the provider's */
    /* acquire only */
    const char *id, *slug; /* that were asked for, or NULL */
    bool keep;             /* asked for */
    int keeper_go;         /* owned; see keeper_start */
    int guest_fd;          /* owned: readable at the guest's first sign of life; -1: none is seen */
    int gone_fd;           /* owned: readable once the machine is gone; -1 */
    struct ssh_conn *conn;
    struct ssh_ready_times ready;
    int64_t boot_us; /* when the guest began to run */
    size_t current;  /* step that runs, for progress */
    /* undo only */
    int64_t grace_ms;
    bool graceful;
};

void work_init(struct work *w, struct ops *o, const struct provider *p);
/* The same for an undo, once the record is loaded. */
void work_begin_undo(struct work *w);
void work_close(struct work *w);

/* Writes the record; durable: with fsync. */
int work_save(struct work *w, bool durable, struct error *err);

/* Removes the directory of a lease whose steps are undone, then ends its keeper. */
int work_remove(struct work *w, struct error *err);

/* The plan for this work. Its marks are the lease's, and its journal is the lease's record. */
struct plan work_plan(struct work *w);

/* ---- steps that every provider has ---- */
/* The first step. The keeper was started before the record was written, and waits for this step.
 * It has no undo, because the keeper finishes the removal if the removing process dies. */
int work_keeper_apply(void *work, struct error *err);
int work_slug_apply(void *work, struct error *err);
int work_slug_undo(void *work, struct error *err);
/* For the step that makes the keys. It makes the client's key with the files that use it
 * (access.h), and the machine's key, which is pinned. The machine gets `client_key`, a public line,
 * and `host_pem`, which the caller wipes. */
int work_make_keys(struct work *w, char client_key[static SSH_PUBKEY_SIZE], struct strbuf *host_pem,
                   struct error *err);
/* The last step. It waits for SSH, checks the guest's nonce, and marks the lease as ready. */
int work_ready_apply(void *work, struct error *err);

#endif
