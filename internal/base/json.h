/* json.h: cJSON with bounds, ownership by scope and typed getters.
 *
 * cJSON is the project's one JSON library and its type is used openly in the headers
 * of this project. Trees are owned by whoever parsed or created them
 * (_cleanup_json_). Getters never allocate; strings point into the tree.
 */
#ifndef CRABBOX_BASE_JSON_H
#define CRABBOX_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/error.h"

static inline void cleanup_json(cJSON **j)
{
    cJSON_Delete(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* Parses exactly one JSON value of `len` bytes; trailing text, duplicate keys in an
 * object and NUL bytes are errors. `what` names the source in messages. NULL on error. */
cJSON *json_parse(const char *text, size_t len, const char *what, struct error *err);

/* Required members. -1 with a message that names `key` if absent or of another type. */
int json_get_string(const cJSON *obj, const char *key, const char **out, struct error *err);
int json_copy_string(const cJSON *obj, const char *key, char *dst, size_t size, struct error *err);
int json_get_i64(const cJSON *obj, const char *key, int64_t *out, struct error *err);
int json_get_bool(const cJSON *obj, const char *key, bool *out, struct error *err);

/* Optional members: the fallback where absent, also where of another type. */
const char *json_opt_string(const cJSON *obj, const char *key, const char *fallback);
int64_t json_opt_i64(const cJSON *obj, const char *key, int64_t fallback);
bool json_opt_bool(const cJSON *obj, const char *key, bool fallback);

/* Adds a 64-bit integer exactly, beyond the 53 bits of cJSON's doubles. */
void json_add_i64(cJSON *obj, const char *key, int64_t value);

/* Printed text (caller frees), compact or indented. Never NULL. */
char *json_print(const cJSON *j, bool pretty);

/* The same for a reader outside: always valid UTF-8, and what a terminal would obey or not show
 * (text.h) as \u escapes, so that a parser gets the very same strings. A byte that is no UTF-8 has
 * no place in JSON and becomes U+FFFD; json_print() passes it on, for files that only we read. */
char *json_print_shown(const cJSON *j, bool pretty);

#endif
