/* logcap.h: no guest fills the host's disk through its console.
 *
 * VMMs append to plain files, whatever the guest sends. Where a log has taken more than LOGCAP_MAX
 * of the disk, all but its end is given back to the filesystem (a hole: offsets stay, so the VMM
 * goes on appending and never notices), or, where the filesystem has no holes, the file is emptied.
 * The keeper's process does it, on events: nothing wakes while a console is quiet.
 */
#ifndef CRABBOX_VMM_LOGCAP_H
#define CRABBOX_VMM_LOGCAP_H

#include <sys/types.h>

#include "base/error.h"

#define LOGCAP_MAX  (8LL << 20) /* bytes of the disk that a log may take */
#define LOGCAP_KEPT (1LL << 20) /* what stays of it then: the newest */

/* Looks once. 1: something was dropped, 0: nothing to do or no such file. */
int logcap_apply(int dirfd, const char *name, struct error *err);

/* Where the text begins: behind what was dropped. */
off_t logcap_begin(int fd);

/* Starts a thread of its own that keeps both logs of a lease's directory (below leases_fd, borrowed
 * for as long as the process lives) small until the directory goes. Returns a descriptor (caller
 * closes) that turns readable when a file was moved into the directory or the directory went: a
 * user may have few inotify descriptors, 128 by default, so a lease takes one for everything. */
int logcap_start(int leases_fd, const char *id, struct error *err);

#endif
