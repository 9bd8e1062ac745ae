/* keeper_watch.h: how a keeper watches its lease's directory, with one inotify instance.
 *
 * A thread reads the events, also those of the VMM's directory and of the logs in it, so that the
 * logs stay small (vmm/logcap.h) even while the keeper waits for the lease's lock. When the record
 * changes, or the directory is removed, the thread makes a descriptor readable. A host has few
 * inotify instances (fs.inotify.max_user_instances, 128 by default), so a lease may use only one.
 */
#ifndef CRABBOX_OPS_KEEPER_WATCH_H
#define CRABBOX_OPS_KEEPER_WATCH_H

#include "base/error.h"

/* `leases_fd` is borrowed for as long as the process lives, or until the directory is gone.
 * Returns an eventfd, which the caller closes, but not before that. It is readable when the record
 * was replaced or the directory was removed. */
int keeper_watch(int leases_fd, const char *id, struct error *err);

#endif
