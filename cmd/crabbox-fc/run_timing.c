#include "run_timing.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/provider.h"
#include "run_results.h"

/* How the command ended, in our words. */
static const char *outcome(const struct ops_run_result *r)
{
    if (!r->ran)
        return "failed";
    if (r->timed_out)
        return "timeout";
    return r->status.signalled ? "signalled" : "exited";
}

/* What it comes to, in Crabbox's. */
static void add_verdict(cJSON *j, const struct ops_run_result *r, int code, const struct error *e)
{
    const char *status = code ? "failed" : "succeeded";
    const char *kind = error_is_set(e) ? "provider-error" : code ? "command-exit" : "";
    if (r->timed_out || e->kind == ERR_TIMEOUT) {
        status = "timed-out";
        kind = "timeout";
    } else if (e->kind == ERR_CANCELLED) {
        status = "canceled";
        kind = "canceled";
    }
    (void)cJSON_AddStringToObject(j, "runStatus", status);
    (void)cJSON_AddStringToObject(j, "errorKind", kind);
}

static void add_times(cJSON *j, const struct ops_run_result *r)
{
    int64_t ready_us = r->acquired ? ops_timing_get(&r->timing, "ready") : r->connect_us;
    json_add_i64(j, "leaseMs", r->lease_us / 1000);
    json_add_i64(j, "bootstrapMs", ready_us / 1000);
    json_add_i64(j, "syncMs", r->sync_us / 1000);
    json_add_i64(j, "commandMs", r->command_us / 1000);
    json_add_i64(j, "stopMs", r->stop_us / 1000);
    json_add_i64(j, "totalMs", r->total_us / 1000);
    json_add_i64(j, "endToEndMs", r->total_us / 1000);
}

static void add_sync(cJSON *j, const struct ops_run_result *r)
{
    (void)cJSON_AddBoolToObject(j, "syncSkipped", !r->files_sent && !r->files_deleted);
    json_add_i64(j, "syncFiles", (int64_t)r->files);
    json_add_i64(j, "syncBytes", r->bytes);
    json_add_i64(j, "syncFilesSent", (int64_t)r->files_sent);
    json_add_i64(j, "syncFilesDeleted", (int64_t)r->files_deleted);
    json_add_i64(j, "syncBytesSent", r->bytes_sent);
}

/* `kind`: of the lease, or where there is none of the one that was to be made. */
static void add_lease(cJSON *j, const struct lease_kind *kind, const struct ops_run_result *r)
{
    const struct machine_words words = machine_words(&r->lease);
    (void)cJSON_AddStringToObject(j, "provider", kind->provider);
    (void)cJSON_AddStringToObject(j, "leaseId", r->lease.id);
    (void)cJSON_AddStringToObject(j, "slug", r->lease.slug);
    (void)cJSON_AddStringToObject(j, "runId", r->run_id);
    (void)cJSON_AddStringToObject(j, "vmm", words.vmm);
    (void)cJSON_AddStringToObject(j, "accel", words.accel);
    (void)cJSON_AddStringToObject(j, "machineType", words.vmm);
    (void)cJSON_AddBoolToObject(j, "leaseStopped", r->released);
    if (!*r->lease.id)
        return;
    char idle[STR_TIME_SIZE];
    _cleanup_free_ char *stop = xasprintf("crabbox-fc stop --id %s", r->lease.slug);
    str_time(r->lease.idle_timeout_s * 1000, idle);
    (void)cJSON_AddStringToObject(j, "stopCommand", stop);
    (void)cJSON_AddStringToObject(j, "idleTimeout", idle);
}

cJSON *run_timing_json(const struct invocation *in, const struct ops_run_result *r, int code,
                       const struct error *e)
{
    cJSON *j = ops_timing_json(&r->timing);
    const char *cause = r->timed_out ? "timeout" : error_is_set(e) ? error_kind_name(e->kind) : "";
    add_lease(j, r->lease.kind ? r->lease.kind : &in->ops.provider->kind, r);
    (void)cJSON_AddStringToObject(j, "repoPath", config_repo_root(&in->cfg));
    (void)cJSON_AddStringToObject(j, "workdir", r->work_dir);
    add_times(j, r);
    add_sync(j, r);
    if (in->opt.label)
        (void)cJSON_AddStringToObject(j, "label", in->opt.label);
    results_json(j, &r->collected);
    json_add_i64(j, "exitCode", code);
    add_verdict(j, r, code, e);
    (void)cJSON_AddStringToObject(j, "outcome", outcome(r));
    (void)cJSON_AddStringToObject(j, "cause", cause);
    (void)cJSON_AddStringToObject(j, "errorPhase", *cause ? r->phase : "");
    return j;
}
