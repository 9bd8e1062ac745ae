/* Any text as a listing of nftables: of a map of leases, of tables and of chains. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "net/listing.h"
#include "net/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see_table(const char *name, void *arg)
{
    (void)arg;
    if (strlen(name) >= NET_TABLE_SIZE)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool in = false;
    unsigned others = 0;
    char owner[64];
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    strbuf_add(&text, data, size);
    listing_members(text.len ? text.buf : "", "10.88.0.2 comment \"02:00:00:00:00:01\"", &in,
                    &others);
    /* Each has its own piece of the text. */
    if (others > size / strlen(": goto lease") + 1)
        __builtin_trap();
    _cleanup_json_ cJSON *root = json_parse((const char *)data, size, "fuzz", &err);
    if (!root)
        return 0;
    listing_tables(root, see_table, NULL);
    if (listing_drops_forwarded(root, owner, sizeof owner) && strlen(owner) > 56)
        __builtin_trap();
    return 0;
}
