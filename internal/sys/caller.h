/* caller.h: what root makes in the sudo caller's directories belongs to that user.
 *
 * If this program is root by sudo (SUDO_UID and SUDO_GID) or by doas (DOAS_USER, the name of the
 * user), a file or directory that it makes in one of the
 * caller's directories, or in one that everybody may write to (such as /tmp), belongs to the caller
 * from the start: it is made with the caller's ids instead of changing the owner afterwards, so
 * there is no moment for a swap. In other directories (/root, /etc, the state directory) it stays
 * root's, even if SUDO_UID is left over in a root shell.
 *
 * Each of the two sets its own variable, and may let the caller's environment through, in which the
 * other's variable may be anything. So where both are set they must name the same user, or there is
 * no caller.
 *
 * What root reads for another user, such as a file that the caller's settings name, it opens with
 * that user's ids (caller_become): a link of the user's then leads root to nothing that the user
 * can't read.
 */
#ifndef CRABBOX_SYS_CALLER_H
#define CRABBOX_SYS_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

struct caller {
    uid_t uid;
    gid_t gid;
};

/* False where there is none: not root, by neither of them, or by root's own. */
bool caller_get(struct caller *out);
/* The same by the texts of SUDO_UID and DOAS_USER (or NULL), without looking at who we are; root
 * counts, too. */
bool caller_uid(const char *sudo_uid, const char *doas_user, uid_t *out);
/* The user of this name, a value of DOAS_USER or NULL. False if the system knows none. */
bool caller_by_name(const char *name, struct caller *out);

/* openat(2) with O_CREAT and mkdirat(2) as above; unchanged if there is no caller. */
int caller_openat(int dirfd, const char *name, int flags, mode_t mode);
int caller_mkdirat(int dirfd, const char *name, mode_t mode);

/* Who this thread was before. */
struct caller_before {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned; NULL: it has changed nothing */
    int n_groups;
};

/* Until caller_back (_cleanup_, on a zeroed struct), this thread makes and opens files as the user,
 * with none of our groups; the other threads stay who they are. -1 with errno where these ids can't
 * be taken: then nothing has changed. */
int caller_become(const struct caller *c, struct caller_before *before);
void caller_back(struct caller_before *before);

/* The home that the system knows for a user, whatever HOME is; owned by the caller of this
 * function; NULL if there is none. */
char *caller_home_of(uid_t uid);

#endif
