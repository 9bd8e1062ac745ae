/* keeper.h: the process that ends a lease when its time is over, without a daemon.
 *
 * One small process a lease, started before the VMM and gone with the lease. It waits (on events
 * only) for three things and then undoes the lease by the same path as `stop`:
 *   - its maker died before the lease was ready: the kernel frees the lease's lock, the keeper gets
 * it;
 *   - the lease expired: a timer on the wall clock, set anew when the record or the clock changes;
 *   - whoever was removing the lease died half-way.
 * A lease in use (somebody holds LEASE_USE shared) does not idle out; its ttl still holds. A kept
 * lease never expires. Meanwhile a thread of it keeps the logs small (keeper_watch.h). The keeper
 * never signals anything but through the record of its own lease.
 */
#ifndef CRABBOX_OPS_KEEPER_H
#define CRABBOX_OPS_KEEPER_H

#include "ops/ops.h"
#include "sys/proc.h"
#include "vmm/vmm.h"

/* Starts it, held until `started` has written it down. */
int keeper_start(struct ops *o, const char *id, vmm_started_fn *started, void *ctx,
                 struct error *err);

/* Kills it (unless it is this very process); absent is a success. The lease's lock must be held.
 * Its end takes the kernel 15 ms, so it is waited for apart: `fd` (the caller's, -1 before) gets a
 * descriptor for keeper_ended, which closes it and does nothing at -1. */
int keeper_end(const struct proc_ref *keeper, int *fd, struct error *err);
int keeper_ended(int *fd, struct error *err);

/* Whether the lease has none, though it should: it was killed. */
bool keeper_is_gone(const struct lease *l);
/* Keeps the logs small in the place of a keeper that is gone; best effort. */
void keeper_cap_logs(const struct ops *o, const struct lease *l);

/* The keeper's own main: returns when the lease is gone. */
int keeper_main(struct ops *o, const char *id, struct error *err);

#endif
