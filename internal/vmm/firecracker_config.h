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

/* Kernel command lines longer than this are refused by Firecracker on x86. */
#define FC_BOOT_ARGS_MAX 2048

struct fc_version {
    unsigned major, minor;
};

/* "1.14.1", "v1.16.0-dev": the first two numbers. ERR_VMM. */
int fc_version_parse(const char *text, struct fc_version *out, struct error *err);
bool fc_version_at_least(struct fc_version v, unsigned major, unsigned minor);

/* The intent; the caller deletes it. NULL with ERR_CONFIG. */
cJSON *fc_intent(const struct vmm_spec *spec, struct error *err);

/* Every member of `intent` must be in `actual` with the same value; lists must have the same
 * entries (found by their *_id), no more and no fewer. ERR_VMM naming the first difference. */
int fc_compare(const cJSON *intent, const cJSON *actual, struct error *err);

#endif
