/* seedjson.h: the seed's JSON, by libjansson, which links into a static program. The rest of the
 * project uses base/json.h.
 */
#ifndef CRABBOX_GUEST_SEEDJSON_H
#define CRABBOX_GUEST_SEEDJSON_H

#include <jansson.h>

#include "base/cleanup.h"
#include "base/error.h"

/* One whole JSON object; `what` names the source in messages. The caller gives it back with
 * json_decref (or _cleanup_seedjson_). NULL on error: ERR_STATE, with line and column. Keys that
 * are there twice, NUL in strings and invalid UTF-8 are errors. */
json_t *seedjson_parse(const char *text, const char *what, struct error *err);

/* The member `key` of an object if it is a string, else NULL. Lives as long as the tree. */
static inline const char *seedjson_string(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

static inline void cleanup_seedjson(json_t **j)
{
    json_decref(*j);
}
#define _cleanup_seedjson_ _cleanup_(cleanup_seedjson)

#endif
