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
static int print_text(const struct lease *l, const struct ops_timing *t, struct error *err)
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
    return out_line(err, "warmup complete total=%s", total);
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

int cmd_warmup(struct invocation *in, struct error *err)
{
    struct ops_acquire req = {.slug = in->opt.slug, .keep = in->opt.keep};
    struct ops_timing t = {0};
    struct lease l;
    if (ops_acquire(&in->ops, &req, &l, NULL, &t, err) < 0)
        return -1;
    int r = in->opt.json ? print_json(in, &l, &t, err) : print_text(&l, &t, err);
    if (in->opt.timing_json)
        print_timing(&l, &t);
    if (!in->opt.json && !l.keep)
        log_info("it ends when nothing has used it for its idle time; warmup --keep makes one that "
                 "stays");
    if (!in->opt.json)
        log_info("next: crabbox-fc run --id %s -- COMMAND, crabbox-fc ssh %s, crabbox-fc stop %s",
                 l.slug, l.slug, l.slug);
    return r;
}
