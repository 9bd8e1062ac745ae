/* Arbitrary bytes as an index, as the shared part of a split one and as a .gitignore: none may
 * crash us or read beyond the text, and what comes out is sorted. First byte: where the second
 * part begins, in 256ths. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/gitignore.h"
#include "sync/gitindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct gitindex *x, const struct gitignore *g)
{
    for (size_t i = 0; i < x->n; i++) {
        const char *path = x->entries[i].path;
        if (!*path || (i && strcmp(x->entries[i - 1].path, path) >= 0) ||
            gitindex_find(x, path) != &x->entries[i])
            abort();
        (void)gitindex_holds(x, path);
        (void)gitignore_match(g, path, i % 2, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536)
        return 0;
    size_t cut = 1 + (size - 1) * data[0] / 256;
    struct gitindex x = {0};
    struct gitindex base = {0};
    struct gitignore g = {0};
    (void)gitignore_parse(&g, (const char *)data + cut, size - cut, NULL);
    (void)gitignore_match(&g, "some/dir/name.o", size % 2, NULL);
    if (gitindex_parse(&x, data + 1, cut - 1, "index", NULL) == 0) {
        if (*x.base && gitindex_parse(&base, data + cut, size - cut, "shared", NULL) == 0)
            (void)gitindex_merge(&x, &base, "shared", NULL);
        if (gitindex_settle(&x, "index", NULL) == 0)
            use(&x, &g);
    }
    gitindex_free(&base);
    gitindex_free(&x);
    gitignore_free(&g);
    return 0;
}
