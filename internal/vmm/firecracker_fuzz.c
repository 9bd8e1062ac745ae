/* Anything that a VMM may answer to GET /vm/config and GET /version. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "vmm/firecracker_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vmm_spec spec = {
        .vm_id = "cbx-1",
        .accel = VMM_KVM,
        .cpus = 1,
        .memory_mib = 128,
        .kernel = "k",
        .initrd = "",
        .cmdline = "",
        .drives = {{.id = "root", .path = "r", .read_only = true, .root = true}},
        .n_drives = 1,
        .tap = "tap0",
        .guest_mac = "02:00:00:00:00:01",
        .limits = {.disk_bytes = 1 << 20, .disk_ops = 50},
    };
    struct error err = ERROR_INIT;
    struct fc_version v;
    _cleanup_json_ cJSON *intent = fc_intent(&spec, &err);
    _cleanup_json_ cJSON *actual = json_parse((const char *)data, size, "fuzz", &err);
    if (!actual)
        return 0;
    error_clear(&err);
    int r = fc_compare(intent, actual, &err);
    if ((r < 0) != error_is_set(&err))
        __builtin_trap();
    const char *text = json_opt_string(actual, "firecracker_version", "");
    if (fc_version_parse(text, &v, &err) == 0 && (*text == '\0' || !strchr(text, '.')))
        __builtin_trap();
    return 0;
}
