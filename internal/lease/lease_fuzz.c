/* Any text as a lease's record: what is accepted names no path, pid or slug that could do harm, and
 * survives being written and read again. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"slug",   "disk", "net",  "seed",
                                    "keeper", "vmm",  "boot", "ready"};
static const struct lease_kind kind = {LEASE_PROVIDER_LOCAL, names, ARRAY_LEN(names), true};
static const struct lease_kind *const kinds[] = {&kind, NULL};

static void check(const struct lease *l)
{
    if (!lease_id_valid(l->id) || !*l->slug || strpbrk(l->slug, "/.\n") ||
        l->local.vmm.proc.pid < 0 || l->local.vmm.proc.pid == 1 || l->keeper.pid < 0 ||
        l->keeper.pid == 1)
        __builtin_trap();
    if (lease_expires_at(l) < 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct lease l, again;
    _cleanup_json_ cJSON *j = json_parse((const char *)data, size, "fuzz", &err);
    if (!j || lease_from_json(j, kinds, &l, &err) < 0) {
        if (!error_is_set(&err))
            __builtin_trap();
        return 0;
    }
    check(&l);
    _cleanup_json_ cJSON *out = lease_to_json(&l);
    _cleanup_free_ char *written = json_print(out, true);
    _cleanup_json_ cJSON *back = json_parse(written, strlen(written), "written", &err);
    if (!back || lease_from_json(back, kinds, &again, &err) < 0)
        __builtin_trap();
    _cleanup_json_ cJSON *twice = lease_to_json(&again);
    _cleanup_free_ char *rewritten = json_print(twice, true);
    if (strcmp(written, rewritten) != 0)
        __builtin_trap();
    return 0;
}
