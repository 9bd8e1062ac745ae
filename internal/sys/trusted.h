/* trusted.h: checks that no other user could replace a file.
 *
 *   trusted_path  before a file or directory is relied on: judges every directory and link on the
 *                 way to it, and the file itself
 *   trusted_way   the same without the file itself, if that is checked more strictly or missing yet
 *   trusted_fd    once it is open: judges this very file, whatever its path leads to by now
 *
 * Root, the effective user and the user who called sudo or doas are trusted. Everything on the way
 * has to be owned by one of them and writable by no one else. A sticky directory (/tmp) may be
 * writable if it is on the way, not at its end, because users can't replace each other's files
 * there. A group may have write access if it is root's, or the owner's own with no other member;
 * members that a directory service (LDAP) does not enumerate are not seen. Links are followed step
 * by step: the directory that holds a link counts as much as the one that it leads to.
 *
 * In a user namespace that does not map the host's root, root's files look like those of any
 * unmapped user. They can't be told apart, so they are refused.
 *
 * Errors are ERR_TRUST: "the WHAT PATH can be replaced by user bob: /opt/x is owned by uid 1001
 * (bob); next: sudo chown root /opt/x". A missing file is not an error here: opening it will report
 * that.
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

/* Takes the values of SUDO_UID and DOAS_USER, or NULL. They count only for root, and not if they
 * name different users (caller.h). */
struct trusted_who trusted_who(const char *sudo_uid, const char *doas_user);
/* The same with this process's own environment. */
struct trusted_who trusted_us(void);

bool trusted_owner(const struct trusted_who *who, uid_t uid);

/* `what` is for the message: "VMM program". A relative path is judged from the working directory
 * on. `who` NULL: trusted_us(). */
int trusted_path(const struct trusted_who *who, const char *path, const char *what,
                 struct error *err);
int trusted_way(const struct trusted_who *who, const char *path, const char *what,
                struct error *err);

/* `path` is the name of `fd` in the message. Not for O_PATH descriptors. */
int trusted_fd(int fd, const char *path, const char *what, struct error *err);

/* Whether no other user can replace a name in this open directory, which may be O_PATH. */
bool trusted_dir(const struct trusted_who *who, int fd);

#endif
