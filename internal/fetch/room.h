/* room.h: keeps a guest from filling the host's disk.
 *
 * A twentieth of the filesystem that a download goes to stays free, but at most 1 GiB and 10000
 * inodes; blocks that are reserved for root do not count as free.
 */
#ifndef CRABBOX_FETCH_ROOM_H
#define CRABBOX_FETCH_ROOM_H

#include <stdint.h>

#include "base/error.h"

/* How many bytes are written between two checks of the free space. */
#define ROOM_EVERY (4 << 20)

/* Whether one more file or directory of `bytes` fits without touching the reserve; ERR_IO with the
 * figures if not. If the filesystem can't be asked, it counts as fitting. */
int room_check(int dirfd, int64_t bytes, const char *what, struct error *err);

#endif
