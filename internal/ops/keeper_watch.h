/* keeper_watch.h: what a keeper hears of its lease's directory, with one inotify instance.
 *
 * A thread of its own reads the events, so that the logs stay small (vmm/logcap.h) also while the
 * keeper waits for the lease's lock. A change of the record, or the end of the directory, it hands
 * on by making a descriptor readable. Instances are few on a host (fs.inotify.max_user_instances,
 * 128 by default): one a lease is what there is room for.
 */
#ifndef CRABBOX_OPS_KEEPER_WATCH_H
#define CRABBOX_OPS_KEEPER_WATCH_H

#include "base/error.h"

/* `leases_fd` is borrowed for as long as the process lives, or until the directory is gone. Returns
 * an eventfd (caller closes, not before): readable when the record was replaced or the directory
 * went. */
int keeper_watch(int leases_fd, const char *id, struct error *err);

#endif
