/* beneath.h: the one way to open a path that a repository, a guest or an archive has chosen, or
 * that a user has typed and a repository may have prepared.
 *
 * Below the directory where it begins, a path is resolved by the kernel (openat2): no symlink is
 * followed on the way nor as the last component, "..", absolute paths and magic links of /proc lead
 * nowhere. What is opened can therefore not lie outside.
 *
 * Where a typed path begins, beneath_find decides. Up to the first directory on its way that is a
 * tree (it has an entry .git, or is the current directory, or the --dir of the run) the path is the
 * user's own and his links are followed; the rest lies in the tree, whose links may be anybody's.
 * Without a tree on the way it is the user's own up to its last component or the first one that is
 * missing. The program's descriptors (/dev/stdin, /dev/fd/N as the shell writes it for <(...)) are
 * the user's too.
 *
 * Whether a directory is a tree is for whoever owns it to change. So a link counts as the user's
 * own only if nobody but root, us and the sudo caller can have put it there, by the owner of the
 * link and by who may write in the directory that holds it (trusted.h). And what root reaches by a
 * link of the sudo caller's is a directory of the caller's, or the link is refused: with it the
 * caller's processes then gain nothing that they could not do themselves. A relative path begins at
 * the open current directory, and goes up from there by "..": no name of a directory above is
 * looked up, so it does not matter what is renamed.
 *
 *   beneath_find → beneath_open, beneath_mkdirs below its dirfd → beneath_close
 *   beneath_input, beneath_output: all of that for one file
 *
 * What is made is the sudo caller's where caller.h has it so. Functions with an `err` fill it:
 * ERR_USAGE for a link or a file of the wrong kind, ERR_IO for the rest. `what` is the option and
 * begins the message. The others set errno.
 */
#ifndef CRABBOX_SYS_BENEATH_H
#define CRABBOX_SYS_BENEATH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* As openat(2), with O_CLOEXEC added. `dirfd` is borrowed; the result is the caller's. -1 with
 * errno: ELOOP (a symlink), EXDEV (out of the directory), ENOSYS (a kernel before 5.6), and those
 * of openat. */
int beneath_open(int dirfd, const char *path, int flags, mode_t mode);

/* mkdir -p below dirfd: an O_PATH descriptor of the directory, or -1 with errno. `made` gets the
 * number of directories that were not there; may be NULL. On failure those are removed again. */
int beneath_mkdirs(int dirfd, const char *path, mode_t mode, unsigned *made);
/* Removes the last `n` components of the path as long as they are empty. */
void beneath_rmdirs(int dirfd, const char *path, unsigned n);

/* Where a typed path begins, and what is left of it there. */
struct beneath {
    int dirfd;           /* owned, O_PATH */
    char rest[PATH_MAX]; /* without "." and ".." inside; "." for the directory itself */
    bool in_tree;
    const char *what, *typed; /* borrowed */
};

/* `tree` is the directory of --dir, or NULL. */
int beneath_find(const char *what, const char *typed, const char *tree, struct beneath *out,
                 struct error *err);
void beneath_close(struct beneath *b);
/* Says why an open of b->rest or of something below it failed with this errno; names the link. */
int beneath_failed(const struct beneath *b, int sys, struct error *err);

/* Refuses a path that a link in a tree would lead on; for one that is opened elsewhere. What is
 * wrong with it otherwise, as that it is missing, is told there. */
int beneath_check(const char *what, const char *typed, struct error *err);

/* A file to read: a regular one, /dev/null, or one of the program's descriptors. `others` (may be
 * NULL) gets whether a repository or another user can have written what is in it. */
int beneath_input(const char *what, const char *typed, const char *tree, bool *others,
                  struct error *err);
/* A file to write from its beginning, made if need be in a directory that is there. What has other
 * names (hard links) is replaced, not written through. A FIFO that somebody reads will do, outside
 * of trees any device. */
int beneath_output(const char *what, const char *typed, const char *tree, struct error *err);

#endif
