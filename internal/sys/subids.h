/* subids.h: the range of ids that the system has given this user for namespaces of their own
 * (/etc/subuid, /etc/subgid). newuidmap and newgidmap, which are root's, decide by the same files.
 */
#ifndef CRABBOX_SYS_SUBIDS_H
#define CRABBOX_SYS_SUBIDS_H

#include <stdint.h>

#include "base/error.h"

#define SUBIDS_NEWUIDMAP "newuidmap"
#define SUBIDS_NEWGIDMAP "newgidmap"

struct subids {
    uint32_t first, count;
};

/* The user's largest range of each kind. ERR_ENV where there is none or no program to use it: what
 * is missing and what would help. */
int subids_find(struct subids *uids, struct subids *gids, struct error *err);

#endif
