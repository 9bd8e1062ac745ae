/* session.c: opens a lease for use, and notices when it ends.
 *
 * Two locks in the lease's directory matter here. LEASE_USE is held shared by every session, so the
 * keeper sees that the lease is in use and does not end it as idle. The turn lock is exclusive:
 * only one `run` at a time works in a lease.
 *
 * The record is read again after each wait, because the lease may have ended meanwhile. The
 * provider's `watch` gives a descriptor that becomes readable when the machine is gone. ssh_watch
 * gets it, so a command ends at once with that reason instead of waiting for a dead connection.
 */
#include "ops/session.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "ops/access.h"
#include "ops/keeper.h"
#include "ops/provider.h"
#include "sys/lock.h"

#define CONNECT_MS 30000
#define MIB        (INT64_C(1) << 20)
/* Lock file in the lease's directory: whose turn it is. */
#define TURN "run"

static void begin(struct session *s, struct ops *o, int64_t stall_ms)
{
    *s = (struct session)SESSION_INIT;
    s->ops = o;
    s->stall_ms = stall_ms ? stall_ms : SSH_STALL_MS;
}

static int not_ready(struct session *s, const char *ref, struct error *err)
{
    struct lease_entry e;
    if (store_entry(&s->ops->store, s->lease.id, &e, err) < 0)
        return -1;
    enum ops_view_state v = ops_view(&e);
    if (v == VIEW_BROKEN)
        return error_set(err, ERR_STATE, 0, "lease %s is broken: %s", ref, e.reason);
    if (v == VIEW_CREATING)
        return error_set(err, ERR_NOT_RUNNING, 0,
                         "lease %s is creating, not ready; next: crabbox-fc status --wait %s, or "
                         "crabbox-fc stop %s",
                         s->lease.slug, s->lease.slug, s->lease.slug);
    return error_set(err, ERR_NOT_RUNNING, 0,
                     "lease %s is %s, not ready; next: crabbox-fc logs %s, or crabbox-fc stop %s",
                     s->lease.slug, ops_view_name(v), s->lease.slug, s->lease.slug);
}

/* The record as it is now. */
static int load(struct session *s, const char *ref, struct error *err)
{
    if (store_load(&s->ops->store, &s->dir, &s->lease, err) < 0)
        return -1;
    if (s->lease.state != LEASE_READY || provider_of(&s->lease)->life(&s->lease) == LIFE_GONE)
        return not_ready(s, ref, err);
    return 0;
}

/* Watches the machine and marks the lease as in use. */
static int use(struct session *s, struct error *err)
{
    s->use_fd = lock_share(s->dir.dirfd, LEASE_USE, err);
    if (s->use_fd < 0)
        return -1;
    s->gone_fd = provider_of(&s->lease)->watch(&s->lease, err);
    return s->gone_fd < 0 ? error_prefix(err, "lease %s", s->lease.slug) : 0;
}

int session_find(struct ops *o, const char *ref, int64_t stall_ms, struct session *s,
                 struct error *err)
{
    char id[LEASE_ID_SIZE];
    begin(s, o, stall_ms);
    if (store_resolve(&o->store, ref, id, err) < 0 ||
        store_open_lease(&o->store, id, NULL, &s->dir, err) < 0 || load(s, ref, err) < 0 ||
        use(s, err) < 0)
        return -1;
    return ops_touch(o, id, 0, &s->lease, err);
}

/* The lock of whose turn it is; waits for it only where that is asked for. */
static int lock_turn(struct session *s, int64_t wait_ms, struct error *err)
{
    struct error busy = ERROR_INIT;
    int fd = lock_try(s->dir.dirfd, TURN, true, &busy);
    if (fd >= 0)
        return fd;
    if (busy.kind != ERR_BUSY) {
        *err = busy;
        return -1;
    }
    if (wait_ms <= 0)
        return error_set(err, ERR_BUSY, 0,
                         "another run is using lease %s; wait for it with --wait, or use another",
                         s->lease.slug);
    struct deadline d = ops_deadline(s->ops, wait_ms);
    log_info("waiting for another run on lease %s...", s->lease.slug);
    return lock_wait(s->dir.dirfd, TURN, true, &d, err);
}

