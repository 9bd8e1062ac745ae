/* firecracker_config.h: what a microVM is to be, as Firecracker's own JSON.
 *
 * One tree in the shape of `GET /vm/config` says everything: the requests are cut from it, and
 * afterwards it is compared with what Firecracker says of itself, so nothing can be asked for
 * and silently not be there. Pure functions; only vmm/firecracker.c and its tests use them.
 */
#ifndef CRABBOX_VMM_FIRECRACKER_CONFIG_H
#define CRABBOX_VMM_FIRECRACKER_CONFIG_H

#include "base/error.h"
#include "base/json.h"
#include "vmm/vmm.h"

/* What Firecracker keeps room for on x86, with the closing zero; at the start it adds words of its
 * own, a fixed few and one for each device, and too long a line would be refused only then. */
#define FC_CMDLINE_SIZE 2048
#define FC_OWN_WORDS    " pci=off root=/dev/vda ro"
#define FC_DEVICE_WORD  " virtio_mmio.device=4K@0xc0001000:10"

struct fc_version {
    unsigned major, minor;
};

/* "1.14.1", "v1.16.0-dev": the first two numbers. ERR_VMM. */
int fc_version_parse(const char *text, struct fc_version *out, struct error *err);
bool fc_version_at_least(struct fc_version v, unsigned major, unsigned minor);

/* A token bucket of so much each second, which begins full. */
cJSON *fc_bucket(int64_t each_second);

/* The intent; the caller deletes it. NULL with ERR_CONFIG. */
cJSON *fc_intent(const struct vmm_spec *spec, struct error *err);

/* Every member of `intent` must be in `actual` with the same value; lists must have the same
 * entries (found by their *_id), no more and no fewer. ERR_VMM naming the first difference. */
int fc_compare(const cJSON *intent, const cJSON *actual, struct error *err);

#endif
