#include "sync/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"

int tree_open(struct tree *t, const char *root, struct error *err)
{
    *t = (struct tree)TREE_INIT;
    t->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (t->root_fd < 0)
        return error_set(err, ERR_SYNC, errno, "open %s", root);
    return 0;
}

void tree_close(struct tree *t)
{
    CLOSE_FD(t->root_fd);
    CLOSE_FD(t->dir_fd);
    free(t->dir);
    t->dir = NULL;
}

int tree_parent(struct tree *t, const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    if (!slash)
        return t->root_fd;
    size_t len = (size_t)(slash - path);
    if (t->dir && strlen(t->dir) == len && memcmp(t->dir, path, len) == 0)
        return t->dir_fd;
    free(t->dir);
    t->dir = NULL;
    CLOSE_FD(t->dir_fd);
    _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, path);
    t->dir_fd = beneath_open(t->root_fd, dir, O_PATH | O_DIRECTORY, 0);
    if (t->dir_fd >= 0)
        t->dir = TAKE_PTR(dir);
    return t->dir_fd;
}
