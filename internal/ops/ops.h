/* ops.h: the use cases: acquire, use, release and reap a lease.
 *
 * ops_open → any call below, and sessions (session.h) → ops_close. The caller (cmd/) parses and
 * prints. Nothing here writes to the terminal: progress goes through `struct ops_progress`. One
 * cancel descriptor (the user's Ctrl-C) ends every wait, through the deadlines made here. Undoing
 * ignores it.
 */
#ifndef CRABBOX_OPS_OPS_H
#define CRABBOX_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "config/config.h"
#include "lease/lease.h"
#include "lease/store.h"
#include "ssh/ssh.h"
#include "sys/deadline.h"

/* Each callback may be NULL. */
struct ops_progress {
    void (*begin)(void *ctx, const char *phase);
    void (*end)(void *ctx, const char *phase, int64_t us, bool ok);
    /* How far a phase that moves files has come; may come from another thread. */
    void (*update)(void *ctx, const char *phase, size_t files, int64_t bytes);
    void *ctx;
};

struct provider; /* provider.h */
#define PROVIDERS_MAX 4

struct ops {
    const struct config *cfg;        /* borrowed */
    const struct provider *provider; /* of new leases */
    const struct lease_kind *kinds[PROVIDERS_MAX + 1];
    struct store store;
    int cancel_fd;        /* borrowed, -1: none */
    const char *self_exe; /* what the keeper is started from; tests name the built binary */
    struct ops_progress progress;
};

/* Opens the state directory (NULL: the default place). If there is none yet, it is made if `make`
 * is set; callers that make leases set it. `providers` ends with NULL; the first one makes new
 * leases. */
int ops_open(struct ops *o, const struct provider *const *providers, const struct config *cfg,
             const char *state_dir, bool make, int cancel_fd, struct error *err);
/* What the store has to know of these providers to read their leases. */
void ops_kinds(const struct provider *const *providers,
               const struct lease_kind *kinds[static PROVIDERS_MAX + 1]);
void ops_close(struct ops *o);

struct deadline ops_deadline(const struct ops *o, int64_t ms);

/* ---- acquire ---- */
struct ops_acquire {
    const char *id;   /* NULL: made up. ERR_EXISTS where a lease has it */
    const char *slug; /* NULL: made up */
    bool keep;
};

/* Microseconds by phase, in the order in which they ran. */
#define OPS_PHASES_MAX 16
struct ops_timing {
    struct {
        const char *phase;
        int64_t us;
    } phases[OPS_PHASES_MAX];
    size_t n;
    int64_t total_us;
    struct ssh_ready_times ready; /* milestones, relative to the boot of the guest, in us */
};
int64_t ops_timing_get(const struct ops_timing *t, const char *phase); /* 0 if absent */
cJSON *ops_timing_json(const struct ops_timing *t);

/* Makes a lease and waits until SSH is ready and the guest has proven that it read its seed. On
 * error everything is undone; logs are kept and the message says where. `conn` (may be NULL) gets
 * the open connection. */
int ops_acquire(struct ops *o, const struct ops_acquire *req, struct lease *out,
                struct ssh_conn **conn, struct ops_timing *timing, struct error *err);

/* Extends the idle deadline: last_touched_at = now. `idle_timeout_s` 0: the time stays what it is.
 */
int ops_touch(struct ops *o, const char *id, int64_t idle_timeout_s, struct lease *out,
              struct error *err);

/* ---- release ---- */
struct ops_released {
    bool absent;   /* there was nothing to stop */
    bool graceful; /* the guest ended by itself */
    int64_t took_us;
};
/* Undoes a lease by its record. ERR_NOT_FOUND when no such lease exists. */
int ops_release(struct ops *o, const char *ref, struct ops_released *out, struct error *err);

/* Removes the leases with this slug that nobody works on or uses any more (interrupted, expired).
 * So a caller who wants the slug need not wait for their keepers. */
int ops_release_abandoned(struct ops *o, const char *slug, struct error *err);

/* ---- reap ---- */
enum ops_reap_action { REAP_KEEP, REAP_BUSY, REAP_REMOVE, REAP_REMOVED, REAP_FAILED, REAP_BROKEN };
struct ops_reaped {
    char id[NAME_MAX + 1];
    char slug[LEASE_SLUG_SIZE];
    enum ops_reap_action action;
    char reason[512]; /* "expired", "the machine is gone", "interrupted", or the failure */
};
/* Removes all leases that are expired, dead or unfinished, then sweeps. A failure does not stop
 * it. The caller frees the array. Returns -1 if the state directory can't be read (`out` is NULL
 * then), or if the sweep could not remove everything. */
int ops_reap(struct ops *o, bool dry_run, struct ops_reaped **out, size_t *n, struct error *err);

/* ---- views of existing leases ---- */
enum ops_view_state {
    VIEW_CREATING, /* somebody is making it */
    VIEW_READY,
    VIEW_RELEASING,   /* somebody is removing it */
    VIEW_INTERRUPTED, /* its maker or remover died: cleanup removes it */
    VIEW_DEAD,        /* the machine is gone */
    VIEW_EXPIRED,
    VIEW_BROKEN,  /* unreadable record, or an undo that failed */
    VIEW_UNKNOWN, /* its provider can't tell just now: nothing is removed until it can */
};
enum ops_view_state ops_view(const struct lease_entry *e);
const char *ops_view_name(enum ops_view_state s);

/* What ends a lease if nobody intervenes. */
enum ops_end {
    END_KEEPER,  /* its keeper: at the expiry, or as soon as an unfinished lease comes free */
    END_STOP,    /* nothing but `stop`: it is kept, or it could not be undone */
    END_CLEANUP, /* nothing but `stop` or `cleanup`: its keeper is gone */
};
enum ops_end ops_end(const struct lease_entry *e);
const char *ops_end_name(enum ops_end e); /* "keeper", "stop", "cleanup" */

/* The documented JSON of one lease (docs/STATE.md). `view` is what ops_view returned: a machine may
 * go at any moment, and one answer must not be in two minds. */
cJSON *ops_lease_json(const struct store *s, const struct lease_entry *e, enum ops_view_state view);
/* The members about its time: RFC 3339 as in Crabbox, and unix seconds under a name of their own.
 */
void ops_add_times(cJSON *j, const struct lease *l);
int ops_list(struct ops *o, struct lease_entry **out, size_t *n, struct error *err);
int ops_entry(struct ops *o, const char *ref, struct lease_entry *out, struct error *err);
/* The same, but first waits until nobody makes or removes the lease any more. Then it is ready, or
 * can't become ready. ERR_TIMEOUT after `ms`; ERR_NOT_RUNNING if it went away meanwhile. */
int ops_entry_settled(struct ops *o, const char *ref, int64_t ms, struct lease_entry *out,
                      struct error *err);

#endif
