#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/access.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "ops/steps.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/proc.h"

/* How long a release waits for another process that works on the same lease. */
#define BUSY_WAIT_MS 10000

/* Undoes from the record. The lock is held. */
static int undo_lease(struct step_ctx *c, struct error *err)
{
    struct store *s = &c->ops->store;
    struct plan plan = ops_plan(c);
    plan.on_step = NULL;
    /* Only a guest that was once ready can be asked to shut down. */
    c->grace_ms = c->lease.state == LEASE_READY ? c->lease.stop_timeout_ms : 0;
    c->lease.state = LEASE_RELEASING;
    /* A full disk must not keep a lease from being removed: the record as it is will do. */
    struct error e = ERROR_INIT;
    (void)store_save(s, &c->handle, &c->lease, false, &e);
    if (plan_undo(&plan, err) < 0) {
        c->lease.state = LEASE_BROKEN;
        (void)str_format(c->lease.failure, sizeof c->lease.failure, "%.500s", err->msg);
        (void)store_save(s, &c->handle, &c->lease, true, NULL);
        return error_append(err,
                            "; the record is kept: %s/lease.json; next: fix the cause, then "
                            "crabbox-fc stop %s",
                            c->handle.path, c->lease.id);
    }
    /* The rest of the directory is small. */
    if (file_discard(c->handle.dirfd, VMM_CONSOLE_LOG, err) < 0 ||
        file_discard(c->handle.dirfd, VMM_LOG, err) < 0)
        return -1;
    return step_remove(c, err);
}

int ops_release(struct ops *o, const char *ref, struct ops_released *out, struct error *err)
{
    char id[LEASE_ID_SIZE];
    int64_t t0 = clock_boot_us();
    _cleanup_(step_ctx_close) struct step_ctx c;
    step_ctx_init(&c, o);
    memset(out, 0, sizeof *out);
    if (store_resolve(&o->store, ref, id, err) < 0)
        return -1;
    struct deadline d = deadline_in_ms(BUSY_WAIT_MS);
    if (store_open_lease(&o->store, id, &d, &c.handle, err) < 0 ||
        store_load(&o->store, &c.handle, &c.lease, err) < 0)
        return -1;
    if (undo_lease(&c, err) < 0)
        return -1;
    out->graceful = c.graceful;
    out->took_us = clock_boot_us() - t0;
    return 0;
}

/* Whether nobody works on a lease and nobody uses it any more. One whose VMM died is not meant:
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

/* ---- use of a ready lease ---- */
int ops_find_ready(struct ops *o, const char *ref, struct lease *out, struct error *err)
{
    struct lease_entry e;
    if (ops_entry(o, ref, &e, err) < 0)
        return -1;
    enum ops_view_state v = ops_view(&e);
    if (v == VIEW_BROKEN)
        return error_set(err, ERR_STATE, 0, "lease %s is broken: %s", ref, e.reason);
    if (v != VIEW_READY && v != VIEW_EXPIRED)
        return error_set(err, ERR_NOT_RUNNING, 0,
                         "lease %s is %s, not ready; next: crabbox-fc "
                         "logs %s, or crabbox-fc stop %s",
                         e.lease.slug, ops_view_name(v), e.lease.slug, e.lease.slug);
    *out = e.lease;
    return 0;
}

int ops_connect(struct ops *o, const struct lease *l, const struct deadline *d,
                struct ssh_conn **out, struct error *err)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    char key[64];
    struct ssh_target target;
    if (store_open_lease(&o->store, l->id, NULL, &h, err) < 0)
        return -1;
    _cleanup_close_ int vmm_fd = proc_open(&l->local.vmm.proc, err);
    if (vmm_fd < 0)
        return error_prefix(err, "lease %s", l->slug);
    keeper_cap_logs(o, l);
    access_target(l, h.dirfd, key, sizeof key, &target);
    struct ssh_wait wait = {.guest_fd = -1, .vmm_fd = vmm_fd};
    struct ssh_ready_times times;
    if (ssh_wait_ready(&target, &wait, d, out, &times, err) == 0)
        return 0;
    if (err->kind == ERR_VMM) /* it was ready once: now it is not running */
        err->kind = ERR_NOT_RUNNING;
    return error_prefix(err, "lease %s", l->slug);
}

int ops_use(struct ops *o, const char *id, struct error *err)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    if (store_open_lease(&o->store, id, NULL, &h, err) < 0)
        return -1;
    return lock_share(h.dirfd, LEASE_USE, err);
}

int ops_touch(struct ops *o, const char *id, struct lease *out, struct error *err)
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
    if (store_save(&o->store, &h, &l, false, err) < 0)
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
        *reason = e->lease.keep ? "the VMM is gone, but the lease is kept" : "the VMM is gone";
        return !e->lease.keep;
    case VIEW_EXPIRED:
        *reason = "expired";
        return true;
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
