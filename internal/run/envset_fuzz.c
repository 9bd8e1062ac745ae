/* Arbitrary bytes as a file of environment variables: no crash, and whatever is accepted has a name
 * that a shell takes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "run/envset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const envp[] = {"HOME=/root", "A=1", NULL};
    struct env_set s = ENV_SET_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, script = STRBUF_INIT;
    if (size > 65536)
        return 0;
    strbuf_add(&text, data, size);
    (void)env_set_parse(&s, text.buf, text.len, "file", NULL, envp, NULL);
    for (size_t i = 0; i < s.n; i++) {
        size_t n = strcspn(s.entries[i], "=");
        if (n == 0 || !s.entries[i][n] || strspn(s.entries[i], "0123456789") > 0)
            abort();
    }
    env_set_script(&s, &script);
    env_set_free(&s);
    return 0;
}
