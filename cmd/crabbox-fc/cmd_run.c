#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "ops/run.h"

static const char *run_status(const struct ops_run_result *r)
{
    if (!r->ran)
        return "failed";
    return r->status.signalled ? "signalled" : "exited";
}

/* The fields that Crabbox's scripts read, then ours. */
static void print_timing(const struct ops_run_result *r, int code, const struct error *e)
{
    _cleanup_json_ cJSON *j = ops_timing_json(&r->timing);
    (void)cJSON_AddStringToObject(j, "provider", "firecracker");
    (void)cJSON_AddStringToObject(j, "leaseId", r->lease.id);
    (void)cJSON_AddStringToObject(j, "slug", r->lease.slug);
    (void)cJSON_AddStringToObject(j, "vmm", r->lease.vmm.backend);
    (void)cJSON_AddStringToObject(j, "accel", r->lease.vmm.accel);
    json_add_i64(j, "leaseMs", r->lease_us / 1000);
    json_add_i64(j, "bootstrapMs", ops_timing_get(&r->timing, "ready") / 1000);
    json_add_i64(j, "syncMs", r->sync_us / 1000);
    json_add_i64(j, "commandMs", r->command_us / 1000);
    json_add_i64(j, "stopMs", r->stop_us / 1000);
    json_add_i64(j, "totalMs", r->total_us / 1000);
    json_add_i64(j, "syncFiles", (int64_t)r->files);
    json_add_i64(j, "syncBytes", r->bytes);
    json_add_i64(j, "syncFilesSent", (int64_t)r->files_sent);
    json_add_i64(j, "syncFilesDeleted", (int64_t)r->files_deleted);
    json_add_i64(j, "syncBytesSent", r->bytes_sent);
    json_add_i64(j, "exitCode", code);
    (void)cJSON_AddStringToObject(j, "runStatus", run_status(r));
    (void)cJSON_AddStringToObject(j, "errorKind", error_is_set(e) ? error_kind_name(e->kind) : "");
    _cleanup_free_ char *text = json_print(j, false);
    fprintf(stderr, "%s\n", text);
}

static void print_summary(const struct ops_run_result *r)
{
    char how[64];
    if (r->status.signalled)
        (void)str_format(how, sizeof how, "signal=%s", r->status.signal);
    else
        (void)str_format(how, sizeof how, "exit=%d", r->status.code);
    log_info(
        "run complete %s slug=%s vmm=%s accel=%s%s lease=%lldms sync=%lldms (%zu of %zu files) "
        "command=%lldms stop=%lldms total=%lldms",
        how, r->lease.slug, r->lease.vmm.backend, r->lease.vmm.accel,
        str_eq(r->lease.vmm.accel, "tcg") ? " (emulated)" : "", (long long)(r->lease_us / 1000),
        (long long)(r->sync_us / 1000), r->files_sent, r->files, (long long)(r->command_us / 1000),
        (long long)(r->stop_us / 1000), (long long)(r->total_us / 1000));
    if (r->acquired && !r->released)
        log_info(
            "the lease is kept; next: crabbox-fc run --id %s -- COMMAND, or crabbox-fc stop %s",
            r->lease.slug, r->lease.slug);
}

/* --slug names an existing lease if there is one, else the new one. */
static const char *existing(struct invocation *in)
{
    char id[LEASE_ID_SIZE];
    if (in->opt.id)
        return in->opt.id;
    if (in->opt.slug && store_resolve(&in->ops.store, in->opt.slug, id, NULL) == 0)
        return in->opt.slug;
    return NULL;
}

int cmd_run(struct invocation *in, struct error *err)
{
    struct ops_run_result res;
    if (!in->n_args && !in->opt.sync_only)
        return error_set(err, ERR_USAGE, 0,
                         "run needs a command; next: crabbox-fc run -- COMMAND [ARG]...");
    if (in->opt.sync_only && in->opt.no_sync)
        return error_set(err, ERR_USAGE, 0, "--sync-only and --no-sync exclude each other");
    struct ops_run req = {
        .ref = existing(in),
        .slug = in->opt.slug,
        .keep = in->opt.keep || in->opt.sync_only,
        .keep_on_failure = in->opt.keep_on_failure,
        .argv = in->args,
        .shell = in->opt.shell,
        .no_sync = in->opt.no_sync,
        .sync_only = in->opt.sync_only,
        .dir = in->opt.dir ? in->opt.dir : ".",
        .stdin_fd = STDIN_FILENO,
        .stdout_fd = STDOUT_FILENO,
        .stderr_fd = STDERR_FILENO,
    };
    int r = ops_run(&in->ops, &req, &res, err);
    int code = r < 0 ? error_exit_code(err->kind) : res.ran ? ops_exit_code(&res.status) : 0;
    if (r == 0 && res.ran)
        print_summary(&res);
    if (in->opt.timing_json)
        print_timing(&res, code, err);
    return r < 0 ? -1 : code;
}
