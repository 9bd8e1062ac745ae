/* program.h: finds the file of a program by its name, with the same rule for all programs.
 *
 * An entry of PATH counts only if it is absolute and does not lead, through any link, into anything
 * that may have come with code around the working directory or that of --dir (worktree.h). That is
 * the repository or, without one, every directory up to the user's home in which an archive may
 * have been unpacked. Other entries are ignored, and so is a file that leads there.
 *
 *   program_find    the file, and what was passed over on the way to it
 *   program_locate  the same for a program to be started: no other user may be able to replace it
 *                   (trusted.h)
 */
#ifndef CRABBOX_SYS_PROGRAM_H
#define CRABBOX_SYS_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

#define PROGRAM_PATH "/usr/sbin:/usr/bin:/sbin:/bin" /* if there is no PATH */
/* The same with the directories for the administrator's own programs; for plugins. */
#define PROGRAM_PATH_LOCAL "/usr/local/sbin:/usr/local/bin:" PROGRAM_PATH

struct program {
    char path[PATH_MAX];   /* "" if there is none; a name with a slash as it is */
    char passed[PATH_MAX]; /* the first file that was ignored, or "" */
    bool lost;             /* it can't be found out what came with code, so only PROGRAM_PATH
                            * counted */
};

/* False if there is no such program. `path` is a value of PATH, NULL for PROGRAM_PATH. A name with
 * a slash is not searched for. `tree` as below. */
bool program_find(const char *name, const char *path, const char *cwd, const char *tree,
                  struct program *out);

/* Uses this process's own PATH and working directory; `what` as in trusted.h. Files that lead
 * through the directory `tree` (its real path; may be NULL) are ignored as well. ERR_ENV if there
 * is none, ERR_TRUST if another user could replace it. */
int program_locate(const char *name, const char *what, const char *tree, char out[static PATH_MAX],
                   struct error *err);

#endif
