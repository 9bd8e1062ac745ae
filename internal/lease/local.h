/* local.h: the part of a record that only a lease on this host has. */
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
    bool disk_overcommit; /* made without checking that the whole disk fits */
    char image_kind[8];   /* "ours", "stock" */
    char rootfs[LEASE_ROOTFS_SIZE];
    char kernel_release[64];
    char pin[72];
    char disk_how[16]; /* "overlay", "reflink", "sparse", "copy" */
    struct net_lease net;
    char cgroup[CGROUP_NAME_SIZE]; /* of the VMM; "" in leases of older versions */
    char lacks[LEASE_LACKS_SIZE];  /* what the lease does without: reasons, "" for none */
    struct vmm_ref vmm;
    struct proc_ref plugin; /* the CNI plugin that was started last, if any */
    struct proc_ref pasta;  /* with NET_PASTA: the guest's way out, if any */
};

/* Adds what the lease does without; "" adds nothing. */
void lease_local_lacks(struct lease_local *l, const char *what);

/* The members of the record's object "local". In schema 1 they were next to the common ones. */
cJSON *lease_local_to_json(const struct lease_local *l);
/* ERR_STATE if one is missing or malformed; then `out` is not changed. */
int lease_local_from_json(const cJSON *j, struct lease_local *out, struct error *err);

#endif
