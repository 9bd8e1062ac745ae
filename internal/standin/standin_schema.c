#include "standin/standin_schema.h"

#include <string.h>

#include "base/str.h"

#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define REQ_STRING(n)                                                                              \
    {                                                                                              \
        .name = (n), .type = F_STRING, .required = true                                            \
    }
#define OPT(n, t)                                                                                  \
    {                                                                                              \
        .name = (n), .type = (t)                                                                   \
    }
#define OPT_RATE(n)                                                                                \
    {                                                                                              \
        .name = (n), .type = F_OBJECT, .sub = rate_limiter                                         \
    }

static const struct field token_bucket[] = {
    {.name = "size", .type = F_UINT, .required = true},
    {.name = "refill_time", .type = F_UINT, .required = true},
    OPT("one_time_burst", F_UINT),
    END,
};

static const struct field rate_limiter[] = {
    {.name = "bandwidth", .type = F_OBJECT, .sub = token_bucket},
    {.name = "ops", .type = F_OBJECT, .sub = token_bucket},
    END,
};

const struct field schema_machine[] = {
    {.name = "vcpu_count", .type = F_UINT, .required = true, .min = 1, .max = 32},
    {.name = "mem_size_mib", .type = F_UINT, .required = true, .min = 1},
    OPT("smt", F_BOOL),
    OPT("track_dirty_pages", F_BOOL),
    {.name = "huge_pages", .type = F_CHOICE, .choices = "|None|2M|", .since = 7},
    {.name = "cpu_template", .type = F_CHOICE, .choices = "|C3|T2|T2S|T2CL|T2A|V1N1|None|"},
    END,
};

const struct field schema_machine_patch[] = {
    {.name = "vcpu_count", .type = F_UINT, .min = 1, .max = 32},
    {.name = "mem_size_mib", .type = F_UINT, .min = 1},
    OPT("smt", F_BOOL),
    OPT("track_dirty_pages", F_BOOL),
    {.name = "huge_pages", .type = F_CHOICE, .choices = "|None|2M|", .since = 7},
    END,
};

const struct field schema_boot[] = {
    REQ_STRING("kernel_image_path"),
    OPT("initrd_path", F_STRING),
    OPT("boot_args", F_STRING),
    END,
};

const struct field schema_drive[] = {
    REQ_STRING("drive_id"),
    {.name = "is_root_device", .type = F_BOOL, .required = true},
    OPT("path_on_host", F_STRING),
    OPT("is_read_only", F_BOOL),
    OPT("partuuid", F_STRING),
    OPT("socket", F_STRING),
    {.name = "cache_type", .type = F_CHOICE, .choices = "|Unsafe|Writeback|"},
    {.name = "io_engine", .type = F_CHOICE, .choices = "|Sync|Async|"},
    OPT_RATE("rate_limiter"),
    END,
};

const struct field schema_drive_patch[] = {
    REQ_STRING("drive_id"),
    OPT("path_on_host", F_STRING),
    OPT_RATE("rate_limiter"),
    END,
};

const struct field schema_net[] = {
    REQ_STRING("iface_id"),
    REQ_STRING("host_dev_name"),
    OPT("guest_mac", F_STRING),
    OPT_RATE("rx_rate_limiter"),
    OPT_RATE("tx_rate_limiter"),
    {.name = "mtu", .type = F_UINT, .min = 68, .max = 65535, .since = 16},
    END,
};

const struct field schema_net_patch[] = {
    REQ_STRING("iface_id"),
    OPT_RATE("rx_rate_limiter"),
    OPT_RATE("tx_rate_limiter"),
    END,
};

const struct field schema_vsock[] = {
    {.name = "guest_cid", .type = F_UINT, .required = true, .min = 3, .max = 0xffffffff},
    REQ_STRING("uds_path"),
    OPT("vsock_id", F_STRING),
    END,
};

const struct field schema_logger[] = {
    OPT("log_path", F_STRING),
    {.name = "level",
     .type = F_CHOICE,
     .choices = "|Error|Warning|Info|Debug|Trace|Off|Warn|error|warn|info|debug|trace|off|"},
    OPT("show_level", F_BOOL),
    OPT("show_log_origin", F_BOOL),
    OPT("module", F_STRING),
    END,
};

const struct field schema_metrics[] = {REQ_STRING("metrics_path"), END};

