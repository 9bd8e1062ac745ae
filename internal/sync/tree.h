/* tree.h: reaches the files of a tree without ever following a symlink out of it.
 *
 * The tree is a descriptor of its root. It is opened once, before anything else is done with it.
 * The root's path and the directories above it may belong to another user and lead elsewhere at any
 * time, so a path is used only in messages.
 *
 * tree_init, then tree_parent for a path. It returns a descriptor of the path's directory, resolved
 * beneath the root through real directories only. None of these directories may be `never` or,
 * unless asked for, a .git in any spelling. The directories on the way to the last path are kept
 * open, so each path in sorted order costs a system call or two. tree_close at the end.
 */
#ifndef CRABBOX_SYNC_TREE_H
#define CRABBOX_SYNC_TREE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"

/* A directory, whatever it is called. */
struct tree_id {
    bool set;
    dev_t dev;
    ino_t ino;
};

struct tree_id tree_id_of(const struct stat *st);
/* False where the id is not set. */
bool tree_id_is(const struct tree_id *id, const struct stat *st);

enum { TREE_DEPTH_MAX = 128 }; /* directories in directories; each is open meanwhile */

struct tree {
    int root_fd;           /* owned */
    struct tree_id never;  /* this one is never entered */
    bool git_too;          /* a .git is entered like any other directory */
    struct tree_id git[2]; /* see tree_set_git */
    struct strbuf dir;     /* the last one that was walked to */
    struct tree_level {
        int fd;
        size_t end;                                              /* of its name in dir */
        enum { GIT_NOT_ASKED, GIT_NONE, GIT_IS_THERE } git;      /* see tree_find_git */
        enum { NAME_NOT_ASKED, NAME_IS_OTHER, NAME_IS_SO } name; /* see tree_is_so_named */
    } held[TREE_DEPTH_MAX];
    size_t n_held;
};

#define TREE_INIT                                                                                  \
    {                                                                                              \
        .root_fd = -1, .dir = STRBUF_INIT                                                          \
    }

/* `root_fd` is borrowed, and may be O_PATH. -1 with errno. */
int tree_init(struct tree *t, int root_fd, const struct tree_id *never, bool git_too);
void tree_close(struct tree *t);

/* From now on these count as .git, too: what the .git of the repository that is listed leads to may
 * lie in the tree under any name. */
void tree_set_git(struct tree *t, int git_fd, int common_fd);
/* Whether this directory in `parent` is never entered: `never`, or the .git there by another name,
 * such as a filesystem that ignores case or knows short names gives it. */
bool tree_is_closed(const struct tree *t, int parent, const struct stat *dir);
/* Whether the name, as git has it, is one that stands for .git somewhere. */
bool tree_names_git(const char *name, size_t len);

/* Where a directory is now: absolute, for messages and as a name; owned. NULL with errno. */
char *tree_name(int fd);
/* 1 where the directory or one above it has this id, 0, -1 with errno. */
int tree_is_within(int fd, const struct tree_id *id);
/* The directory above, O_PATH: at the top of the host the same one again. -1 with errno. */
int tree_above(int fd);

/* The directory of `path` (borrowed until the next call), with *base at its last component.
 * -1 with errno: ENOENT (also for what is never sent), ELOOP (a symlink on the way), EXDEV (out of
 * the tree), ENAMETOOLONG (too deep), … */
int tree_parent(struct tree *t, const char *path, const char **base);

/* After tree_parent of the same path, whether or not it has succeeded: how many bytes of the path
 * name the first directory on the way that has an entry .git; 0 where none has. Those named by the
 * first `from` bytes don't count. Each directory is looked at once while it is held. */
size_t tree_find_git(struct tree *t, const char *path, size_t from);

/* After tree_parent of the same path has succeeded: whether each directory on the way is listed
 * under this very name by the one around it. On a filesystem that ignores case or knows short
 * names, a file is found by names that no directory lists. Those named by the first `from` bytes
 * don't count. Each directory is asked for once while it is held. */
bool tree_is_so_named(struct tree *t, const char *path, size_t from);

/* Appends a regular file of at most `max` bytes, resolved beneath `dirfd`. 1, 0
 * where nothing has that name, -1 (ERR_SYNC, with `shown` as the name of what `path` is seen from).
 */
int tree_read(int dirfd, const char *path, const char *shown, size_t max, struct strbuf *out,
              struct error *err);

#endif
