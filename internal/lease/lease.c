#include "lease/lease.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fields.h"
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
    /* A slug that looks like an id would make `stop` ambiguous. */
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

void lease_slug_again(struct lease *l, const char *asked)
{
    char words[LEASE_SLUG_SIZE];
    uint8_t raw[2];
    char hex[5];
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, hex);
    if (!asked || !*asked || lease_slug_normalise(asked, words, NULL) < 0)
        make_slug(words);
    (void)str_format(l->slug, sizeof l->slug, "%.36s-%s", words, hex);
    name_by_slug(l);
}

int lease_identify(struct lease *l, const char *id, const char *slug, struct error *err)
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
    (void)str_format(l->id, sizeof l->id, id ? "%s" : "cbx_%s", id ? id : hex);
    name_by_slug(l);
    return 0;
}

int64_t lease_expires_at(const struct lease *l)
{
    int64_t idle = l->last_touched_at + l->idle_timeout_s;
    int64_t hard = l->created_at + l->ttl_s;
    return idle < hard ? idle : hard;
}

/* ---- codec ---- */

/* For things that only a newer version can have written. */
#define ASK_ITS_MAKER "; next: use the version of crabbox-fc that made it"

static const struct field rows[] = {
    FIELD_STR("id", struct lease, id),
    FIELD_STR("slug", struct lease, slug),
    FIELD_STR("name", struct lease, name),
    FIELD_BOOL("keep", struct lease, keep),
    FIELD_I64("createdAt", struct lease, created_at),
    FIELD_I64("lastTouchedAt", struct lease, last_touched_at),
    FIELD_I64("ttlSecs", struct lease, ttl_s),
    FIELD_I64("idleTimeoutSecs", struct lease, idle_timeout_s),
    FIELD_I64("stopTimeoutMs", struct lease, stop_timeout_ms),
    FIELD_I64("cpus", struct lease, cpus),
    FIELD_I64("memoryMiB", struct lease, memory_mib),
    FIELD_I64("diskMiB", struct lease, disk_mib),
    FIELD_STR("user", struct lease, user),
    FIELD_STR("workRoot", struct lease, work_root),
    FIELD_I64("sshPort", struct lease, ssh_port),
    FIELD_STR("hostKey", struct lease, host_key),
    FIELD_STR("nonce", struct lease, nonce),
    FIELD_STR("failure", struct lease, failure),
};

static const struct lease_kind *kind_of(const char *provider, const struct lease_kind *const *kinds)
{
    for (; *kinds; kinds++)
        if (str_eq((*kinds)->provider, provider))
            return *kinds;
    return NULL;
}

static cJSON *marks_to_json(const struct lease *l)
{
    const struct lease_kind *kind = l->kind;
    cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < kind->n_steps; i++)
        if (l->marks[i] != MARK_NONE)
            (void)cJSON_AddStringToObject(j, kind->steps[i], plan_mark_name(l->marks[i]));
    return j;
}

cJSON *lease_to_json(const struct lease *l)
{
    cJSON *j = cJSON_CreateObject();
    json_add_i64(j, "schema", LEASE_SCHEMA);
    (void)cJSON_AddStringToObject(j, "provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "state", lease_state_name(l->state));
    fields_add(j, rows, ARRAY_LEN(rows), l);
    proc_ref_add_json(cJSON_AddObjectToObject(j, "keeper"), &l->keeper);
    (void)cJSON_AddItemToObject(j, "steps", marks_to_json(l));
    if (l->kind->local)
        (void)cJSON_AddItemToObject(j, "local", lease_local_to_json(&l->local));
    return j;
}

static int marks_from_json(const cJSON *j, const struct lease_kind *kind, struct lease *l,
                           struct error *err)
{
    const cJSON *obj = cJSON_GetObjectItemCaseSensitive(j, "steps");
    if (!cJSON_IsObject(obj))
        return error_set(err, ERR_STATE, 0, "\"steps\" is missing");
    const cJSON *m;
    cJSON_ArrayForEach(m, obj)
    {
        size_t i = 0;
        while (i < kind->n_steps && !str_eq(kind->steps[i], m->string))
            i++;
        if (i == kind->n_steps || !cJSON_IsString(m) ||
            plan_mark_from_name(m->valuestring, &l->marks[i]) < 0)
            return error_set(err, ERR_STATE, 0, "unknown step or mark \"%s\"" ASK_ITS_MAKER,
                             m->string);
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
    return error_set(err, ERR_STATE, 0, "unknown state \"%s\"" ASK_ITS_MAKER, s);
}

/* Refuses a record whose numbers are so large that calculations with them would overflow. */
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

/* Schema 1 had no providers. */
static const struct lease_kind *kind_from_json(const cJSON *j, int64_t schema,
                                               const struct lease_kind *const *kinds,
                                               struct error *err)
{
    const char *name = LEASE_PROVIDER_LOCAL;
    if (schema > 1 && json_get_string(j, "provider", &name, err) < 0)
        return NULL;
    const struct lease_kind *kind = kind_of(name, kinds);
    if (!kind)
        (void)error_set(err, ERR_STATE, 0,
                        "a lease of provider \"%s\", which this program doesn't "
                        "know" ASK_ITS_MAKER,
                        name);
    return kind;
}

/* Reads the provider's part, which is an object of its own since schema 2. */
static int part_from_json(const cJSON *j, int64_t schema, const struct lease_kind *kind,
                          struct lease *l, struct error *err)
{
    if (!kind->local)
        return 0;
    const cJSON *part = schema > 1 ? cJSON_GetObjectItemCaseSensitive(j, "local") : j;
    if (!cJSON_IsObject(part))
        return error_set(err, ERR_STATE, 0, "\"local\" is missing");
    return lease_local_from_json(part, &l->local, err);
}

int lease_from_json(const cJSON *j, const struct lease_kind *const *kinds, struct lease *out,
                    struct error *err)
{
    int64_t schema;
    struct lease l = {0};
    if (json_get_i64(j, "schema", &schema, err) < 0)
        return -1;
    if (schema < 1 || schema > LEASE_SCHEMA)
        return error_set(err, ERR_STATE, 0,
                         "record of schema %lld, this program reads 1 to %d" ASK_ITS_MAKER,
                         (long long)schema, LEASE_SCHEMA);
    const struct lease_kind *kind = kind_from_json(j, schema, kinds, err);
    if (!kind || state_from_json(j, &l.state, err) < 0 ||
        fields_read(j, rows, ARRAY_LEN(rows), &l, err) < 0 || check_ranges(&l, err) < 0 ||
        marks_from_json(j, kind, &l, err) < 0 || part_from_json(j, schema, kind, &l, err) < 0)
        return -1;
    l.kind = kind;
    if (proc_ref_from_json(cJSON_GetObjectItemCaseSensitive(j, "keeper"), &l.keeper, err) < 0)
        return error_prefix(err, "keeper");
    *out = l;
    return 0;
}
