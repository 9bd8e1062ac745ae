/* firecracker_config.h: the configuration of a microVM as Firecracker's JSON.
 *
 * One tree in the form of `GET /vm/config` has the whole configuration. The requests are made from
 * its parts. Afterwards it is compared with the configuration that Firecracker reports, so nothing
 * that was asked for can be missing unnoticed. Pure functions; only vmm/firecracker.c and its tests
 * use them.
 */
#ifndef CRABBOX_VMM_FIRECRACKER_CONFIG_H
#define CRABBOX_VMM_FIRECRACKER_CONFIG_H

#include "base/error.h"
#include "base/json.h"
#include "vmm/vmm.h"

/* The room that Firecracker has for a command line on x86, with the final zero. At the start it
 * adds words of its own, a few fixed ones and one for each device, and would refuse a line that is
 * too long only then. */
#define FC_CMDLINE_SIZE 2048
#define FC_OWN_WORDS    " pci=off root=/dev/vda ro"
#define FC_DEVICE_WORD  " virtio_mmio.device=4K@0xc0001000:10"

struct fc_version {
    unsigned major, minor;
};

/* "1.14.1", "v1.16.0-dev": the first two numbers. ERR_VMM. */
int fc_version_parse(const char *text, struct fc_version *out, struct error *err);
bool fc_version_at_least(struct fc_version v, unsigned major, unsigned minor);

/* A file of the VMM's directory, or of an absolute path, as Firecracker finds it: in the root that
 * its jailer makes, it starts elsewhere. The caller frees it. */
char *fc_path(const struct vmm_spec *spec, const char *path);

/* A token bucket of so much each second, which begins full. */
cJSON *fc_bucket(int64_t each_second);

/* The configuration that is wanted; the caller deletes it. NULL with ERR_CONFIG. */
cJSON *fc_intent(const struct vmm_spec *spec, struct error *err);

/* Every member of `intent` must be in `actual` with the same value; lists must have the same
 * entries (found by their *_id), no more and no fewer. ERR_VMM naming the first difference. */
int fc_compare(const cJSON *intent, const cJSON *actual, struct error *err);

#endif
