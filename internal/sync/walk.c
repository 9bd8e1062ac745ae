/* walk.c: the files of a directory that is no repository. Repositories in it are listed by their
 * own rules (git.c): what they ignore is not sent. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "sync/list.h"
#include "sys/file.h"
#include "sys/worktree.h"

enum { DEPTH_MAX = 100 };

static int walk_dir(struct scan *s, int fd, struct strbuf *path, int depth, struct error *err);

/* Enters a subdirectory unless it is left out as a whole. */
static int walk_into(struct scan *s, int parent, const char *name, struct strbuf *path, int depth,
                     struct error *err)
{
    if (scan_leaves_out_all(s, path->buf))
        return 0;
    _cleanup_close_ int fd = scan_open_dir(s, parent, name);
    if (fd < 0 || depth >= DEPTH_MAX) {
        if (fd >= 0 || errno != ENOENT)
            scan_skip(s, path->buf);
        return 0;
    }
    int git = s->all || s->limits.no_git ? 0 : worktree_has_git(fd, NULL);
    if (git > 0)
        return scan_git_at(s, fd, path->buf, err);
    if (git < 0) { /* it can't be seen whether its own rules count, nor what is in it */
        scan_skip(s, path->buf);
        return 0;
    }
    size_t before = s->list->n_files;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_SYNC, errno, "look at %s", path->buf);
    if (walk_dir(s, TAKE_FD(fd), path, depth + 1, err) < 0)
        return -1;
    return s->list->n_files == before ? scan_add_dir(s, path->buf, st.st_mode, err) : 0;
}

static int walk_entry(struct scan *s, int fd, const char *name, struct strbuf *path, int depth,
                      struct error *err)
{
    struct stat st;
    if (str_eq(name, ".") || str_eq(name, "..") || (strcasecmp(name, ".git") == 0 && !s->all))
        return 0;
    size_t len = path->len;
    strbuf_addf(path, "%s%s", len ? "/" : "", name);
    int rc = 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode))
            rc = walk_into(s, fd, name, path, depth, err);
        else if (!scan_leaves_out(s, path->buf, false))
            rc = scan_add(s, path->buf, &st, err);
    }
    path->len = len;
    if (path->alloc)
        path->buf[len] = '\0';
    return rc;
}

/* Consumes fd. */
static int walk_dir(struct scan *s, int fd, struct strbuf *path, int depth, struct error *err)
{
    _cleanup_closedir_ DIR *dir = fdopendir(fd);
    if (!dir) {
        error_fill(err, ERR_SYNC, errno, "list %s", path->len ? path->buf : ".");
        CLOSE_FD(fd);
        return -1;
    }
    for (struct dirent *e; (e = dir_next(dir));)
        if (scan_stop(s, err) < 0 || walk_entry(s, dirfd(dir), e->d_name, path, depth, err) < 0)
            return -1;
    return errno ? error_set(err, ERR_SYNC, errno, "list %s", path->len ? path->buf : ".") : 0;
}

int scan_walk(struct scan *s, struct error *err)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    int fd = openat(s->tree.root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_SYNC, errno, "list %s", s->list->root);
    return walk_dir(s, fd, &path, 0, err);
}
