/* qemu_config.h: QEMU's command line for a lease, and the check of the settings that QEMU reports.
 *
 * Options with a path are passed as JSON (-blockdev), where commas and equals signs in names need
 * no escape. Pure functions; only vmm/qemu.c and its tests use them.
 */
#ifndef CRABBOX_VMM_QEMU_CONFIG_H
#define CRABBOX_VMM_QEMU_CONFIG_H

#include "base/json.h"
#include "vmm/vmm.h"

#define QEMU_ARGS_MAX 96

struct qemu_args {
    char *v[QEMU_ARGS_MAX + 1]; /* owned, NULL-terminated */
    unsigned n;
};

/* The descriptor number under which QEMU finds the socket it is to serve. */
#define QEMU_QMP_FD 0

void qemu_args_build(const struct vmm_spec *spec, struct qemu_args *out);
void qemu_args_free(struct qemu_args *a);

/* The replies of query-kvm, query-status, query-named-block-nodes, query-cpus-fast and
 * query-memory-size-summary against the spec. ERR_VMM naming the difference. */
int qemu_check_accel(const struct vmm_spec *spec, const cJSON *kvm, struct error *err);
int qemu_check_paused(const cJSON *status, struct error *err);
int qemu_check_drives(const struct vmm_spec *spec, const cJSON *nodes, struct error *err);
int qemu_check_size(const struct vmm_spec *spec, const cJSON *cpus, const cJSON *memory,
                    struct error *err);

/* Whether drives have a throttle group each: the object QEMU_GROUP_PREFIX with the drive's id. */
#define QEMU_GROUP_PREFIX "limit-"
bool qemu_limits_drives(const struct vmm_limits *l);
/* The property `limits` of such a group. */
int qemu_check_limits(const struct vmm_limits *l, const char *id, const cJSON *has,
                      struct error *err);

/* Our word for QEMU's run state. */
const char *qemu_state_word(const char *status);

#endif
