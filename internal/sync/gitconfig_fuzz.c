/* Arbitrary bytes as a configuration of git: none may crash us or read beyond the text, and a name
 * always has one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/gitconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(void *ctx, const char *name, const char *value)
{
    size_t *left = ctx;
    if (!*name || (value && strlen(value) > *left))
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (gitconfig_read((const char *)data, size, look, &size) < 0)
        abort();
    return 0;
}
