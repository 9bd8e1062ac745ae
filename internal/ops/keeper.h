/* keeper.h: the process that ends a lease when its time is over, without a daemon.
 *
 * One small process a lease. It is started before anything of the lease exists, even its record,
 * and ends after everything is gone, so there is no moment at which a death leaves a lease that
 * nobody ends. It waits (on events only) for three things, then undoes the lease as `stop` does:
 *   - its maker died before the lease was ready: the kernel frees the lease's lock;
 *   - the lease expired: a timer on the wall clock, set anew when the record or the clock changes;
 *   - the process that was removing the lease died half-way: the lock comes free here as well.
 *
 * The maker holds a pipe to it. The keeper looks for the record when that pipe is closed: by the
 * maker once the record is on disk, or by the kernel when the maker dies. No record means that
 * there is nothing to end; the keeper removes what a half-made directory left, and goes.
 * A lease in use (somebody holds LEASE_USE shared) does not idle out; its ttl still holds. A kept
 * lease never expires. While its provider can't tell whether the machine is there, nothing is
 * undone: the keeper asks again now and then. Meanwhile a thread of it keeps the logs small
 * (keeper_watch.h). The keeper never signals anything but through the record of its own lease.
 */
#ifndef CRABBOX_OPS_KEEPER_H
#define CRABBOX_OPS_KEEPER_H

#include "ops/ops.h"
#include "sys/proc.h"

/* Starts the keeper of a lease that is still to be made. It begins when `go_fd` (owned by the
 * caller, close-on-exec) is closed. */
int keeper_start(struct ops *o, const char *id, struct proc_ref *out, int *go_fd,
                 struct error *err);

/* Kills it and waits until it has ended; does nothing if it is gone, or is this very process.
 * Only for a lease whose directory has gone: until then it is the one that would finish the
 * removal. */
int keeper_end(const struct proc_ref *keeper, struct error *err);

/* Whether the lease has none, though it should: it was killed. */
bool keeper_is_gone(const struct lease *l);
/* Keeps the logs small in the place of a keeper that is gone; best effort. */
void keeper_cap_logs(const struct ops *o, const struct lease *l);

/* The keeper's own main: returns when the lease is gone. */
int keeper_main(struct ops *o, const char *id, struct error *err);

#endif
