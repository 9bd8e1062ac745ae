#include "guest/seedjson.h"

#include "base/text.h"

json_t *seedjson_parse(const char *text, const char *what, struct error *err)
{
    json_error_t e;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        (void)error_set(err, ERR_STATE, 0, "%s:%d:%d: %s", what, e.line, e.column, SHOWN(e.text));
    return j;
}
