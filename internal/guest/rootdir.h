/* rootdir.h: files below a root directory that may hold any symbolic link.
 *
 * `root` is a descriptor of the guest's root (in the guest: of "/"; in tests and in the
 * stand-in: of a directory). Paths are absolute and are resolved as if `root` were "/",
 * by openat2(RESOLVE_IN_ROOT): a link in an image can't lead a write out of the root.
 *
 * Errors are ERR_IO and name the path. Descriptors that are returned are the caller's.
 */
#ifndef CRABBOX_GUEST_ROOTDIR_H
#define CRABBOX_GUEST_ROOTDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

struct owner {
    uid_t uid;
    gid_t gid;
};

#define OWNER_ROOT ((struct owner){0, 0})

/* open(2) below the root, O_CLOEXEC added; -1 with errno, no message. */
int root_open(int root, const char *path, int flags, mode_t mode);

bool root_exists(int root, const char *path);

/* Makes the directory and its missing parents (those: root's, 0755). Where the directory is
 * there already, mode and owner are set all the same. */
int root_mkdir(int root, const char *path, mode_t mode, struct owner owner, struct error *err);

/* Replaces the file (a symbolic link too) by a new one; parents are made as needed. */
int root_write(int root, const char *path, const void *data, size_t len, mode_t mode,
               struct owner owner, struct error *err);

/* Appends the text of a file of at most `cap` bytes; an absent one counts as empty. */
int root_read(int root, const char *path, size_t cap, struct strbuf *out, struct error *err);

#endif
