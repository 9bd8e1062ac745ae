/* keeper.h: the process that ends a lease when its time is over, without a daemon.
 *
 * Each lease has one small process. It is started before anything of the lease exists, even its
 * record, and it ends after everything is gone. So whenever a process dies, a keeper is there to
 * end the lease. The keeper sleeps until one of three events, and then undoes the lease as `stop`
 * does:
 * - The maker of the lease died before the lease was ready. The kernel frees the lease's lock.
 * - The lease expired. A timer on the wall clock fires; it is set again when the record or the
 *   clock changes.
 * - The process that was removing the lease died half-way. The lock comes free here as well.
 *
 * The maker holds a pipe to the keeper. When the pipe is closed, the keeper looks for the record.
 * The maker closes the pipe once the record is on disk; the kernel closes it when the maker dies.
 * If there is no record, there is nothing to end. The keeper then removes what a half-made
 * directory left, and exits.
 *
 * While a process holds LEASE_USE shared, the lease is in use and does not idle out; its ttl still
 * holds. A kept lease never expires. While the provider can't find out whether the machine is
 * there, the keeper undoes nothing and asks again now and then. If an undo fails, its own or that
 * of `stop`, it tries again after pauses that grow, as long as the record is there. Meanwhile a
 * thread keeps the logs small (keeper_watch.h). The keeper signals only processes in the record of
 * its own lease.
 */
#ifndef CRABBOX_OPS_KEEPER_H
#define CRABBOX_OPS_KEEPER_H

#include "ops/ops.h"
#include "sys/proc.h"

/* Starts the keeper of a lease that is still to be made. It begins when `go_fd` (owned by the
 * caller, close-on-exec) is closed. */
int keeper_start(struct ops *o, const char *id, struct proc_ref *out, int *go_fd,
                 struct error *err);

/* Kills the keeper and waits until it has ended. Does nothing if it is gone, or if this process is
 * the keeper. Call it only after the lease's directory has gone: until then the keeper would
 * finish the removal if this process died. */
int keeper_end(const struct proc_ref *keeper, struct error *err);

/* Whether the lease's keeper is gone although the lease should have one: it was killed. */
bool keeper_is_gone(const struct lease *l);
/* Keeps the logs small if the keeper is gone; best effort. */
void keeper_cap_logs(const struct ops *o, const struct lease *l);

/* The keeper's own main: returns when the lease is gone. */
int keeper_main(struct ops *o, const char *id, struct error *err);

#endif
