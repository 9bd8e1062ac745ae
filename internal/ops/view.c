#include "base/str.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "ops/provider.h"
#include "sys/deadline.h"
#include "sys/proc.h"

static const char *const view_names[] = {
    [VIEW_CREATING] = "creating",       [VIEW_READY] = "ready",     [VIEW_RELEASING] = "releasing",
    [VIEW_INTERRUPTED] = "interrupted", [VIEW_DEAD] = "dead",       [VIEW_EXPIRED] = "expired",
    [VIEW_BROKEN] = "broken",           [VIEW_UNKNOWN] = "unknown",
};

const char *ops_view_name(enum ops_view_state s)
{
    return view_names[s];
}

enum ops_view_state ops_view(const struct lease_entry *e)
{
    const struct lease *l = &e->lease;
    if (e->passing)
        return VIEW_UNKNOWN;
    if (e->broken || l->state == LEASE_BROKEN)
        return VIEW_BROKEN;
    if (l->state != LEASE_READY && e->locked)
        return l->state == LEASE_CREATING ? VIEW_CREATING : VIEW_RELEASING;
    /* Before all that somebody would remove it for. */
    enum life life = provider_of(l)->life(l);
    if (life == LIFE_UNKNOWN)
        return VIEW_UNKNOWN;
    if (l->state != LEASE_READY)
        return VIEW_INTERRUPTED;
    if (life == LIFE_GONE)
        return VIEW_DEAD;
    int64_t end = e->in_use ? l->created_at + l->ttl_s : lease_expires_at(l);
    return !l->keep && clock_unix_s() >= end ? VIEW_EXPIRED : VIEW_READY;
}

enum ops_end ops_end(const struct lease_entry *e)
{
    if (e->broken || (e->lease.keep && e->lease.state == LEASE_READY))
        return END_STOP;
    if (proc_alive(&e->lease.keeper))
        return END_KEEPER;
    return ops_view(e) == VIEW_BROKEN ? END_STOP : END_CLEANUP;
}

const char *ops_end_name(enum ops_end e)
{
    static const char *const names[] = {
        [END_KEEPER] = "keeper", [END_STOP] = "stop", [END_CLEANUP] = "cleanup"};
    return names[e];
}

static void cap_logs(const struct ops *o, const struct lease_entry *e)
{
    if (!e->broken)
        keeper_cap_logs(o, &e->lease);
}

int ops_list(struct ops *o, struct lease_entry **out, size_t *n, struct error *err)
{
    if (store_list(&o->store, out, n, err) < 0)
        return -1;
    for (size_t i = 0; i < *n; i++)
        cap_logs(o, &(*out)[i]);
    return 0;
}

int ops_entry(struct ops *o, const char *ref, struct lease_entry *out, struct error *err)
{
    char id[LEASE_ID_SIZE];
    if (store_resolve(&o->store, ref, id, err) < 0)
        return -1;
    if (store_entry(&o->store, id, out, err) < 0)
        return -1;
    cap_logs(o, out);
    return 0;
}

int ops_entry_settled(struct ops *o, const char *ref, int64_t ms, struct lease_entry *out,
                      struct error *err)
{
    struct deadline d = ops_deadline(o, ms);
    char id[LEASE_ID_SIZE];
    if (store_resolve(&o->store, ref, id, err) < 0 || store_entry(&o->store, id, out, err) < 0)
        return -1;
    while (ops_view(out) == VIEW_CREATING || ops_view(out) == VIEW_RELEASING) {
        _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
        const char *doing = ops_view_name(ops_view(out));
        struct error e = ERROR_INIT;
        /* Whoever makes or removes it holds its lock. */
        int r = store_open_lease(&o->store, id, &d, &h, &e);
        lease_handle_close(&h);
        if (r == 0)
            r = store_entry(&o->store, id, out, &e);
        if (r < 0 && e.kind == ERR_NOT_FOUND)
            return error_set(err, ERR_NOT_RUNNING, 0, "lease %s was %s and is gone", ref, doing);
        if (r < 0) {
            *err = e;
            return error_prefix(err, "lease %s is %s", ref, doing);
        }
    }
    return 0;
}
