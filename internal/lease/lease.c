#include "lease/lease.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/words.h"
#include "sys/deadline.h"

static const char *const state_names[] = {"creating", "ready", "releasing", "broken"};

const char *lease_state_name(enum lease_state s)
{
    return state_names[s];
}

bool lease_id_valid(const char *id)
{
    if (strlen(id) != LEASE_ID_SIZE - 1 || !str_has_prefix(id, "cbx_"))
        return false;
    return strspn(id + 4, "0123456789abcdef") == 12;
}

int lease_slug_normalise(const char *in, char out[static LEASE_SLUG_SIZE], struct error *err)
{
    size_t n = 0;
    for (const char *p = in; *p && n < LEASE_SLUG_SIZE - 1; p++) {
        unsigned char c = (unsigned char)*p;
        if (isascii(c) && isalnum(c))
            out[n++] = (char)tolower(c);
        else if (n && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    if (!n)
        return error_set(err, ERR_USAGE, 0, "slug \"%s\" has no letter or digit", in);
    /* A slug that reads as an id would make `stop` ambiguous. */
    if (str_has_prefix(out, "cbx-") && strlen(out) == LEASE_ID_SIZE - 1)
        return error_set(err, ERR_USAGE, 0, "slug \"%s\" looks like a lease id", in);
    return 0;
}

static void make_slug(char out[static LEASE_SLUG_SIZE])
{
    uint32_t r[2];
    random_bytes(r, sizeof r);
    (void)str_format(out, LEASE_SLUG_SIZE, "%s-%s", lease_adjectives[r[0] % lease_adjectives_len],
                     lease_nouns[r[1] % lease_nouns_len]);
}

/* crabbox-<slug>-<8 hex of the id> */
static void name_by_slug(struct lease *l)
{
    (void)str_format(l->name, sizeof l->name, "crabbox-%s-%.8s", l->slug, l->id + 4);
}

void lease_slug_again(struct lease *l)
{
    char words[LEASE_SLUG_SIZE];
    uint8_t raw[2];
    char hex[5];
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, hex);
    make_slug(words);
    (void)str_format(l->slug, sizeof l->slug, "%.30s-%s", words, hex);
    name_by_slug(l);
}

int lease_identify(struct lease *l, const char *slug, struct error *err)
{
    uint8_t raw[6];
    char hex[13];
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, hex);
    if (slug && *slug) {
        if (lease_slug_normalise(slug, l->slug, err) < 0)
            return -1;
    } else {
        make_slug(l->slug);
    }
    (void)str_format(l->id, sizeof l->id, "cbx_%s", hex);
    name_by_slug(l);
    return 0;
}

int64_t lease_expires_at(const struct lease *l)
{
    int64_t idle = l->last_touched_at + l->idle_timeout_s;
    int64_t hard = l->created_at + l->ttl_s;
    return idle < hard ? idle : hard;
}

/* ---- codec: one row a field ---- */
enum field_type { F_STR, F_I64, F_BOOL };

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size;
};

#define STR_FIELD(k, m)                                                                            \
    {                                                                                              \
        k, F_STR, offsetof(struct lease, m), sizeof(((struct lease *)0)->m)                        \
    }
#define I64_FIELD(k, m)                                                                            \
    {                                                                                              \
        k, F_I64, offsetof(struct lease, m), sizeof(int64_t)                                       \
    }
#define BOOL_FIELD(k, m)                                                                           \
    {                                                                                              \
        k, F_BOOL, offsetof(struct lease, m), sizeof(bool)                                         \
    }

static const struct field fields[] = {
    STR_FIELD("id", id),
    STR_FIELD("slug", slug),
    STR_FIELD("name", name),
    BOOL_FIELD("keep", keep),
    I64_FIELD("createdAt", created_at),
    I64_FIELD("lastTouchedAt", last_touched_at),
    I64_FIELD("ttlSecs", ttl_s),
    I64_FIELD("idleTimeoutSecs", idle_timeout_s),
    I64_FIELD("stopTimeoutMs", stop_timeout_ms),
    I64_FIELD("cpus", cpus),
    I64_FIELD("memoryMiB", memory_mib),
    I64_FIELD("diskMiB", disk_mib),
    STR_FIELD("user", user),
    STR_FIELD("workRoot", work_root),
    I64_FIELD("sshPort", ssh_port),
    STR_FIELD("hostKey", host_key),
    STR_FIELD("nonce", nonce),
    STR_FIELD("imageKind", image_kind),
    STR_FIELD("rootfs", rootfs),
    STR_FIELD("kernelRelease", kernel_release),
    STR_FIELD("rootfsPin", pin),
    STR_FIELD("diskHow", disk_how),
    STR_FIELD("failure", failure),
};

static cJSON *marks_to_json(const struct lease *l, const struct lease_step_names *steps)
{
    cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < steps->n; i++)
        if (l->marks[i] != MARK_NONE)
            (void)cJSON_AddStringToObject(j, steps->names[i], plan_mark_name(l->marks[i]));
    return j;
}

