/* acquire.c: makes a lease.
 *
 * ops_acquire fills the part of the record that every lease has (describe), lets the provider check
 * its preconditions (preflight), starts the keeper, and writes the first record (begin). From then
 * on the lease exists: the keeper ends it even if this process dies. Then plan_run takes the
 * provider's steps. If one fails, roll_back undoes them by the record, keeps the logs, and removes
 * the lease. What can't be undone stays recorded as broken, with the reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "ops/provider.h"
#include "ops/work.h"

void ops_kinds(const struct provider *const *providers,
               const struct lease_kind *kinds[static PROVIDERS_MAX + 1])
{
    size_t n = 0;
    for (; n < PROVIDERS_MAX && providers[n]; n++)
        kinds[n] = &providers[n]->kind;
    kinds[n] = NULL;
}

int ops_open(struct ops *o, const struct provider *const *providers, const struct config *cfg,
             const char *state_dir, bool make, int cancel_fd, struct error *err)
{
    char path[PATH_MAX];
    memset(o, 0, sizeof *o);
    o->cfg = cfg;
    o->cancel_fd = cancel_fd;
    o->self_exe = "/proc/self/exe";
    o->store = (struct store)STORE_INIT;
    o->provider = providers[0];
    ops_kinds(providers, o->kinds);
    if (!state_dir && store_default_path(path, err) < 0)
        return -1;
    const char *dir = state_dir ? state_dir : path;
    return make ? store_open(&o->store, dir, o->kinds, err)
                : store_open_if_there(&o->store, dir, o->kinds, err);
}

const struct provider *provider_of(const struct lease *l)
{
    /* A provider begins with its kind. */
    return (const struct provider *)(const void *)l->kind;
}

struct machine_words machine_words(const struct lease *l)
{
    return l->kind ? provider_of(l)->words(l) : (struct machine_words){"", "", "", false, ""};
}

void ops_close(struct ops *o)
{
    store_close(&o->store);
}

struct deadline ops_deadline(const struct ops *o, int64_t ms)
{
    struct deadline d = deadline_in_ms(ms);
    d.cancel_fd = o->cancel_fd;
    return d;
}

/* What every lease has. */
static int describe(struct work *w, struct error *err)
{
    const struct config *cfg = w->ops->cfg;
    struct lease *l = &w->lease;
    uint8_t nonce[16];
    if (lease_identify(l, w->id, w->slug, err) < 0)
        return -1;
    if (w->slug && *w->slug && !str_eq(w->slug, l->slug))
        log_info("the slug \"%s\" becomes %s", SHOWN(w->slug), l->slug);
    l->kind = &w->provider->kind;
    random_bytes(nonce, sizeof nonce);
    str_hex(nonce, sizeof nonce, l->nonce);
    l->keep = w->keep;
    l->created_at = l->last_touched_at = clock_unix_s();
    l->ttl_s = cfg->lease.ttl_ms / 1000;
    l->idle_timeout_s = cfg->lease.idle_timeout_ms / 1000;
    l->stop_timeout_ms = cfg->lease.stop_timeout_ms;
    l->cpus = cfg->firecracker.cpus;
    l->memory_mib = cfg->firecracker.memory_mib;
    l->disk_mib = cfg->firecracker.disk_mib;
    l->ssh_port = 22;
    if (str_copy(l->user, sizeof l->user, cfg->firecracker.user) < 0 ||
        str_copy(l->work_root, sizeof l->work_root, cfg->firecracker.work_root) < 0)
        return error_set(err, ERR_CONFIG, 0, "user or workRoot is too long");
    return 0;
}

/* Undoes a lease that did not become ready. What can't be undone stays recorded as broken. */
static void roll_back(struct work *w, struct error *err)
{
    struct error undo = ERROR_INIT;
    struct plan plan = work_plan(w);
    struct store *s = &w->ops->store;
    plan.on_step = NULL;
    w->grace_ms = 0;
    ssh_close(w->conn);
    w->conn = NULL;
    bool has_logs = w->provider->has_logs(&w->lease);
    /* Its last step may have called it ready. A full disk must not stop the undoing. */
    w->lease.state = LEASE_RELEASING;
    (void)store_save(&w->handle, &w->lease, false, NULL);
    if (plan_undo(&plan, &undo) < 0) {
        w->lease.state = LEASE_BROKEN;
        (void)str_format(w->lease.failure, sizeof w->lease.failure, "%.500s", undo.msg);
        (void)store_save(&w->handle, &w->lease, true, NULL);
        (void)error_append(err, "; undoing it failed too: %s; next: crabbox-fc cleanup", undo.msg);
        return;
    }
    bool kept = has_logs && store_keep_logs(s, &w->handle, &w->lease, err->msg, NULL) == 0;
    if (work_remove(w, &undo) < 0)
        (void)error_append(err, "; %s", undo.msg);
    else if (err->kind == ERR_CANCELLED)
        (void)error_append(err, "; the lease is removed%s", kept ? ", its logs are kept" : "");
    if (kept)
        (void)error_append(err, "; next: crabbox-fc logs %s", w->lease.slug);
}