int session_take_turn(struct session *s, int64_t wait_ms, struct error *err)
{
    s->turn_fd = lock_turn(s, wait_ms, err);
    return s->turn_fd < 0 ? -1 : load(s, s->lease.id, err);
}

int session_connect(struct session *s, struct error *err)
{
    char key[64];
    struct ssh_target target;
    struct ssh_wait wait = {.guest_fd = -1, .gone_fd = s->gone_fd};
    struct deadline d = ops_deadline(s->ops, s->stall_ms < CONNECT_MS ? s->stall_ms : CONNECT_MS);
    keeper_cap_logs(s->ops, &s->lease);
    access_target(&s->lease, s->dir.dirfd, key, sizeof key, &target);
    if (ssh_wait_ready(&target, &wait, &d, &s->conn, NULL, err) < 0) {
        if (err->kind == ERR_VMM) /* it was ready once: now it is not running */
            err->kind = ERR_NOT_RUNNING;
        return error_prefix(err, "lease %s", s->lease.slug);
    }
    ssh_watch(s->conn, s->gone_fd, s->stall_ms);
    return 0;
}

int session_reconnect(struct session *s, struct error *err)
{
    ssh_close(s->conn);
    s->conn = NULL;
    return session_connect(s, err);
}

bool session_ended(const struct session *s, struct error *err)
{
    const struct lease *l = &s->lease;
    struct lease_entry e;
    struct error why = ERROR_INIT;
    if (!*l->id)
        return false;
    if (store_entry(&s->ops->store, l->id, &e, &why) < 0
            ? why.kind != ERR_NOT_FOUND
            : e.broken || e.lease.state != LEASE_RELEASING)
        return false;
    error_clear(err);
    if (l->keep || clock_unix_s() < l->created_at + l->ttl_s)
        (void)error_set(err, ERR_NOT_RUNNING, 0,
                        "lease %s was stopped while it was in use; next: crabbox-fc list, or "
                        "crabbox-fc warmup",
                        l->slug);
    else
        (void)error_set(err, ERR_NOT_RUNNING, 0,
                        "lease %s has expired while it was in use: its lease.ttl is over; next: "
                        "crabbox-fc warmup with a longer --ttl",
                        l->slug);
    return true;
}

int session_dial(const struct session *s, struct error *err)
{
    struct ssh_target target = {0};
    struct deadline d = ops_deadline(s->ops, CONNECT_MS);
    provider_of(&s->lease)->target(&s->lease, &target);
    int fd = ssh_dial(&target, &d, err);
    return fd < 0 ? error_prefix(err, "lease %s", s->lease.slug) : fd;
}

int session_hold_disk(const struct session *s, int *held, int64_t *bytes, struct error *err)
{
    const struct provider *p = provider_of(&s->lease);
    int64_t mib = *bytes > 0 ? (*bytes + MIB - 1) / MIB : 1;
    CLOSE_FD(*held);
    if (!p->hold_disk)
        return 0;
    *held = p->hold_disk(s->ops, &s->lease, &mib, err);
    if (*held < 0)
        return -1;
    *bytes = *bytes < mib * MIB ? *bytes : mib * MIB;
    return 0;
}

int session_open(struct ops *o, const char *ref, int64_t stall_ms, struct session *s,
                 struct error *err)
{
    return session_find(o, ref, stall_ms, s, err) < 0 ? -1 : session_connect(s, err);
}

int session_make(struct ops *o, const struct ops_acquire *req, int64_t stall_ms,
                 struct ops_timing *timing, struct session *s, struct error *err)
{
    begin(s, o, stall_ms);
    if (ops_acquire(o, req, &s->lease, &s->conn, timing, err) < 0)
        return -1;
    if (store_open_lease(&o->store, s->lease.id, NULL, &s->dir, err) < 0 || use(s, err) < 0)
        return -1;
    ssh_watch(s->conn, s->gone_fd, s->stall_ms);
    return session_take_turn(s, 0, err);
}

void session_disconnect(struct session *s)
{
    ssh_close(s->conn);
    s->conn = NULL;
    CLOSE_FD(s->gone_fd);
    CLOSE_FD(s->use_fd);
}

void session_close(struct session *s)
{
    session_disconnect(s);
    CLOSE_FD(s->turn_fd);
    lease_handle_close(&s->dir);
}
