/* caller.h: files that root makes in the sudo caller's directories belong to that user.
 *
 * If this program is root by sudo (SUDO_UID and SUDO_GID) or by doas (DOAS_USER, the name of the
 * user), a file or directory that it makes in one of the
 * caller's directories, or in one that everybody may write to (such as /tmp), belongs to the caller
 * from the start: it is made with the caller's ids instead of changing the owner afterwards, so
 * there is no moment for a swap. In other directories (/root, /etc, the state directory) it stays
 * root's, even if SUDO_UID is left over in a root shell.
 *
 * sudo and doas each set their own variable, but may pass the caller's environment on, in which the
 * other variable may have any value. So if both are set, they must name the same user; otherwise
 * there is no caller.
 *
 * If root reads a file for another user, such as one that the caller's settings name, it opens it
 * with that user's ids (caller_become). So a link of the user can't make root read a file that the
 * user can't read.
 */
#ifndef CRABBOX_SYS_CALLER_H
#define CRABBOX_SYS_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/str.h"

struct caller {
    uid_t uid;
    gid_t gid;
};

/* False if there is none: we are not root, it was neither sudo nor doas, or root called it. */
bool caller_get(struct caller *out);
/* The same for given values of SUDO_UID and DOAS_USER (or NULL). It does not matter who we are, and
 * root counts as a caller, too. */
bool caller_uid(const char *sudo_uid, const char *doas_user, uid_t *out);
/* The user of this name, a value of DOAS_USER or NULL. False if there is no such user. */
bool caller_by_name(const char *name, struct caller *out);

/* openat(2) with O_CREAT, and mkdirat(2), by the rules above. Without a caller they are just
 * that. */
int caller_openat(int dirfd, const char *name, int flags, mode_t mode);
int caller_mkdirat(int dirfd, const char *name, mode_t mode);

/* The ids that this thread had before. */
struct caller_before {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned; NULL: nothing was changed */
    int n_groups;
};

/* Until caller_back (_cleanup_, on a zeroed struct), this thread makes and opens files as the user,
 * without our groups. The other threads keep their ids. -1 with errno if the ids can't be used;
 * then nothing has changed. */
int caller_become(const struct caller *c, struct caller_before *before);
void caller_back(struct caller_before *before);

/* The home that the system has on record for a user, whatever HOME is. The caller frees it. NULL if
 * there is none. */
char *caller_home_of(uid_t uid);

/* The names by which the shells above us may have come to the working directory, each with a NUL at
 * its end: our own PWD, and that of each process above us that has one where the process below it
 * was started without, because sudo, doas or env had dropped it. A shell that is started without
 * makes and exports a PWD of its own, in which no link is left. Each may be the name of another
 * directory. */
void caller_pwds(struct strbuf *out);

#endif
