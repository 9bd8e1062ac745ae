/* First line: a path; the rest: patterns. No input may crash, loop or read beyond its strings. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "sync/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    struct ignore ig = IGNORE_INIT;
    strbuf_add(&sb, data, size);
    strbuf_addc(&sb, '\n');
    char *newline = strchr(sb.buf, '\n');
    if (newline) {
        *newline = '\0';
        if (ignore_add(&ig, newline + 1, "fuzz", NULL, NULL) == 0)
            (void)ignore_match(&ig, sb.buf, size % 2, NULL);
    }
    ignore_free(&ig);
    return 0;
}
