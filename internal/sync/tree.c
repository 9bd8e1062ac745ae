#include "sync/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/file.h"

int tree_open(struct tree *t, const char *root, struct error *err)
{
    *t = (struct tree)TREE_INIT;
    /* A real path: a link in its place came later. */
    t->root_fd = open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

int tree_read(int dirfd, const char *path, const char *shown, size_t max, struct strbuf *out,
              struct error *err)
{
    struct error local = ERROR_INIT;
    struct stat st;
    _cleanup_free_ char *name = xasprintf("%s/%s", str_eq(shown, "/") ? "" : shown, path);
    _cleanup_close_ int fd = beneath_open(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 && errno == ELOOP)
        return error_set(err, ERR_SYNC, 0,
                         "%s is reached by a symbolic link, which is not followed; next: replace "
                         "the link by a copy",
                         name);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_SYNC, errno, "open %s", name);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_SYNC, 0, "%s is not a regular file; next: remove it", name);
    if (fd_read_all(fd, max, name, out, &local) < 0)
        return error_set(err, ERR_SYNC, 0, "%s; next: look at it, or --no-sync", local.msg);
    return 1;
}