/* From here on the lease exists. Its keeper ends it even if this process dies. */
static int begin(struct work *w, struct error *err)
{
    struct lease *l = &w->lease;
    if (keeper_start(w->ops, l->id, &l->keeper, &w->keeper_go, err) < 0)
        return -1;
    if (store_create(&w->ops->store, l, &w->handle, err) == 0)
        return 0;
    (void)keeper_end(&l->keeper, NULL);
    return -1;
}

static void add_timing(struct ops_timing *t, const char *phase, int64_t us)
{
    if (t->n < OPS_PHASES_MAX)
        t->phases[t->n++] = (__typeof__(t->phases[0])){phase, us};
}

int64_t ops_timing_get(const struct ops_timing *t, const char *phase)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->phases[i].phase, phase))
            return t->phases[i].us;
    return 0;
}

static void relate_milestones(struct ssh_ready_times *r, int64_t boot_us)
{
    int64_t *const all[] = {&r->first_frame_us, &r->tcp_us, &r->banner_us, &r->auth_us};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (*all[i])
            *all[i] -= boot_us;
}

static int run_steps(struct work *w, struct ops_timing *t, struct error *err)
{
    const struct plan_step *steps = w->provider->steps;
    int64_t took[PLAN_STEPS_MAX] = {0};
    struct plan plan = work_plan(w);
    const struct ops_progress *p = &w->ops->progress;
    plan.took_us = took;
    int r = plan_run(&plan, err);
    for (size_t i = 0; i < plan.n_steps; i++)
        if (took[i])
            add_timing(t, steps[i].name, took[i]);
    if (p->end)
        p->end(p->ctx, steps[w->current].name, took[w->current], r == 0);
    return r;
}

static int make(struct work *w, struct ops_timing *t, int64_t t0, struct error *err)
{
    if (describe(w, err) < 0 || w->provider->preflight(w, err) < 0 || begin(w, err) < 0)
        return -1;
    add_timing(t, "prepare", clock_boot_us() - t0);
    if (run_steps(w, t, err) < 0) {
        roll_back(w, err);
        return -1;
    }
    relate_milestones(&w->ready, w->boot_us);
    t->ready = w->ready;
    t->total_us = clock_boot_us() - t0;
    return 0;
}

int ops_acquire(struct ops *o, const struct ops_acquire *req, struct lease *out,
                struct ssh_conn **conn, struct ops_timing *timing, struct error *err)
{
    struct ops_timing local = {0};
    _cleanup_(work_close) struct work w;
    int64_t t0 = clock_boot_us();
    work_init(&w, o, o->provider);
    w.deadline = ops_deadline(o, o->cfg->firecracker.launch_timeout_ms);
    w.id = req->id;
    w.slug = req->slug;
    w.keep = req->keep;
    if (req->slug && ops_release_abandoned(o, req->slug, err) < 0)
        return -1;
    if (make(&w, timing ? timing : &local, t0, err) < 0)
        return -1;
    *out = w.lease;
    if (conn)
        *conn = TAKE_PTR(w.conn);
    return 0;
}

cJSON *ops_timing_json(const struct ops_timing *t)
{
    cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < t->n; i++) {
        char key[32];
        (void)str_format(key, sizeof key, "%sUs", t->phases[i].phase);
        json_add_i64(j, key, t->phases[i].us);
    }
    json_add_i64(j, "firstFrameUs", t->ready.first_frame_us);
    json_add_i64(j, "tcpUs", t->ready.tcp_us);
    json_add_i64(j, "bannerUs", t->ready.banner_us);
    json_add_i64(j, "authUs", t->ready.auth_us);
    json_add_i64(j, "totalUs", t->total_us);
    return j;
}
