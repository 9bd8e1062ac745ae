/* logcap.h: no guest fills the host's disk through its console.
 *
 * VMMs append to plain files, whatever the guest sends. Where a log has taken more than LOGCAP_MAX
 * of the disk, all but its end is given back to the filesystem (a hole: offsets stay, so the VMM
 * goes on appending and never notices), or, where the filesystem has no holes, the file is emptied.
 * Because the VMM can't write a file beyond a limit (process.c), the hole is removed too once the
 * log's end passes LOGCAP_SPAN: the range is collapsed or, if the filesystem can't do that, the
 * file is emptied. That limits also a VMM that was taken over and writes through a mapping, which
 * no event tells of: only a write that does raise one makes the file longer (sys/confine.c).
 * The keeper's process does it, on events: nothing wakes while a console is quiet.
 */
#ifndef CRABBOX_VMM_LOGCAP_H
#define CRABBOX_VMM_LOGCAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define LOGCAP_MAX  (8LL << 20)  /* bytes of the disk that a log may take */
#define LOGCAP_KEPT (1LL << 20)  /* what stays of it then: the newest */
#define LOGCAP_SPAN (16LL << 20) /* size, with its hole, that it may come to */

/* Looks once. 1: something was dropped, 0: nothing to do or no such file. */
int logcap_apply(int dirfd, const char *name, struct error *err);

/* Looks at both logs in a VMM's directory; best effort. False where a process holds a file lease
 * on one of them (F_SETLEASE): nothing tells when that is over, so look again later. */
bool logcap_apply_all(int dirfd);

/* Where the text begins: behind what was dropped, and at most LOGCAP_SPAN before the end, since a
 * VMM that was taken over can make of its log a file as large as its disk that takes no room. */
off_t logcap_begin(int fd);

#endif
