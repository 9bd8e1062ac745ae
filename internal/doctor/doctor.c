#include "doctor/doctor.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "doctor/doctor_check.h"
#include "lease/place.h"
#include "lease/store.h"
#include "local/local.h"

#define DOCTOR_MAX_MS 10000 /* all checks together; a healthy host needs a few dozen */

#define MESSAGE_AT 21 /* column where messages begin in the table */

#define CRABBOX "firecracker" /* checks that Crabbox has too: its names, its order, first */
#define OURS    "crabbox-fc"

static const struct {
    const char *name;
    const char *provider;
    doctor_fn *fn;
} table[] = {
    {"host", CRABBOX, doctor_host},
    {"kvm", CRABBOX, doctor_kvm},
    {"binary", CRABBOX, doctor_binary},
    {"jailer", CRABBOX, doctor_jailer},
    {"kernel", CRABBOX, doctor_kernel},
    {"rootfs", CRABBOX, doctor_rootfs},
    {"network", CRABBOX, doctor_network},
    {"user", OURS, doctor_user},
    {"forwarding", OURS, doctor_forwarding},
    {"image", OURS, doctor_image},
    {"qemu", OURS, doctor_qemu},
    {"sandbox", OURS, doctor_sandbox},
    {"cgroup", OURS, doctor_cgroup},
    {"memory", OURS, doctor_memory},
    {"limits", OURS, doctor_limits},
    {"state", OURS, doctor_state},
    {"disk", OURS, doctor_disk},
    {"ssh", OURS, doctor_ssh},
    {"orphans", OURS, doctor_orphans},
    {"keepers", OURS, doctor_keepers},
    {"ksm", OURS, doctor_ksm},
    {"smt", OURS, doctor_smt},
    {"cpu", OURS, doctor_cpu},
    {"swap", OURS, doctor_swap},
    {"cores", OURS, doctor_cores},
    {"userns", OURS, doctor_userns},
    {"landlock", OURS, doctor_landlock},
    {"cgroups", OURS, doctor_cgroups},
    {"paths", OURS, doctor_paths},
};
_Static_assert(ARRAY_LEN(table) <= DOCTOR_CHECKS_MAX, "raise DOCTOR_CHECKS_MAX");

static const char *const status_names[] = {
    [DOCTOR_OK] = "ok",
    [DOCTOR_FAILED] = "failed",
    [DOCTOR_WARNING] = "warning",
    [DOCTOR_SKIP] = "skip",
};

const char *doctor_status_name(enum doctor_status s)
{
    return status_names[s];
}

const char *doctor_check_name(size_t i)
{
    return i < ARRAY_LEN(table) ? table[i].name : NULL;
}

/* ---- verdicts ---- */

static void set_message(struct doctor_check *c, enum doctor_status status, const char *fmt,
                        va_list ap)
{
    c->status = status;
    text_format(c->message, sizeof c->message, fmt, ap);
}

void check_ok(struct doctor_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_message(c, DOCTOR_OK, fmt, ap);
    va_end(ap);
}

void check_warn(struct doctor_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_message(c, DOCTOR_WARNING, fmt, ap);
    va_end(ap);
}

void check_skip(struct doctor_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_message(c, DOCTOR_SKIP, fmt, ap);
    va_end(ap);
}

void check_fail(struct doctor_check *c, const char *class, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_message(c, DOCTOR_FAILED, fmt, ap);
    va_end(ap);
    check_detail(c, "class", "%s", class);
}

static void set_detail(struct doctor_check *c, const char *key, const char *fmt, va_list ap)
{
    char text[DOCTOR_MESSAGE_MAX];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    cJSON_DeleteItemFromObjectCaseSensitive(c->details, key);
    (void)cJSON_AddStringToObject(c->details, key, text);
}

void check_detail(struct doctor_check *c, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_detail(c, key, fmt, ap);
    va_end(ap);
}

void check_fix(struct doctor_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_detail(c, "fix", fmt, ap);
    va_end(ap);
}

