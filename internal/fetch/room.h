/* room.h: a guest does not fill the host's disk.
 *
 * Of the filesystem that a download goes to, a twentieth stays free, but not more than 1 GiB and
 * 10000 inodes; blocks that are kept for root do not count as free.
 */
#ifndef CRABBOX_FETCH_ROOM_H
#define CRABBOX_FETCH_ROOM_H

#include <stdint.h>

#include "base/error.h"

/* How much is written between two looks at what is left. */
#define ROOM_EVERY (4 << 20)

/* Whether one more file or directory with `bytes` to come fits beside the reserve; ERR_IO with the
 * figures if not. Where the filesystem can't be asked, it does. */
int room_check(int dirfd, int64_t bytes, const char *what, struct error *err);

#endif
