/* Fuzz target: the texts of a seed without the drive around them.
 * The first byte says which text the rest is; the others are good ones. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "guest/seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char user_data[] = "#cloud-config\n{\"users\":[{\"name\":\"u\"}],\"ssh_keys\":{"
                                    "\"ed25519_private\":\"k\",\"ed25519_public\":\"p\"}}";
    static const char meta_data[] = "{\"instance-id\":\"i\",\"local-hostname\":\"h\"}";
    const char *texts[] = {user_data, meta_data, NULL};
    struct error err = ERROR_INIT;
    struct seed seed;
    if (size < 1)
        return 0;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    strbuf_add(&sb, data + 1, size - 1);
    texts[data[0] % 3] = sb.buf;
    if (seed_parse(texts[0], texts[1], texts[2], &seed, &err) == 0)
        seed_free(&seed);
    return 0;
}
