/* Arbitrary bytes as a manifest and as what a guest answers to a survey of it: neither may crash
 * us or read beyond the text. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "sync/survey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536)
        return 0;
    struct survey_said said = {0};
    struct manifest m;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    strbuf_add(&text, data, size);
    if (sync_manifest_parse(&m, text.buf, text.len) == 0)
        (void)survey_apply(&m, text.buf, text.len, &said);
    survey_names_free(&said.mounts);
    sync_manifest_free(&m);
    return 0;
}
