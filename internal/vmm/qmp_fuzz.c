/* Anything that may come out of QEMU's control socket, line by line, and the records made of it. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "vmm/qemu_config.h"
#include "vmm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_line(const char *line, size_t len)
{
    static const struct vmm_spec spec = {
        .accel = VMM_TCG,
        .cpus = 1,
        .memory_mib = 128,
        .drives = {{.id = "root", .path = "r", .read_only = true, .root = true}},
        .n_drives = 1,
    };
    struct error err = ERROR_INIT;
    enum qmp_kind kind = QMP_OTHER;
    struct vmm_ref ref;
    char version[64];
    _cleanup_json_ cJSON *j = qmp_parse_line(line, len, 2, &kind, &err);
    if (!j) {
        if (err.kind != ERR_VMM)
            __builtin_trap();
        return;
    }
    (void)qmp_greeting_version(j, version, sizeof version, &err);
    if (vmm_ref_from_json(j, &ref, &err) == 0 && (ref.proc.pid < 0 || ref.proc.pid == 1))
        __builtin_trap();
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(j, "return");
    (void)qemu_check_accel(&spec, value, &err);
    (void)qemu_check_paused(value, &err);
    (void)qemu_check_drives(&spec, value, &err);
    (void)qemu_check_size(&spec, value, value, &err);
    (void)qemu_check_limits(&(struct vmm_limits){.disk_ops = 50}, "root", value, &err);
    (void)qemu_state_word(json_opt_string(value, "status", ""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;
        try_line(p, (size_t)(stop - p));
        p = stop + 1;
    }
    return 0;
}
