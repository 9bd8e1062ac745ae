/* repo.h: finds where a repository begins and where git keeps its index. It does not use git, and
 * obeys nothing that the repository configures.
 *
 * repo_find walks up from a directory to the first `.git`. repo_at opens the one in a given
 * directory, for a submodule. Call repo_free at the end.
 *
 * A `.git` is accepted only if it can't lead to another user's files. It may be a directory. It may
 * be a file that names the gitdir of a linked worktree which points back to this file, or a
 * directory beneath the modules/ of the repository around it. Anything else called `.git` is an
 * error (ERR_SYNC), and so is what git would not take for a repository (repocheck.h). The tree is
 * never treated as a plain directory instead, because then ignored files would be sent.
 */
#ifndef CRABBOX_SYNC_REPO_H
#define CRABBOX_SYNC_REPO_H

#include "base/error.h"
#include "base/str.h"

struct repo {
    char *top; /* path of the directory that has .git, as it is now; owned; NULL: there is none */
    char *git_dir; /* path of what .git is or names; owned */
    int top_fd;    /* of top (O_PATH); owned */
    int git_fd;    /* of git_dir (O_PATH); owned */
    int common_fd; /* of what all its worktrees share; owned */
    enum {
        REPO_PLAIN,
        REPO_WORKTREE, /* .git is a file that names one of these */
        REPO_MODULE,
    } kind;
    size_t config_bytes; /* of its configuration, that were read */
};

#define REPO_INIT                                                                                  \
    {                                                                                              \
        NULL, NULL, -1, -1, -1, REPO_PLAIN, 0                                                      \
    }

/* Ends every advice to run git in a tree, because git obeys the tree's configuration there, and
 * that can name programs. */
#define REPO_IF_TRUSTED " if you trust the repository, else --no-sync"

/* `dirfd` is borrowed. Finding nothing is a success with top NULL. */
int repo_find(int dirfd, struct repo *out, struct error *err);
/* The repository at top_fd (borrowed; it has a .git, and `top` is its path), which is a submodule
 * of `around`. */
int repo_at(int top_fd, const char *top, const struct repo *around, struct repo *out,
            struct error *err);
void repo_free(struct repo *r);

#endif
