/* caller.h: what root makes in the directories of who called sudo belongs to that user.
 *
 * Where this program is root by sudo (SUDO_UID and SUDO_GID), a file or directory that is made in a
 * directory of that user's, or in one where everybody may write (as /tmp), is that user's from its
 * first moment: it is made with the user's ids, never given away afterwards, so there is nothing to
 * swap in between. In other directories (/root, /etc, the state directory) it stays root's, also
 * where SUDO_UID is left over in a shell of root's. The ids of one thread change for one call.
 */
#ifndef CRABBOX_SYS_CALLER_H
#define CRABBOX_SYS_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

struct caller {
    uid_t uid;
    gid_t gid;
};

/* False where there is none: not root, not by sudo, or by root's own sudo. */
bool caller_get(struct caller *out);

/* openat(2) with O_CREAT and mkdirat(2) as above; as they are where there is no caller. */
int caller_openat(int dirfd, const char *name, int flags, mode_t mode);
int caller_mkdirat(int dirfd, const char *name, mode_t mode);

#endif