cJSON *lease_to_json(const struct lease *l, const struct lease_step_names *steps)
{
    cJSON *j = cJSON_CreateObject();
    const char *base = (const char *)l;
    json_add_i64(j, "schema", LEASE_SCHEMA);
    (void)cJSON_AddStringToObject(j, "state", lease_state_name(l->state));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct field *f = &fields[i];
        const void *p = base + f->offset;
        if (f->type == F_STR)
            (void)cJSON_AddStringToObject(j, f->key, (const char *)p);
        else if (f->type == F_I64)
            json_add_i64(j, f->key, *(const int64_t *)p);
        else
            (void)cJSON_AddBoolToObject(j, f->key, *(const bool *)p);
    }
    if (l->disk_overcommit)
        (void)cJSON_AddBoolToObject(j, "diskOvercommit", true);
    (void)cJSON_AddItemToObject(j, "net", net_lease_to_json(&l->net));
    (void)cJSON_AddItemToObject(j, "vmm", vmm_ref_to_json(&l->vmm));
    cJSON *keeper = cJSON_AddObjectToObject(j, "keeper");
    proc_ref_add_json(keeper, &l->keeper);
    if (l->plugin.pid > 0)
        proc_ref_add_json(cJSON_AddObjectToObject(j, "plugin"), &l->plugin);
    (void)cJSON_AddItemToObject(j, "steps", marks_to_json(l, steps));
    return j;
}

static int marks_from_json(const cJSON *j, const struct lease_step_names *steps, struct lease *l,
                           struct error *err)
{
    const cJSON *obj = cJSON_GetObjectItemCaseSensitive(j, "steps");
    if (!cJSON_IsObject(obj))
        return error_set(err, ERR_STATE, 0, "\"steps\" is missing");
    const cJSON *m;
    cJSON_ArrayForEach(m, obj)
    {
        size_t i = 0;
        while (i < steps->n && !str_eq(steps->names[i], m->string))
            i++;
        if (i == steps->n || !cJSON_IsString(m) ||
            plan_mark_from_name(m->valuestring, &l->marks[i]) < 0)
            return error_set(err, ERR_STATE, 0, "unknown step or mark \"%s\"", m->string);
    }
    return 0;
}

static int fields_from_json(const cJSON *j, struct lease *l, struct error *err)
{
    char *base = (char *)l;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct field *f = &fields[i];
        void *p = base + f->offset;
        int r = f->type == F_STR   ? json_copy_string(j, f->key, p, f->size, err)
                : f->type == F_I64 ? json_get_i64(j, f->key, p, err)
                                   : json_get_bool(j, f->key, p, err);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int state_from_json(const cJSON *j, enum lease_state *out, struct error *err)
{
    const char *s = json_opt_string(j, "state", "");
    for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
        if (str_eq(s, state_names[i])) {
            *out = (enum lease_state)i;
            return 0;
        }
    }
    return error_set(err, ERR_STATE, 0, "unknown state \"%s\"", s);
}

/* Numbers that would overflow an expiry or a machine make the record foreign, not merely odd. */
static int check_ranges(const struct lease *l, struct error *err)
{
    const int64_t big = 1LL << 40;
    if (!lease_id_valid(l->id))
        return error_set(err, ERR_STATE, 0, "\"id\" is not a lease id");
    if (l->created_at < 0 || l->created_at > big || l->last_touched_at < 0 ||
        l->last_touched_at > big || l->ttl_s < 0 || l->ttl_s > big || l->idle_timeout_s < 0 ||
        l->idle_timeout_s > big || l->stop_timeout_ms < 0 || l->stop_timeout_ms > big)
        return error_set(err, ERR_STATE, 0, "a time is out of range");
    if (l->ssh_port < 1 || l->ssh_port > 65535)
        return error_set(err, ERR_STATE, 0, "\"sshPort\" is out of range");
    if (strspn(l->slug, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(l->slug) || !*l->slug)
        return error_set(err, ERR_STATE, 0, "\"slug\" is malformed");
    return 0;
}

int lease_from_json(const cJSON *j, const struct lease_step_names *steps, struct lease *out,
                    struct error *err)
{
    int64_t schema;
    struct lease l = {0};
    if (json_get_i64(j, "schema", &schema, err) < 0)
        return -1;
    if (schema != LEASE_SCHEMA)
        return error_set(err, ERR_STATE, 0,
                         "record of schema %lld, this program reads %d: use the version of "
                         "crabbox-fc that made it",
                         (long long)schema, LEASE_SCHEMA);
    if (state_from_json(j, &l.state, err) < 0 || fields_from_json(j, &l, err) < 0 ||
        check_ranges(&l, err) < 0 || marks_from_json(j, steps, &l, err) < 0)
        return -1;
    l.disk_overcommit = json_opt_bool(j, "diskOvercommit", false);
    const cJSON *net = cJSON_GetObjectItemCaseSensitive(j, "net");
    const cJSON *vmm = cJSON_GetObjectItemCaseSensitive(j, "vmm");
    if (net_lease_from_json(net, &l.net, err) < 0)
        return error_prefix(err, "net");
    if (vmm_ref_from_json(vmm, &l.vmm, err) < 0)
        return error_prefix(err, "vmm");
    if (proc_ref_from_json(cJSON_GetObjectItemCaseSensitive(j, "keeper"), &l.keeper, err) < 0)
        return error_prefix(err, "keeper");
    const cJSON *plugin = cJSON_GetObjectItemCaseSensitive(j, "plugin");
    if (plugin && proc_ref_from_json(plugin, &l.plugin, err) < 0)
        return error_prefix(err, "plugin");
    *out = l;
    return 0;
}
