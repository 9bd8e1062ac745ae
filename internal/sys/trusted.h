/* trusted.h: could another user put something else in the place of this file?
 *
 *   trusted_path  before a file or directory is relied on: every directory and link on its way,
 *                 and itself
 *   trusted_way   the same without itself, for what is checked more strictly or not there yet
 *   trusted_fd    once it is open: this very file, whatever its path leads to by now
 *
 * Trusted are root, the effective user, and the user whom sudo came from. Everything on the way has
 * to be owned by one of them and writable by nobody else. A sticky directory (/tmp) may be writable
 * when it is on the way, not at its end: there nobody replaces what is somebody else's. A group may
 * write where it is root's, or the owner's own, with no other member. Members whom a directory
 * service (LDAP) does not enumerate are not seen. Links are followed step by
 * step: the directory that holds a link counts as much as the one that it leads to.
 *
 * In a user namespace that does not map the host's root, root's files look like those of any
 * unmapped user. They can't be told apart, so they are refused.
 *
 * Errors are ERR_TRUST: "the WHAT PATH can be replaced by user bob: /opt/x is owned by uid 1001
 * (bob); next: sudo chown root /opt/x". What does not exist is no error: opening it says so.
 */
#ifndef CRABBOX_SYS_TRUSTED_H
#define CRABBOX_SYS_TRUSTED_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct trusted_who {
    uid_t self;
    uid_t sudo; /* `self` where there is none */
};

/* `sudo_uid` is the text of SUDO_UID, or NULL; it counts only for root. */
struct trusted_who trusted_who(const char *sudo_uid);
/* The same by this process's own environment. */
struct trusted_who trusted_us(void);

bool trusted_owner(const struct trusted_who *who, uid_t uid);

/* `what` is for the message: "VMM program". A relative path is judged from the working directory
 * on. `who` NULL: trusted_us(). */
int trusted_path(const struct trusted_who *who, const char *path, const char *what,
                 struct error *err);
int trusted_way(const struct trusted_who *who, const char *path, const char *what,
                struct error *err);

/* `path` is what `fd` was opened by, for the message. Not for O_PATH descriptors. */
int trusted_fd(int fd, const char *path, const char *what, struct error *err);

/* Whether nobody else can replace a name in this open directory, which may be O_PATH. */
bool trusted_dir(const struct trusted_who *who, int fd);

#endif
