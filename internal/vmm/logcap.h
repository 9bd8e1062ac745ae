/* logcap.h: keeps a guest from filling the host's disk through its console.
 *
 * VMMs append everything that the guest sends to plain files. If a log takes more than LOGCAP_MAX
 * of the disk, a hole is punched over everything except its end. Offsets stay the same, so the VMM
 * goes on appending and does not notice. If the filesystem has no holes, the file is emptied. The
 * VMM can't write a file beyond a limit (process.c), so once the log's end passes LOGCAP_SPAN, the
 * hole is removed, too: the range is collapsed or, if the filesystem can't do that, the file is
 * emptied. This also limits a VMM that was taken over and writes through a mapping, which causes no
 * event: only a write that causes an event makes the file longer (sys/confine.c). The keeper does
 * all of this on events, so nothing runs while a console is quiet.
 */
#ifndef CRABBOX_VMM_LOGCAP_H
#define CRABBOX_VMM_LOGCAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define LOGCAP_MAX  (8LL << 20)  /* bytes of disk space that a log may take */
#define LOGCAP_KEPT (1LL << 20)  /* what is kept of it then: the newest part */
#define LOGCAP_SPAN (16LL << 20) /* the largest size, including the hole */

/* Looks at the log once. 1: something was dropped; 0: nothing to do, or no such file. */
int logcap_apply(int dirfd, const char *name, struct error *err);

/* Looks at both logs in a VMM's directory; best effort. False if a process holds a file lease on
 * one of them (F_SETLEASE): there is no event for its end, so look again later. */
bool logcap_apply_all(int dirfd);

/* Where the text begins: after the part that was dropped, and at most LOGCAP_SPAN before the end. A
 * VMM that was taken over can make its log as large as its disk without using disk space. */
off_t logcap_begin(int fd);

#endif