/* An error's "; next: …" is the fix. */
void check_error(struct doctor_check *c, enum doctor_status status, const struct error *err,
                 const char *fix)
{
    size_t len;
    const char *next = error_next(err, &len);
    if (status == DOCTOR_WARNING)
        check_warn(c, "%.*s", (int)len, err->msg);
    else
        check_fail(c, error_exit_code(err->kind) == 2 ? CLASS_CONFIG : CLASS_ENV, "%.*s", (int)len,
                   err->msg);
    check_fix(c, "%s", next ? next : fix);
}

static void take_note(void *to, const char *key, const char *fmt, va_list ap)
{
    set_detail(to, key, fmt, ap);
}

bool check_condition(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    char why[128] = "";
    ctx->on.note = take_note;
    ctx->on.note_to = c;
    int r = condition_judge(&ctx->on, condition_by_name(c->check), why, sizeof why, &err);
    if (r > 0)
        check_skip(c, "%s", why);
    else if (r < 0)
        check_error(c, DOCTOR_FAILED, &err, "see docs/DOCTOR.md");
    return r == 0;
}

/* ---- the run ---- */

/* Cuts components off until what is left exists. */
static void find_ancestor(struct doctor_ctx *ctx)
{
    struct stat st;
    char *p = ctx->state_ancestor;
    (void)str_copy(p, sizeof ctx->state_ancestor, ctx->state_dir);
    while (*p && (stat(p, &st) < 0 || !S_ISDIR(st.st_mode))) {
        char *slash = strrchr(p, '/');
        if (!slash)
            return;
        slash[slash == p] = '\0';
    }
}

