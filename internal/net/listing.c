#include "net/listing.h"

#include <string.h>

#include "base/str.h"
#include "net/record.h"

void listing_members(const char *text, const char *entry, bool *in, unsigned *others)
{
    _cleanup_free_ char *own = xasprintf("%s :", entry);
    const char *at = strstr(text, own);
    while (at && at > text && strchr("0123456789", at[-1])) /* the end of a longer address */
        at = strstr(at + 1, own);
    *in = at != NULL;
    unsigned all = 0;
    for (const char *p = text; (p = strstr(p, ": goto lease")); p++)
        all++;
    *others = all > *in ? all - *in : 0;
}

void listing_tables(const cJSON *root, void (*fn)(const char *name, void *arg), void *arg)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "nftables"))
    {
        const cJSON *table = cJSON_GetObjectItemCaseSensitive(item, "table");
        const char *name = json_opt_string(table, "name", "");
        if (net_is_our_table_name(name))
            fn(name, arg);
    }
}

bool listing_drops_forwarded(const cJSON *root, char *out, size_t size)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "nftables"))
    {
        const cJSON *chain = cJSON_GetObjectItemCaseSensitive(item, "chain");
        const char *table = json_opt_string(chain, "table", "");
        if (!str_eq(json_opt_string(chain, "hook", ""), "forward") ||
            !str_eq(json_opt_string(chain, "policy", ""), "drop") || net_is_our_table_name(table))
            continue;
        (void)snprintf(out, size, "%.15s %.40s", json_opt_string(chain, "family", "?"), table);
        return true;
    }
    return false;
}
