/* A hostile kernel: whatever lies behind the mark of an embedded .config. The mark itself is put in
 * front of each input, so that the fuzzer spends its time behind it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/kconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int memory = -1; /* one file, rewritten for each input */
    static const uint8_t mark[] = {'I', 'K', 'C', 'F', 'G', '_', 'S', 'T', 0x1f, 0x8b, 0x08};
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (memory < 0)
        memory = memfd_create("fuzz", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, 0) < 0 ||
        pwrite(memory, mark, sizeof mark, 0) != (ssize_t)sizeof mark ||
        pwrite(memory, data, size, sizeof mark) != (ssize_t)size)
        abort();
    int r = kconfig_extract(memory, "fuzz", &text, &err);
    if (r < 0 || text.len > KCONFIG_MAX || (r == 0) != (text.len == 0) ||
        strlen(text.buf) != text.len)
        abort();
    char have = kconfig_option(text.buf, "EXT4_FS");
    if (!strchr("ymn", have))
        abort();
    return 0;
}