const struct field schema_serial[] = {
    OPT("serial_out_path", F_STRING),
    {.name = "rate_limiter", .type = F_OBJECT, .sub = token_bucket, .since = 16},
    END,
};

const struct field schema_balloon[] = {
    {.name = "amount_mib", .type = F_UINT, .required = true},
    {.name = "deflate_on_oom", .type = F_BOOL, .required = true},
    OPT("stats_polling_interval_s", F_UINT),
    {.name = "free_page_hinting", .type = F_BOOL, .since = 14},
    {.name = "free_page_reporting", .type = F_BOOL, .since = 14},
    END,
};

const struct field schema_entropy[] = {OPT_RATE("rate_limiter"), END};

const struct field schema_mmds_config[] = {
    {.name = "network_interfaces", .type = F_ARRAY, .required = true},
    {.name = "version", .type = F_CHOICE, .choices = "|V1|V2|"},
    OPT("ipv4_address", F_STRING),
    {.name = "imds_compat", .type = F_BOOL, .since = 14},
    END,
};

const struct field schema_action[] = {
    {.name = "action_type",
     .type = F_CHOICE,
     .required = true,
     .choices = "|InstanceStart|FlushMetrics|SendCtrlAltDel|"},
    END,
};

const struct field schema_vm[] = {
    {.name = "state", .type = F_CHOICE, .required = true, .choices = "|Paused|Resumed|"},
    END,
};

/* Bodies that this stand-in takes as they are. */
const struct field schema_any[] = {{.name = "*", .type = F_ANY}, END};

static const struct field *find_field(const struct field *fields, const char *name, unsigned minor)
{
    for (const struct field *f = fields; f->name; f++)
        if ((str_eq(f->name, name) || str_eq(f->name, "*")) && f->since <= minor)
            return f;
    return NULL;
}

static int check_uint(const cJSON *v, const struct field *f, struct error *err)
{
    if (!cJSON_IsNumber(v) || v->valuedouble < 0 ||
        v->valuedouble != (double)(int64_t)v->valuedouble)
        return error_set(err, ERR_USAGE, 0, "field `%s` must be an unsigned integer", f->name);
    int64_t n = (int64_t)v->valuedouble;
    if (n < f->min || (f->max && n > f->max))
        return error_set(err, ERR_USAGE, 0, "field `%s`: %lld is out of range", f->name,
                         (long long)n);
    return 0;
}

static int check_choice(const cJSON *v, const struct field *f, struct error *err)
{
    char word[64];
    if (!cJSON_IsString(v) || str_format(word, sizeof word, "|%s|", v->valuestring) < 0 ||
        !strstr(f->choices, word))
        return error_set(err, ERR_USAGE, 0, "field `%s` must be one of %s", f->name, f->choices);
    return 0;
}

static int check_type(bool ok, const struct field *f, const char *want, struct error *err)
{
    return ok ? 0 : error_set(err, ERR_USAGE, 0, "field `%s` must be %s", f->name, want);
}

static int check_value(const cJSON *v, const struct field *f, unsigned minor, struct error *err)
{
    switch (f->type) {
    case F_STRING:
        return check_type(cJSON_IsString(v), f, "a string", err);
    case F_BOOL:
        return check_type(cJSON_IsBool(v), f, "a boolean", err);
    case F_UINT:
        return check_uint(v, f, err);
    case F_CHOICE:
        return check_choice(v, f, err);
    case F_ARRAY:
        return check_type(cJSON_IsArray(v), f, "an array", err);
    case F_OBJECT:
        return schema_check(v, f->sub, minor, err);
    case F_ANY:
        break;
    }
    return 0;
}

int schema_check(const cJSON *body, const struct field *fields, unsigned minor, struct error *err)
{
    if (!cJSON_IsObject(body))
        return error_set(err, ERR_USAGE, 0, "the body must be an object");
    for (const cJSON *v = body->child; v; v = v->next) {
        const struct field *f = find_field(fields, v->string, minor);
        if (!f)
            return error_set(err, ERR_USAGE, 0, "unknown field `%s`", v->string);
        if (cJSON_IsNull(v) && !f->required)
            continue;
        if (check_value(v, f, minor, err) < 0)
            return -1;
    }
    for (const struct field *f = fields; f->name; f++)
        if (f->required && !cJSON_GetObjectItemCaseSensitive(body, f->name))
            return error_set(err, ERR_USAGE, 0, "missing field `%s`", f->name);
    return 0;
}
