/* subids.h: the range of ids that the system has given this user for namespaces of their own
 * (/etc/subuid, /etc/subgid). newuidmap and newgidmap, which are root's, decide by the same files.
 */
#ifndef CRABBOX_SYS_SUBIDS_H
#define CRABBOX_SYS_SUBIDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SUBIDS_UIDS     "/etc/subuid"
#define SUBIDS_GIDS     "/etc/subgid"
#define SUBIDS_FILE_MAX (1024 * 1024)

#define SUBIDS_NEWUIDMAP "newuidmap"
#define SUBIDS_NEWGIDMAP "newgidmap"

struct subids {
    uint32_t first, count;
};

/* Takes a line "user:first:count" of these files apart; the line is changed. The user is a name or
 * a number. False if it is malformed: then it gives nobody an id. */
bool subids_parse(char *line, const char **user, uint64_t *first, uint64_t *count);

/* The user's largest range of each kind. ERR_ENV where there is none or no program to use it: what
 * is missing and what would help. */
int subids_find(struct subids *uids, struct subids *gids, struct error *err);

#endif
