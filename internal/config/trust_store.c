/* trust_store.c: reads and writes the JSON of the trust store. Reading is strict: anything
 * unexpected is an error, so that nothing is trusted by mistake. */
#include <string.h>

#include "config/source.h"
#include "config/trust.h"
#include "config/values.h"

static bool is_sha256(const char *s)
{
    return strlen(s) == SHA256_HEX_SIZE - 1 && s[strspn(s, "0123456789abcdef")] == '\0';
}

void trust_store_free(struct trust_store *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->entries[i].path);
    free(s->entries);
    *s = (struct trust_store)TRUST_STORE_INIT;
}

static int parse_entry(const cJSON *j, const char *what, struct trust_entry *e, struct error *err)
{
    const char *path, *sha256;
    if (!cJSON_IsObject(j) || cJSON_GetArraySize(j) != 3)
        return error_set(err, ERR_TRUST, 0,
                         "%s: an entry has other members than path, sha256, added", what);
    if (json_get_string(j, "path", &path, err) < 0 ||
        json_get_string(j, "sha256", &sha256, err) < 0 ||
        json_get_i64(j, "added", &e->added, err) < 0)
        return error_prefix(err, "%s", what);
    if (path[0] != '/' || strlen(path) >= PATH_MAX)
        return error_set(err, ERR_TRUST, 0, "%s: an entry's path is not absolute", what);
    if (!str_has_suffix(path, "/" CONFIG_REPO_NAME))
        return error_set(err, ERR_TRUST, 0,
                         "%s: an entry's path is not that of a " CONFIG_REPO_NAME, what);
    if (!is_sha256(sha256) || e->added < 0)
        return error_set(err, ERR_TRUST, 0, "%s: an entry has no valid sha256 or date", what);
    (void)str_copy(e->sha256, sizeof e->sha256, sha256);
    e->path = xstrdup(path);
    return 0;
}

static int parse_entries(const cJSON *list, const char *what, struct trust_store *out,
                         struct error *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list);
    const cJSON *item;
    if (n > TRUST_ENTRIES_MAX)
        return error_set(err, ERR_TRUST, 0, "%s: more than %d entries", what, TRUST_ENTRIES_MAX);
    out->entries = xcalloc(n, sizeof *out->entries);
    cJSON_ArrayForEach(item, list)
    {
        if (parse_entry(item, what, &out->entries[out->n], err) < 0)
            return -1;
        out->n++;
        for (size_t i = 0; i + 1 < out->n; i++)
            if (str_eq(out->entries[i].path, out->entries[out->n - 1].path))
                return error_set(err, ERR_TRUST, 0, "%s: it has a path twice", what);
    }
    return 0;
}

int trust_store_parse(const char *text, size_t len, const char *what, struct trust_store *out,
                      struct error *err)
{
    int64_t version;
    *out = (struct trust_store)TRUST_STORE_INIT;
    _cleanup_json_ cJSON *j = json_parse(text, len, what, err);
    if (!j) {
        if (err)
            err->kind = ERR_TRUST;
        return -1;
    }
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "entries");
    if (!cJSON_IsObject(j) || cJSON_GetArraySize(j) != 2 || !cJSON_IsArray(list) ||
        json_get_i64(j, "version", &version, NULL) < 0)
        return error_set(err, ERR_TRUST, 0, "%s: not a trust store", what);
    if (version != 1)
        return error_set(err, ERR_TRUST, 0,
                         "%s: version %lld, written by another version of crabbox-fc", what,
                         (long long)version);
    if (parse_entries(list, what, out, err) < 0) {
        trust_store_free(out);
        if (err)
            err->kind = ERR_TRUST;
        return -1;
    }
    return 0;
}

char *trust_store_print(const struct trust_store *s)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(j, "version", 1);
    cJSON *list = cJSON_AddArrayToObject(j, "entries");
    for (size_t i = 0; i < s->n; i++) {
        cJSON *e = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(e, "path", s->entries[i].path);
        (void)cJSON_AddStringToObject(e, "sha256", s->entries[i].sha256);
        json_add_i64(e, "added", s->entries[i].added);
        (void)cJSON_AddItemToArray(list, e);
    }
    return json_print(j, true);
}
