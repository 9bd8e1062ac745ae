/* tree.h: reaching the files of a tree without ever following a symlink out of it.
 *
 * tree_open, then tree_parent for a path: a descriptor of its directory, resolved beneath the root
 * through real directories only. The last directory is kept open, so paths in sorted order cost
 * one system call each.
 */
#ifndef CRABBOX_SYNC_TREE_H
#define CRABBOX_SYNC_TREE_H

#include "base/error.h"
#include "base/str.h"

struct tree {
    int root_fd; /* owned */
    int dir_fd;  /* owned; the directory of the last path, or -1 */
    char *dir;   /* owned; its name */
};

#define TREE_INIT                                                                                  \
    {                                                                                              \
        -1, -1, NULL                                                                               \
    }

int tree_open(struct tree *t, const char *root, struct error *err);
void tree_close(struct tree *t);

/* The directory of `path` (borrowed until the next call), with *base at its last component.
 * -1 with errno: ENOENT, ELOOP (a symlink on the way), EXDEV (out of the tree), … */
int tree_parent(struct tree *t, const char *path, const char **base);

/* Appends a regular file of at most `max` bytes, resolved beneath `dirfd`; waits for no FIFO. 1, 0
 * where nothing has that name, -1 (ERR_SYNC, with `shown` as the name of what `path` is seen from).
 */
int tree_read(int dirfd, const char *path, const char *shown, size_t max, struct strbuf *out,
              struct error *err);

#endif
