/* trust_fuzz.c: any bytes as a trust store. What is accepted must survive being written and read.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_same(const struct trust_store *a, const struct trust_store *b)
{
    require(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        require(a->entries[i].path[0] == '/');
        require(str_eq(a->entries[i].path, b->entries[i].path));
        require(str_eq(a->entries[i].sha256, b->entries[i].sha256));
        require(a->entries[i].added == b->entries[i].added);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trust_store first, second;
    struct error err = ERROR_INIT;
    if (trust_store_parse((const char *)data, size, "f.json", &first, &err) < 0) {
        require(err.kind == ERR_TRUST && first.n == 0 && !first.entries);
        return 0;
    }
    char *text = trust_store_print(&first);
    require(trust_store_parse(text, strlen(text), "f.json", &second, &err) == 0);
    check_same(&first, &second);
    free(text);
    trust_store_free(&first);
    trust_store_free(&second);
    return 0;
}
