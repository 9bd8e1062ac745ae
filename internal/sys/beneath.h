/* beneath.h: the only way to open a path that a repository, a guest or an archive has chosen, or
 * that a user has typed and a repository may have prepared.
 *
 * Below the directory where it begins, a path is resolved by the kernel (openat2). No symlink is
 * followed, on the way or as the last component, and "..", absolute paths and magic links of /proc
 * are refused. So nothing outside that directory can be opened.
 *
 * beneath_find decides where a typed path begins. One that begins with "~/" is refused: shells
 * leave it alone in --option=~/x, and a directory called "~" is made easily and removed
 * dangerously. So is "-", which is no stream here. No link on a relative path is followed: the
 * working directory is mostly in a tree, and how far up that reaches can't be seen if it is an
 * archive. An absolute path is the user's own up to the first directory that is a tree, and the
 * user's links on it are followed. A tree is a directory that has an entry .git, the current
 * directory, the directory of --dir, or the top of everything that may have come with code around
 * either (worktree.h). The rest of the path lies in the tree, where anybody may have made the
 * links. An absolute path that goes up again from a directory in a tree is treated like a relative
 * one, because relative paths of configuration flags are turned into such paths. If there is no
 * tree on it, an absolute path is the user's own up to its last component or the first one that is
 * missing. The program's descriptors (/dev/stdin, /dev/fd/N as the shell writes it for a process
 * substitution) are the user's too.
 *
 * The owner of a directory can make it a tree, or undo that, at any time. So a link counts as the
 * user's own only if no one but root, us and the sudo caller can have put it there, judged by the
 * owner of the link and by who may write in the directory that holds it (trusted.h). If root
 * follows a link of the sudo caller's, it has to lead to a directory of the caller's, or it is
 * refused: the caller's processes then gain nothing that they could not do themselves. A relative
 * path begins at the open current directory and goes up from there by "..": no name of a directory
 * above is looked up, so renaming one has no effect.
 *
 *   beneath_find → beneath_open, beneath_mkdirs below its dirfd → beneath_close
 *   beneath_input, beneath_output: all of that for one file
 *
 * New files belong to the sudo caller by the rules of caller.h. Functions with an `err` fill it:
 * ERR_USAGE for a link or a file of the wrong kind, ERR_IO for the rest. `what` is the option and
 * begins the message. The others set errno.
 */
#ifndef CRABBOX_SYS_BENEATH_H
#define CRABBOX_SYS_BENEATH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* As openat(2), with O_CLOEXEC added. `dirfd` is borrowed; the result is the caller's. -1 with
 * errno: ELOOP (a symlink), EXDEV (out of the directory), ENOSYS (a kernel before 5.6), and those
 * of openat. */
int beneath_open(int dirfd, const char *path, int flags, mode_t mode);

/* The same for a file that may lie in a tree, without O_CREAT. `st` gets its kind. Only a regular
 * file, a directory, /dev/null or, for O_WRONLY, a FIFO is opened. Anything else is only looked at,
 * and the descriptor is an O_PATH one: opening a device acts on it (a watchdog starts, a tape
 * rewinds), and an archive that root has unpacked may contain one. */
int beneath_open_plain(int dirfd, const char *path, int flags, struct stat *st);

/* The same for a file that a user owns, by an absolute path. All links are followed except the
 * magic links of /proc (ELOOP), which lead to files that we have open. Another user's file is
 * opened with that user's ids (caller.h). */
int beneath_open_own(const char *path, int flags, struct stat *st);

/* mkdir -p below dirfd: an O_PATH descriptor of the directory, or -1 with errno. `made` gets the
 * number of directories that were made; may be NULL. After an error these are removed again. */
int beneath_mkdirs(int dirfd, const char *path, mode_t mode, unsigned *made);
/* Removes the last `n` components of the path as long as they are empty. */
void beneath_rmdirs(int dirfd, const char *path, unsigned n);

/* Where a typed path begins, and the rest of the path from there. */
struct beneath {
    int dirfd;                /* owned, O_PATH */
    char rest[PATH_MAX];      /* without "." and ".."; just "." for the directory itself */
    bool in_tree;             /* the directory is in a tree, so anybody may have written its
                               * files */
    bool by_link;             /* found through a link that may have come with an archive, see
                               * below */
    const char *what, *typed; /* borrowed */
};

int beneath_find(const char *what, const char *typed, struct beneath *out, struct error *err);
/* A further check for a directory that is sent as a whole. If there is no tree on the path, the
 * user's links are followed, and the user also owns the links of an archive that the user unpacked.
 * ERR_USAGE if a link on the way lies where an archive may have been unpacked (worktree.h), because
 * it would choose what is sent. */
int beneath_check_sent(const struct beneath *b, struct error *err);
void beneath_close(struct beneath *b);
/* Reports why an open of b->rest or of something below it failed with this errno; names the link.
 */
int beneath_failed(const struct beneath *b, int sys, struct error *err);

/* Refuses a path that goes through a link in a tree. For a path that is opened elsewhere: other
 * errors, such as a missing file, are reported there. */
int beneath_check(const char *what, const char *typed, struct error *err);

/* Opens a file for reading: a regular one, /dev/null, or one of the program's descriptors. `others`
 * (may be NULL) gets whether a repository or another user may have written its content. */
int beneath_input(const char *what, const char *typed, bool *others, struct error *err);
/* Opens a file for writing from its beginning. It is made if necessary, but its directory has to
 * exist. A file with other names (hard links) is replaced, so the other names keep the old content.
 * A FIFO with a reader is accepted, and outside of trees any device. */
int beneath_output(const char *what, const char *typed, struct error *err);

#endif
