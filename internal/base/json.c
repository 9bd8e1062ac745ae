#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"

static void *take_memory(size_t size)
{
    return xrealloc(NULL, size);
}

/* cJSON leaves out what it has no memory for, and callers would not see that: a record would lose
 * members. Here too, memory that is out ends the process. */
__attribute__((constructor)) static void end_without_memory(void)
{
    cJSON_Hooks hooks = {.malloc_fn = take_memory, .free_fn = free};
    cJSON_InitHooks(&hooks);
}

/* cJSON accepts duplicate keys; a record or message with them is not what anyone meant. */
static const char *find_duplicate(const cJSON *node)
{
    for (const cJSON *a = node->child; a; a = a->next) {
        if (cJSON_IsObject(node))
            for (const cJSON *b = a->next; b; b = b->next)
                if (a->string && b->string && str_eq(a->string, b->string))
                    return a->string;
        const char *deeper = find_duplicate(a);
        if (deeper)
            return deeper;
    }
    return NULL;
}

cJSON *json_parse(const char *text, size_t len, const char *what, struct error *err)
{
    const char *end = NULL;
    if (memchr(text, '\0', len))
        return error_null(err, ERR_STATE, 0, "%s: NUL byte in JSON", what);
    cJSON *j = cJSON_ParseWithLengthOpts(text, len, &end, false);
    if (!j) {
        size_t at = end ? (size_t)(end - text) : 0;
        return error_null(err, ERR_STATE, 0, "%s: not valid JSON near byte %zu", what, at);
    }
    while (end < text + len && strchr(" \t\r\n", *end))
        end++;
    if (end != text + len) {
        cJSON_Delete(j);
        return error_null(err, ERR_STATE, 0, "%s: text after the JSON value", what);
    }
    const char *dup = find_duplicate(j);
    if (dup) {
        (void)error_set(err, ERR_STATE, 0, "%s: key \"%s\" appears twice", what, dup);
        cJSON_Delete(j);
        return NULL;
    }
    return j;
}

int json_get_string(const cJSON *obj, const char *key, const char **out, struct error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    if (!cJSON_IsString(v))
        return error_set(err, ERR_STATE, 0, "\"%s\" is missing or not a string", key);
    *out = v->valuestring;
    return 0;
}

int json_copy_string(const cJSON *obj, const char *key, char *dst, size_t size, struct error *err)
{
    const char *s;
    if (json_get_string(obj, key, &s, err) < 0)
        return -1;
    if (str_copy(dst, size, s) < 0)
        return error_set(err, ERR_STATE, 0, "\"%s\" is longer than %zu bytes", key, size - 1);
    return 0;
}

/* Numbers travel as doubles: only integers that a double holds exactly are accepted. */
static bool number_is_i64(const cJSON *v)
{
    return cJSON_IsNumber(v) && v->valuedouble == trunc(v->valuedouble) &&
           fabs(v->valuedouble) <= 9007199254740992.0;
}

int json_get_i64(const cJSON *obj, const char *key, int64_t *out, struct error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    if (!number_is_i64(v))
        return error_set(err, ERR_STATE, 0, "\"%s\" is missing or not an integer", key);
    *out = (int64_t)v->valuedouble;
    return 0;
}

int json_get_bool(const cJSON *obj, const char *key, bool *out, struct error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    if (!cJSON_IsBool(v))
        return error_set(err, ERR_STATE, 0, "\"%s\" is missing or not true or false", key);
    *out = cJSON_IsTrue(v);
    return 0;
}

const char *json_opt_string(const cJSON *obj, const char *key, const char *fallback)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    return cJSON_IsString(v) ? v->valuestring : fallback;
}

int64_t json_opt_i64(const cJSON *obj, const char *key, int64_t fallback)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    return number_is_i64(v) ? (int64_t)v->valuedouble : fallback;
}

bool json_opt_bool(const cJSON *obj, const char *key, bool fallback)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
    return cJSON_IsBool(v) ? cJSON_IsTrue(v) : fallback;
}

void json_add_i64(cJSON *obj, const char *key, int64_t value)
{
    char text[32];
    (void)str_format(text, sizeof text, "%" PRId64, value);
    (void)cJSON_AddRawToObject(obj, key, text);
}

char *json_print(const cJSON *j, bool pretty)
{
    char *text = pretty ? cJSON_Print(j) : cJSON_PrintUnformatted(j);
    return text ? text : xstrdup("null");
}

static void add_unit(struct strbuf *out, uint32_t unit)
{
    strbuf_addf(out, "\\u%04x", (unsigned)unit);
}

/* Only strings hold what is not ASCII, and there an escape stands for the same character. */
char *json_print_shown(const cJSON *j, bool pretty)
{
    _cleanup_free_ char *text = json_print(j, pretty);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    for (size_t i = 0, left = strlen(text); left;) {
        uint32_t cp = 0;
        size_t n = text_decode(text + i, left, &cp);
        size_t used = n ? n : 1;
        if (!n)
            add_unit(&out, 0xfffd);
        else if (cp == '\n' || cp == '\t' || !text_hidden(cp))
            strbuf_add(&out, text + i, n);
        else if (cp <= 0xffff)
            add_unit(&out, cp);
        else {
            add_unit(&out, 0xd800 + ((cp - 0x10000) >> 10));
            add_unit(&out, 0xdc00 + ((cp - 0x10000) & 0x3ff));
        }
        i += used;
        left -= used;
    }
    return strbuf_detach(&out);
}
