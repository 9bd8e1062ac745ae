#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "ops/provider.h"

static int print_json(struct invocation *in, const struct lease *l, const struct ops_timing *t,
                      struct error *err)
{
    struct lease_entry e;
    if (ops_entry(&in->ops, l->id, &e, err) < 0)
        return -1;
    _cleanup_json_ cJSON *j = ops_lease_json(&in->ops.store, &e, ops_view(&e));
    (void)cJSON_AddItemToObject(j, "timing", ops_timing_json(t));
    return out_json(j, err);
}

/* The first words of each line are Crabbox's, which scripts cut out. */
static int print_text(const struct lease *l, bool quiet, const struct ops_timing *t,
                      struct error *err)
{
    const struct machine_words words = machine_words(l);
    char idle[STR_TIME_SIZE], total[STR_TIME_SIZE], expires[STR_UTC_SIZE];
    str_time(l->idle_timeout_s * 1000, idle);
    str_time(t->total_us / 1000, total);
    str_utc(lease_expires_at(l), expires);
    if (out_line(err,
                 "leased %s slug=%s provider=%s server=%s type=%s ip=%s idle_timeout=%s expires=%s "
                 "vmm=%s accel=%s",
                 l->id, l->slug, l->kind->provider, l->name, words.vmm, words.address, idle,
                 l->keep ? "never" : expires, words.vmm, words.accel) < 0 ||
        out_line(err, "ready ssh=%s@%s:%lld network=public workroot=%s host=crabbox-%s", l->user,
                 words.address, (long long)l->ssh_port, l->work_root, l->slug) < 0)
        return -1;
    return quiet ? 0 : out_line(err, "warmup complete total=%s", total);
}

static void say_end(const struct lease *l)
{
    char idle[STR_TIME_SIZE], ttl[STR_TIME_SIZE];
    str_time(l->idle_timeout_s * 1000, idle);
    str_time(l->ttl_s * 1000, ttl);
    log_info("it ends after %s without use, and after %s even in use (--idle-timeout, --ttl); "
             "warmup --keep makes one that stays",
             idle, ttl);
}

/* The fields that Crabbox's scripts read, then ours. */
static void print_timing(const struct lease *l, const struct ops_timing *t)
{
    _cleanup_json_ cJSON *j = ops_timing_json(t);
    (void)cJSON_AddStringToObject(j, "provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "leaseId", l->id);
    (void)cJSON_AddStringToObject(j, "slug", l->slug);
    json_add_i64(j, "totalMs", t->total_us / 1000);
    json_add_i64(j, "endToEndMs", t->total_us / 1000);
    json_add_i64(j, "exitCode", 0);
    (void)cJSON_AddStringToObject(j, "runStatus", "succeeded");
    out_json_stderr(j);
}

enum { SETTLE_MS = 5 * 60 * 1000 };

/* The lease with the id that was asked for. 1: it is there. 0: there is none, or no longer. */
static int find_asked(struct invocation *in, const char *id, struct lease *l, struct error *err)
{
    struct error e = ERROR_INIT;
    struct lease_entry entry;
    struct ops_released released;
    if (ops_entry_settled(&in->ops, id, SETTLE_MS, &entry, &e) < 0) {
        if (e.kind == ERR_NOT_FOUND || e.kind == ERR_NOT_RUNNING) /* it went away meanwhile */
            return 0;
        *err = e;
        return -1;
    }
    enum ops_view_state v = ops_view(&entry);
    if (v == VIEW_READY) {
        log_info("lease %s is there already, and is used as it is", id);
        *l = entry.lease;
        return 1;
    }
    if (v != VIEW_INTERRUPTED)
        return error_set(err, ERR_NOT_RUNNING, 0, "lease %s is %s; next: crabbox-fc stop %s", id,
                         ops_view_name(v), id);
    /* Half of one, whose maker was killed: the same call again makes a whole one. */
    if (ops_release(&in->ops, id, &released, &e) == 0 || e.kind == ERR_NOT_FOUND)
        return 0;
    *err = e;
    return -1;
}

/* With --lease-id, however often it is called there is one lease. */
static int acquire(struct invocation *in, struct lease *l, struct ops_timing *t, struct error *err)
{
    enum { TRIES = 8 };
    const struct options *o = &in->opt;
    const struct ops_acquire req = {.id = o->lease_id, .slug = o->slug, .keep = o->keep};
    if (!req.id)
        return ops_acquire(&in->ops, &req, l, NULL, t, err);
    if (!lease_id_valid(req.id))
        return error_set(err, ERR_USAGE, 0, "--lease-id: \"%s\" is not cbx_ and 12 hex digits",
                         req.id);
    for (int i = 1;; i++) {
        struct error e = ERROR_INIT;
        int found = find_asked(in, req.id, l, err);
        if (found != 0)
            return found < 0 ? -1 : 0;
        if (ops_acquire(&in->ops, &req, l, NULL, t, &e) == 0)
            return 0;
        if (e.kind != ERR_EXISTS || i == TRIES) { /* else somebody else was faster */
            *err = e;
            return -1;
        }
    }
}

int cmd_warmup(struct invocation *in, struct error *err)
{
    struct ops_timing t = {0};
    struct lease l;
    if (out_check(err) < 0 || acquire(in, &l, &t, err) < 0)
        return -1;
    int r = in->opt.json ? print_json(in, &l, &t, err) : print_text(&l, in->opt.quiet, &t, err);
    if (r < 0)
        (void)error_append(err, ", but the lease %s is there; next: crabbox-fc stop %s", l.slug,
                           l.slug);
    if (in->opt.timing_json)
        print_timing(&l, &t);
    const char *lacks = machine_words(&l).lacks;
    if (!in->opt.json && *lacks)
        log_info("its isolation is degraded: %s", lacks);
    if (!in->opt.json && !l.keep)
        say_end(&l);
    if (!in->opt.json)
        log_info("next: crabbox-fc run --id %s -- COMMAND, crabbox-fc ssh %s, crabbox-fc stop %s",
                 l.slug, l.slug, l.slug);
    return r;
}
