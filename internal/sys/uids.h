/* uids.h: user ids that nothing else on this host has, one for each confined VMM.
 *
 *   uid_range_parse → uid_range_check → uid_claim → struct spawn_spec.files
 *
 * An id is claimed by a lock (flock) on an empty file of its number in /run/crabbox-fc/uids, for
 * all state directories of the host together. A user who is not root claims one of the user's own
 * subordinate ids (userns.h), in a directory of the user's. The lock belongs to an open file that
 * the VMM inherits, so the kernel gives the id back when the VMM ends, however that happens. The
 * files stay; there are as many as VMMs have run at the same time.
 *
 * A VMM that was taken over can close its file. That gains nothing, because an id is never given
 * away while a process still runs with it, whatever its lock says.
 */
#ifndef CRABBOX_SYS_UIDS_H
#define CRABBOX_SYS_UIDS_H

#include <sys/types.h>

#include "base/error.h"

/* Ids that no system gives its users or containers by itself (systemd's list of them ends at
 * 1879048191). */
#define UID_RANGE "1900000000-1900065535"

/* No VMM with a guest gets this id. It has the rights that every user has, and no others. */
#define UID_NOBODY 2147483646
/* The same of a user namespace with a range of ids (userns.h). */
#define UID_NOBODY_INSIDE 65534

struct uid_range {
    uid_t first, last;
};

/* Reads a range such as "1900000000-1900065535". Nobody has to create users for these ids.
 * ERR_CONFIG for anything else, for ids below 65536, where systems have their own users, and for
 * ids from UID_NOBODY on, because some programs take ids above 2147483647 for negative. */
int uid_range_parse(const char *text, struct uid_range *out, struct error *err);

/* Checks that nobody was given ids of this range for containers (/etc/subuid, /etc/subgid).
 * ERR_CONFIG names the file and its line. */
int uid_range_check(const struct uid_range *r, struct error *err);

#define UID_DIRECTORY "/run/crabbox-fc/uids" /* root's */

/* Takes the lowest id that no user, group, process or other VMM has. Returns the descriptor of its
 * lock, open for reading only (caller closes; a child may inherit it); ERR_ENV if none is free. */
int uid_claim(const struct uid_range *r, const char *dir, uid_t *out, struct error *err);

#endif
