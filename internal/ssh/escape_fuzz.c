/* First byte: the size of a piece; the rest: what is typed. In pieces or at once, the same goes to
 * the guest, and never more than was typed but for one "~". */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/escape.h"

enum { TYPED_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t in_pieces(const char *typed, size_t n, size_t piece, char *out)
{
    struct escape e = {0};
    enum escape_act act = ESCAPE_NONE;
    size_t len = 0;
    for (size_t at = 0; at < n && act != ESCAPE_LEAVE; at += piece)
        len += escape_filter(&e, typed + at, n - at < piece ? n - at : piece, out + len, &act);
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char once[TYPED_MAX + 1], often[TYPED_MAX + 1];
    if (size < 2 || size > TYPED_MAX)
        return 0;
    const char *typed = (const char *)data + 1;
    size_t n = size - 1;
    size_t a = in_pieces(typed, n, n, once);
    size_t b = in_pieces(typed, n, data[0] ? data[0] : 1, often);
    if (a != b || a > n + 1 || memcmp(once, often, a) != 0)
        abort();
    return 0;
}
