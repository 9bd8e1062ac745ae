#include "sync/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/str.h"

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

static int open_beneath(int root_fd, const char *dir)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, root_fd, dir, &how, sizeof how);
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
    t->dir_fd = open_beneath(t->root_fd, dir);
    if (t->dir_fd >= 0)
        t->dir = TAKE_PTR(dir);
    return t->dir_fd;
}