static void measure(struct doctor_ctx *ctx)
{
    struct conditions *on = &ctx->on;
    const struct config_firecracker *f = &on->cfg->firecracker;
    _cleanup_close_ int dir = open(*ctx->state_ancestor ? ctx->state_ancestor : "/",
                                   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *path = xasprintf("%s/leases", ctx->state_dir);
    _cleanup_close_ int leases = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (diskroom_promised(leases, &on->promised, NULL) < 0)
        on->promised = (struct disk_promises){0}; /* the check of the state says why */
    host_room(&host_paths_default, dir, &on->room);
    on->need = (struct admission){.memory_mib = f->memory_mib,
                                  .disk_mib = f->disk_mib,
                                  .overcommit = on->cfg->disk.overcommit,
                                  .cpus = f->cpus,
                                  .emulated = on->accel == VMM_TCG};
}

static void begin_check(struct doctor_check *c, const char *name, const char *provider)
{
    *c = (struct doctor_check){.status = DOCTOR_FAILED,
                               .check = name,
                               .provider = provider,
                               .message = "not checked",
                               .details = cJSON_CreateObject()};
    check_detail(c, "mutation", "false");
}

static void run_check(struct doctor_ctx *ctx, size_t i, struct doctor_check *c)
{
    begin_check(c, table[i].name, table[i].provider);
    table[i].fn(ctx, c);
    if (c->status == DOCTOR_FAILED && !cJSON_HasObjectItem(c->details, "class"))
        check_detail(c, "class", CLASS_ENV);
}

static int prepare(struct doctor_ctx *ctx, const struct config *cfg, const char *state_dir,
                   const char *provider, struct error *err)
{
    if (provider && !str_eq(provider, DOCTOR_PROVIDER))
        return error_set(err, ERR_USAGE, 0,
                         "provider \"%s\" is unknown: the only one is " DOCTOR_PROVIDER, provider);
    if (conditions_begin(&ctx->on, cfg, provider ? vmm_firecracker.name : NULL, err) < 0)
        return -1;
    if ((state_dir ? str_copy(ctx->state_dir, sizeof ctx->state_dir, state_dir)
                   : store_default_path(ctx->state_dir, &ctx->state_err)) < 0 ||
        place_check(ctx->state_dir, &ctx->state_err) < 0)
        ctx->state_dir[0] = '\0';
    find_ancestor(ctx);
    ctx->on.looking = true;
    ctx->on.state_dir = ctx->state_dir;
    ctx->on.state_at = *ctx->state_ancestor ? ctx->state_ancestor : "/";
    ctx->on.deadline = deadline_in_ms(DOCTOR_MAX_MS);
    measure(ctx);
    return 0;
}

int doctor_run(const struct config *cfg, const struct provider *const *providers,
               const char *state_dir, const char *provider, struct doctor_report *out,
               struct error *err)
{
    struct doctor_ctx ctx = {.state_err = ERROR_INIT, .landlock = -1};
    struct store s = STORE_INIT;
    int64_t t0 = clock_boot_us();
    if (prepare(&ctx, cfg, state_dir, provider, err) < 0)
        return -1;
    ops_kinds(providers, ctx.kinds);
    if (*ctx.state_dir && store_open_existing(&s, ctx.state_dir, ctx.kinds, NULL) == 0)
        ctx.on.cache_fd = s.verified_fd;
    *out = (struct doctor_report){.ok = true, .n = ARRAY_LEN(table)};
    for (size_t i = 0; i < out->n; i++) {
        run_check(&ctx, i, &out->checks[i]);
        out->ok = out->ok && out->checks[i].status != DOCTOR_FAILED;
    }
    conditions_release(&ctx.on);
    store_close(&s);
    out->took_us = clock_boot_us() - t0;
    return 0;
}

void doctor_refused(const struct error *why, struct doctor_report *out)
{
    *out = (struct doctor_report){.ok = false, .n = 1};
    begin_check(&out->checks[0], "config", CRABBOX);
    check_error(&out->checks[0], DOCTOR_FAILED, why,
                "correct it; crabbox-fc config path names the files");
}

void doctor_free(struct doctor_report *r)
{
    for (size_t i = 0; i < r->n; i++)
        cJSON_Delete(r->checks[i].details);
    r->n = 0;
}

/* ---- output ---- */

cJSON *doctor_json(const struct doctor_report *r)
{
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(j, "ok", r->ok);
    (void)cJSON_AddStringToObject(j, "provider", DOCTOR_PROVIDER);
    cJSON *list = cJSON_AddArrayToObject(j, "checks");
    for (size_t i = 0; i < r->n; i++) {
        const struct doctor_check *c = &r->checks[i];
        cJSON *row = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(row, "status", doctor_status_name(c->status));
        (void)cJSON_AddStringToObject(row, "check", c->check);
        (void)cJSON_AddStringToObject(row, "provider", c->provider);
        (void)cJSON_AddStringToObject(row, "message", c->message);
        (void)cJSON_AddItemToObject(row, "details", cJSON_Duplicate(c->details, true));
        (void)cJSON_AddItemToArray(list, row);
    }
    return j;
}

static const char *colour_of(enum doctor_status s)
{
    static const char *const colours[] = {
        [DOCTOR_OK] = "\033[32m",
        [DOCTOR_FAILED] = "\033[1;31m",
        [DOCTOR_WARNING] = "\033[33m",
        [DOCTOR_SKIP] = "\033[2m",
    };
    return colours[s];
}

/* The fix is left in one piece, however long: what is pasted must be what was written. */
void doctor_text(const struct doctor_report *r, bool colour, bool quiet, size_t width,
                 struct strbuf *out)
{
    unsigned count[ARRAY_LEN(status_names)] = {0};
    for (size_t i = 0; i < r->n; i++) {
        const struct doctor_check *c = &r->checks[i];
        const char *fix = json_opt_string(c->details, "fix", "");
        count[c->status]++;
        if (quiet && c->status != DOCTOR_FAILED && c->status != DOCTOR_WARNING)
            continue;
        strbuf_addf(out, "%s%-8s%s %-11s ", colour ? colour_of(c->status) : "",
                    doctor_status_name(c->status), colour ? "\033[0m" : "", c->check);
        strbuf_add_wrapped(out, c->message, MESSAGE_AT, MESSAGE_AT, width);
        strbuf_addc(out, '\n');
        if (*fix && (c->status == DOCTOR_FAILED || c->status == DOCTOR_WARNING)) {
            strbuf_addf(out, "%-8s %-11s fix: ", "", "");
            text_add(out, fix);
            strbuf_addc(out, '\n');
        }
    }
    if (quiet)
        return;
    strbuf_addf(out, "%s: %u ok, %u failed, %u warning%s, %u skipped (%lld ms)\n",
                r->ok ? "ready" : "not ready", count[DOCTOR_OK], count[DOCTOR_FAILED],
                count[DOCTOR_WARNING], count[DOCTOR_WARNING] == 1 ? "" : "s", count[DOCTOR_SKIP],
                (long long)(r->took_us / 1000));
}
