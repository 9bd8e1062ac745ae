/* work.c: the steps that are the same for every provider, and the journal of the plan.
 *
 * journal saves the record whenever a mark changes. The shared steps are keeper (lets the keeper go
 * on once the record is on disk), slug (claims the name, with digits if another lease has it) and
 * ready (waits for SSH, and compares the nonce that the guest returns with the one in its seed).
 * work_make_keys is a part of each provider's own step.
 */
#include "ops/work.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"
#include "ops/access.h"
#include "ops/keeper.h"
#include "ops/provider.h"
#include "sys/file.h"
#include "sys/proc.h"

void work_init(struct work *w, struct ops *o, const struct provider *p)
{
    memset(w, 0, sizeof *w);
    w->ops = o;
    w->handle = (struct lease_handle)LEASE_HANDLE_INIT;
    w->keeper_go = w->guest_fd = w->gone_fd = -1;
    w->provider = p;
    if (p && p->begin)
        p->begin(w);
}

void work_begin_undo(struct work *w)
{
    w->provider = provider_of(&w->lease);
    if (w->provider->begin)
        w->provider->begin(w);
}

void work_close(struct work *w)
{
    ssh_close(w->conn);
    w->conn = NULL;
    if (w->provider && w->provider->end)
        w->provider->end(w);
    CLOSE_FD(w->guest_fd);
    CLOSE_FD(w->gone_fd);
    CLOSE_FD(w->keeper_go);
    lease_handle_close(&w->handle);
}

int work_save(struct work *w, bool durable, struct error *err)
{
    return store_save(&w->handle, &w->lease, durable, err);
}

int work_remove(struct work *w, struct error *err)
{
    if (store_remove(&w->ops->store, w->lease.id, err) < 0)
        return -1;
    return keeper_end(&w->lease.keeper, err);
}

/* ---- the plan ---- */

static int journal(void *ctx, bool durable, struct error *err)
{
    return work_save(ctx, durable, err);
}

static void on_step(void *ctx, size_t step)
{
    struct work *w = ctx;
    const struct ops_progress *p = &w->ops->progress;
    w->current = step;
    if (p->begin)
        p->begin(p->ctx, w->provider->steps[step].name);
}

struct plan work_plan(struct work *w)
{
    return (struct plan){
        .steps = w->provider->steps,
        .n_steps = w->provider->kind.n_steps,
        .marks = w->lease.marks,
        .journal = journal,
        .on_step = on_step,
        .ctx = w,
    };
}

/* ---- keeper ---- */

int work_keeper_apply(void *work, struct error *err)
{
    struct work *w = work;
    (void)err;
    CLOSE_FD(w->keeper_go);
    return 0;
}

/* A lease whose keeper has ended must not become ready: nothing would remove it. */
static int check_keeper(const struct work *w, struct error *err)
{
    if (proc_alive(&w->lease.keeper))
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "the lease's keeper (process %d) has ended: nothing would remove the lease at "
                     "its expiry",
                     (int)w->lease.keeper.pid);
}

/* ---- slug ---- */
#define SLUG_TRIES 8

/* A slug that another lease has gets digits. It is written down before it is claimed. */
int work_slug_apply(void *work, struct error *err)
{
    struct work *w = work;
    for (int tries = 1;; tries++) {
        struct error e = ERROR_INIT;
        if (store_claim_slug(&w->ops->store, w->lease.slug, w->lease.id, &e) == 0) {
            if (tries > 1 && w->slug && *w->slug)
                log_warn("another lease is called %s, so this one is called %s; next: crabbox-fc "
                         "run --id %s uses the other",
                         w->slug, w->lease.slug, w->slug);
            return 0;
        }
        if (e.kind != ERR_EXISTS || tries == SLUG_TRIES) {
            *err = e;
            return -1;
        }
        lease_slug_again(&w->lease, w->slug);
        if (work_save(w, true, err) < 0)
            return -1;
    }
}

int work_slug_undo(void *work, struct error *err)
{
    struct work *w = work;
    return store_drop_slug(&w->ops->store, w->lease.slug, w->lease.id, err);
}

/* ---- keys ---- */

int work_make_keys(struct work *w, char client_key[static SSH_PUBKEY_SIZE], struct strbuf *host_pem,
                   struct error *err)
{
    _cleanup_(strbuf_wipe) struct strbuf pem = STRBUF_INIT;
    if (ssh_key_generate(&pem, client_key, err) < 0 ||
        ssh_key_generate(host_pem, w->lease.host_key, err) < 0)
        return -1;
    return access_write(w->ops, &w->lease, &w->handle, pem.buf, pem.len, client_key, err);
}

/* ---- ready ---- */

/* The nonce comes back only from a guest that read this lease's seed. */
static int check_nonce(struct work *w, struct error *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    io.out = &out;
    io.out_max = 256;
    io.gone_fd = w->gone_fd;
    if (ssh_exec(w->conn, "cat " SEED_NONCE_PATH, &io, &w->deadline, &st, err) < 0)
        return -1;
    out.buf[strcspn(out.buf, "\r\n")] = '\0';
    if (!st.exited || st.code != 0 || !str_eq(out.buf, w->lease.nonce))
        return error_set(err, ERR_SSH, 0,
                         "the guest did not return the nonce of its seed drive (" SEED_NONCE_PATH
                         "): it booted from something else than this lease");
    return 0;
}

int work_ready_apply(void *work, struct error *err)
{
    struct work *w = work;
    char key[64];
    struct ssh_target target;
    struct ssh_wait wait = {.guest_fd = w->guest_fd, .gone_fd = w->gone_fd};
    access_target(&w->lease, w->handle.dirfd, key, sizeof key, &target);
    if (ssh_wait_ready(&target, &wait, &w->deadline, &w->conn, &w->ready, err) < 0)
        return -1;
    fd_close_aside(&w->guest_fd); /* no more needed, and slow to close */
    if (check_nonce(w, err) < 0 || check_keeper(w, err) < 0)
        return -1;
    w->lease.last_touched_at = clock_unix_s();
    w->lease.state = LEASE_READY;
    return 0;
}
