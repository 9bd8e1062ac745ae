/* release.c: ends leases, by the record alone.
 *
 * ops_release takes the lease's lock, loads the record, and undoes its steps in reverse order
 * (undo_lease). It does not matter who made the lease, or whether that process was killed: the
 * marks in the record show what may exist. If an undo fails, the lease is recorded as broken and a
 * later try goes on from there.
 *
 * ops_reap does the same for all leases that nobody needs any more (reap_reason), and store_sweep
 * removes directories that are only half there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "ops/provider.h"
#include "ops/work.h"

/* How long a release waits for another process that works on the same lease. */
#define BUSY_WAIT_MS 10000

/* Undoes from the record. The lock is held. */
static int undo_lease(struct work *w, struct error *err)
{
    struct plan plan = work_plan(w);
    plan.on_step = NULL;
    /* Only a guest that was once ready can be asked to shut down. */
    w->grace_ms = w->lease.state == LEASE_READY ? w->lease.stop_timeout_ms : 0;
    w->lease.state = LEASE_RELEASING;
    /* A full disk must not keep a lease from being removed: the record as it is will do. */
    struct error e = ERROR_INIT;
    (void)store_save(&w->handle, &w->lease, false, &e);
    if (plan_undo(&plan, err) < 0) {
        w->lease.state = LEASE_BROKEN;
        (void)str_format(w->lease.failure, sizeof w->lease.failure, "%.500s", err->msg);
        (void)store_save(&w->handle, &w->lease, true, NULL);
        return error_append(err,
                            "; the record is kept: %s/lease.json; next: fix the cause, then "
                            "crabbox-fc stop %s",
                            w->handle.path, w->lease.id);
    }
    if (w->provider->undone && w->provider->undone(w, err) < 0)
        return -1;
    return work_remove(w, err);
}

/* A record that can't be read names nothing that could be undone. */
static int load(struct work *w, struct error *err)
{
    int r = store_load(&w->ops->store, &w->handle, &w->lease, err);
    if (r == 0 || !err || err->kind != ERR_STATE)
        return r;
    _cleanup_free_ char *dir = str_shell_quoted(w->handle.path);
    return error_append(err,
                        "; next: crabbox-fc doctor, which names what the lease may have left on "
                        "the host; then rm -r %s",
                        dir);
}

int ops_release(struct ops *o, const char *ref, struct ops_released *out, struct error *err)
{
    char id[LEASE_ID_SIZE];
    int64_t t0 = clock_boot_us();
    _cleanup_(work_close) struct work w;
    work_init(&w, o, NULL);
    memset(out, 0, sizeof *out);
    if (store_resolve(&o->store, ref, id, err) < 0)
        return -1;
    struct deadline d = deadline_in_ms(BUSY_WAIT_MS);
    if (store_open_lease(&o->store, id, &d, &w.handle, err) < 0 || load(&w, err) < 0)
        return -1;
    work_begin_undo(&w);
    if (undo_lease(&w, err) < 0)
        return -1;
    out->graceful = w.graceful;
    out->took_us = clock_boot_us() - t0;
    return 0;
}

/* Whether nobody works on a lease and nobody uses it any more. One whose machine died is not meant:
 * its logs may be wanted. */
static bool is_abandoned(const struct lease_entry *e)
{
    enum ops_view_state v = ops_view(e);
    return v == VIEW_INTERRUPTED || v == VIEW_RELEASING || v == VIEW_EXPIRED;
}

int ops_release_abandoned(struct ops *o, const char *slug, struct error *err)
{
    /* The directory of one whose remover died may be all that is left. */
    if (store_sweep(&o->store, false, err) < 0)
        return -1;
    for (;;) {
        struct lease_entry entry;
        struct ops_released released;
        struct error e = ERROR_INIT;
        if (ops_entry(o, slug, &entry, NULL) < 0 || entry.broken || !is_abandoned(&entry))
            return 0;
        if (ops_release(o, entry.id, &released, &e) < 0 && e.kind != ERR_NOT_FOUND) {
            *err = e;
            return error_prefix(err, "remove lease %s, which has the slug %s and was abandoned",
                                entry.id, slug);
        }
    }
}

int ops_touch(struct ops *o, const char *id, int64_t idle_timeout_s, struct lease *out,
              struct error *err)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    struct deadline d = ops_deadline(o, BUSY_WAIT_MS);
    struct lease l;
    if (store_open_lease(&o->store, id, &d, &h, err) < 0 || store_load(&o->store, &h, &l, err) < 0)
        return -1;
    if (l.state != LEASE_READY)
        return error_set(err, ERR_NOT_RUNNING, 0, "lease %s is %s, not ready", l.slug,
                         lease_state_name(l.state));
    keeper_cap_logs(o, &l);
    l.last_touched_at = clock_unix_s();
    if (idle_timeout_s)
        l.idle_timeout_s = idle_timeout_s;
    if (store_save(&h, &l, false, err) < 0)
        return -1;
    if (out)
        *out = l;
    return 0;
}

/* ---- reap ---- */
/* Whether cleanup takes the lease, and why. */
static bool reap_reason(const struct lease_entry *e, const char **reason)
{
    switch (ops_view(e)) {
    case VIEW_INTERRUPTED:
        *reason = "interrupted: the process that worked on it is gone";
        return true;
    case VIEW_DEAD:
        *reason = e->lease.keep ? "the machine is gone, but the lease is kept"
                                : "the machine is gone";
        return !e->lease.keep;
    case VIEW_EXPIRED:
        *reason = "expired";
        return true;
    case VIEW_UNKNOWN:
        *reason = "it can't be found out now whether the machine is still there";
        return false;
    case VIEW_BROKEN:
        *reason = e->reason;
        return !e->broken;
    default:
        *reason = "";
        return false;
    }
}

static void reap_one(struct ops *o, const struct lease_entry *e, bool dry_run, struct ops_reaped *r)
{
    const char *reason;
    struct error err = ERROR_INIT;
    struct ops_released released;
    bool take = reap_reason(e, &reason);
    (void)str_copy(r->id, sizeof r->id, e->id);
    (void)str_copy(r->slug, sizeof r->slug, e->broken ? "" : e->lease.slug);
    (void)str_format(r->reason, sizeof r->reason, "%.500s", reason);
    if (e->broken)
        r->action = REAP_BROKEN;
    else if (e->locked)
        r->action = REAP_BUSY;
    else if (!take)
        r->action = REAP_KEEP;
    else if (dry_run)
        r->action = REAP_REMOVE;
    else if (ops_release(o, e->id, &released, &err) == 0 || err.kind == ERR_NOT_FOUND)
        r->action = REAP_REMOVED;
    else {
        r->action = REAP_FAILED;
        (void)str_format(r->reason, sizeof r->reason, "%.500s", err.msg);
    }
}

int ops_reap(struct ops *o, bool dry_run, struct ops_reaped **out, size_t *n, struct error *err)
{
    _cleanup_free_ struct lease_entry *all = NULL;
    size_t count;
    if (store_list(&o->store, &all, &count, err) < 0)
        return -1;
    *out = xcalloc(count + 1, sizeof **out);
    *n = count;
    for (size_t i = 0; i < count; i++)
        reap_one(o, &all[i], dry_run, &(*out)[i]);
    return store_sweep(&o->store, dry_run, err) < 0 ? -1 : 0;
}
