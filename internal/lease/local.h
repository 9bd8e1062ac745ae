/* local.h: what the record of a lease on this host holds beside the common part. */
#ifndef CRABBOX_LEASE_LOCAL_H
#define CRABBOX_LEASE_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "net/net.h"
#include "sys/cgroup.h"
#include "vmm/vmm.h"

#define LEASE_ROOTFS_SIZE 512
#define LEASE_LACKS_SIZE  512

struct lease_local {
    bool disk_overcommit; /* made without looking whether all of the disk fits the host */
    char image_kind[8];   /* "ours", "stock" */
    char rootfs[LEASE_ROOTFS_SIZE];
    char kernel_release[64];
    char pin[72];
    char disk_how[16]; /* "overlay", "reflink", "sparse", "copy" */
    struct net_lease net;
    char cgroup[CGROUP_NAME_SIZE]; /* of the VMM; "" in leases of older versions */
    char lacks[LEASE_LACKS_SIZE];  /* what isolates the VMM otherwise: reasons, "" for none */
    struct vmm_ref vmm;
    struct proc_ref plugin; /* the CNI plugin that was started last, if any */
};

/* Adds what the VMM does without; "" adds nothing. */
void lease_local_lacks(struct lease_local *l, const char *what);

/* The members of the record's object "local". In schema 1 they stood beside the common ones. */
cJSON *lease_local_to_json(const struct lease_local *l);
/* ERR_STATE where one is missing or malformed; `out` is untouched then. */
int lease_local_from_json(const cJSON *j, struct lease_local *out, struct error *err);

#endif
