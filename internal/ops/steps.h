/* steps.h: the table of steps that make a lease; acquire runs it, release undoes it. */
#ifndef CRABBOX_OPS_STEPS_H
#define CRABBOX_OPS_STEPS_H

#include "cni/chain.h"
#include "image/image.h"
#include "ops/ops.h"
#include "plan/plan.h"

/* What the steps share. Undo uses only ops, lease, handle and what it can find on the host. */
struct step_ctx {
    struct ops *ops;
    struct lease lease;
    struct lease_handle handle;
    struct deadline deadline;
    /* acquire only */
    bool slug_made_up;       /* by us: another will do as well */
    struct image image;      /* owned: its open files */
    char vmm_path[PATH_MAX]; /* the VMM's program */
    struct pinned vmm_pin;   /* of it */
    struct cni_chain chain;  /* owned; of firecracker.network cni */
    int reservation_fd;      /* owned; see admission.h */
    int netns_fd;            /* owned; undo: the VMM's, where one is needed */
    int guest_fd;            /* owned: packet socket, readable at the guest's first frame */
    int vmm_fd;              /* owned: pidfd */
    struct ssh_conn *conn;
    struct ssh_ready_times ready;
    int64_t boot_us; /* when the guest began to run */
    size_t current;  /* step that runs, for progress */
    int64_t current_since_us;
    struct ops_timing *timing;
    int keeper_go;           /* owned; see keeper_start */
    /* undo only */
    int64_t grace_ms;
    bool graceful;
};

void step_ctx_init(struct step_ctx *c, struct ops *o);
void step_ctx_close(struct step_ctx *c);

extern const struct plan_step ops_steps[];
extern const size_t ops_steps_len;

#define VMM_PROGRAM "VMM program" /* for messages about it */

/* The program that the chosen VMM is, as configured. */
const char *step_vmm_binary(const struct config *cfg);

/* Writes the record; durable: with fsync. */
int step_save(struct step_ctx *c, bool durable, struct error *err);

/* Removes the directory of a lease whose steps are undone, then ends its keeper. */
int step_remove(struct step_ctx *c, struct error *err);

/* The plan over a context: marks are the lease's, the journal is its record. */
struct plan ops_plan(struct step_ctx *c);

#endif
