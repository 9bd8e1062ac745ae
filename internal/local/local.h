/* local.h: the provider of leases on this host: a VMM, a disk, a network for each lease.
 *
 *   conditions.c the conditions that must hold before anything is made: one list, shared by doctor
 *   preflight.c  checks whether they hold, and reserves the resources of the lease
 *   steps.c      disk, network (step_net.c), keys and seed, VMM, boot
 *   admission.c, diskroom.c  whether the host can carry one more
 */
#ifndef CRABBOX_LOCAL_LOCAL_H
#define CRABBOX_LOCAL_LOCAL_H

#include "local/conditions.h"
#include "ops/provider.h"
#include "ops/work.h"
#include "sys/userns.h"

extern const struct provider provider_local;
/* The only kind so far, for callers that have a store without a struct ops. Ends with NULL. */
extern const struct lease_kind *const local_kinds[];

/* The data that the steps share in addition to the work. Only this module uses it. */
struct local {
    struct conditions found; /* owned: the VMM's program, the open image, the CNI list */
    int reservation_fd;      /* owned; see admission.h */
    int netns_fd;            /* owned; undo: the VMM's, where one is needed */
    struct userns userns;    /* owned; of a lease that is made without root (net/pasta.h) */
    int vmm_fd;              /* owned: the VMM's directory; -1 until it is needed */
};
static inline struct local *local_of(const struct work *w)
{
    return w->own;
}

int local_preflight(struct work *w, struct error *err);

#endif
