#include "sync/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/file.h"
#include "sys/worktree.h"

enum { ABOVE_MAX = PATH_MAX }; /* directories: more than a path can name */

struct tree_id tree_id_of(const struct stat *st)
{
    return (struct tree_id){true, st->st_dev, st->st_ino};
}

bool tree_id_is(const struct tree_id *id, const struct stat *st)
{
    return id->set && id->dev == st->st_dev && id->ino == st->st_ino;
}

int tree_init(struct tree *t, int root_fd, const struct tree_id *never, bool git_too)
{
    *t = (struct tree)TREE_INIT;
    t->git_too = git_too;
    t->never = *never;
    t->root_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
    return t->root_fd < 0 ? -1 : 0;
}

static void drop(struct tree *t, size_t keep)
{
    for (; t->n_held > keep; t->n_held--)
        CLOSE_FD(t->held[t->n_held - 1].fd);
    t->dir.len = keep ? t->held[keep - 1].end : 0;
}

void tree_close(struct tree *t)
{
    drop(t, 0);
    CLOSE_FD(t->root_fd);
    strbuf_free(&t->dir);
}

char *tree_name(int fd)
{
    return fd_path(fd);
}

int tree_above(int fd)
{
    return openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int tree_is_within(int fd, const struct tree_id *id)
{
    struct stat st;
    struct tree_id last = {0};
    _cleanup_close_ int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    for (int i = 0; i < ABOVE_MAX; i++) {
        if (at < 0 || fstat(at, &st) < 0)
            return -1;
        if (tree_id_is(id, &st))
            return 1;
        if (tree_id_is(&last, &st))
            return 0;
        last = tree_id_of(&st);
        int above = tree_above(at);
        CLOSE_FD(at);
        at = above;
    }
    errno = ELOOP;
    return -1;
}

void tree_set_git(struct tree *t, int git_fd, int common_fd)
{
    const int fds[] = {git_fd, common_fd};
    struct stat st;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        t->git[i] = fstat(fds[i], &st) == 0 ? tree_id_of(&st) : (struct tree_id){0};
}

bool tree_is_closed(const struct tree *t, int parent, const struct stat *dir)
{
    struct stat git;
    if (tree_id_is(&t->never, dir))
        return true;
    if (t->git_too)
        return false;
    if (tree_id_is(&t->git[0], dir) || tree_id_is(&t->git[1], dir))
        return true;
    if (fstatat(parent, ".git", &git, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    const struct tree_id id = tree_id_of(&git);
    return tree_id_is(&id, dir);
}

bool tree_names_git(const char *name, size_t len)
{
    return (len == 4 && strncasecmp(name, ".git", len) == 0) ||
           (len == 5 && strncasecmp(name, "git~1", len) == 0);
}

/* One component further. */
static int enter(const struct tree *t, int at, const char *name, size_t len)
{
    char part[NAME_MAX + 1];
    struct stat st;
    if (str_format(part, sizeof part, "%.*s", (int)len, name) < 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    _cleanup_close_ int fd = beneath_open(at, part, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (tree_is_closed(t, at, &st)) {
        errno = ENOENT;
        return -1;
    }
    return TAKE_FD(fd);
}

/* How many of the directories held are on the way to the first `len` bytes of the path. */
static size_t shared(const struct tree *t, const char *path, size_t len)
{
    size_t n = 0;
    for (size_t done = 0; n < t->n_held; n++) {
        size_t end = t->held[n].end;
        if (end > len || (end < len && path[end] != '/') ||
            memcmp(t->dir.buf + done, path + done, end - done) != 0)
            break;
        done = end;
    }
    return n;
}

int tree_parent(struct tree *t, const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    size_t n = shared(t, path, len);
    size_t done = n ? t->held[n - 1].end : 0;
    int at = n ? t->held[n - 1].fd : t->root_fd;
    *base = slash ? slash + 1 : path;
    if (!slash || (n && done == len))
        return at;
    drop(t, n);
    while (done < len) {
        done += done != 0;
        size_t part = strcspn(path + done, "/");
        if (t->n_held == TREE_DEPTH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        at = enter(t, at, path + done, part);
        if (at < 0)
            return -1;
        done += part;
        t->held[t->n_held++] = (struct tree_level){at, done, GIT_NOT_ASKED, NAME_NOT_ASKED};
        strbuf_add(&t->dir, path + t->dir.len, done - t->dir.len);
    }
    return at;
}

size_t tree_find_git(struct tree *t, const char *path, size_t from)
{
    const char *slash = strrchr(path, '/');
    size_t n = shared(t, path, slash ? (size_t)(slash - path) : 0);
    for (size_t i = 0; i < n; i++) {
        struct tree_level *level = &t->held[i];
        if (level->end <= from)
            continue;
        if (level->git == GIT_NOT_ASKED)
            level->git = worktree_has_git(level->fd, NULL) != 0 ? GIT_IS_THERE : GIT_NONE;
        if (level->git == GIT_IS_THERE)
            return level->end;
    }
    return 0;
}

static bool lists(int dirfd, const char *name, size_t len)
{
    _cleanup_closedir_ DIR *dir = dir_reopen(dirfd);
    for (struct dirent *e; dir && (e = dir_next(dir));)
        if (strlen(e->d_name) == len && memcmp(e->d_name, name, len) == 0)
            return true;
    return false;
}

bool tree_is_so_named(struct tree *t, const char *path, size_t from)
{
    const char *slash = strrchr(path, '/');
    size_t n = shared(t, path, slash ? (size_t)(slash - path) : 0);
    size_t begin = 0;
    for (size_t i = 0; i < n; begin = t->held[i].end + 1, i++) {
        struct tree_level *level = &t->held[i];
        if (level->end < from)
            continue;
        if (level->name == NAME_NOT_ASKED)
            level->name = lists(i ? t->held[i - 1].fd : t->root_fd, path + begin,
                                level->end - begin)
                              ? NAME_IS_SO
                              : NAME_IS_OTHER;
        if (level->name == NAME_IS_OTHER)
            return false;
    }
    return true;
}

int tree_read(int dirfd, const char *path, const char *shown, size_t max, struct strbuf *out,
              struct error *err)
{
    struct error local = ERROR_INIT;
    struct stat st;
    _cleanup_free_ char *name = xasprintf("%s/%s", str_eq(shown, "/") ? "" : shown, path);
    _cleanup_close_ int fd = beneath_open_plain(dirfd, path, O_RDONLY, &st);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 && errno == ELOOP)
        return error_set(err, ERR_SYNC, 0,
                         "%s is reached by a symbolic link, which is not followed; next: replace "
                         "the link with a copy",
                         name);
    if (fd < 0)
        return error_set(err, ERR_SYNC, errno, "open %s", name);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_SYNC, 0, "%s is not a regular file; next: remove it", name);
    if (fd_read_all(fd, max, name, out, &local) < 0)
        return error_set(err, ERR_SYNC, 0, "%s; next: look at it, or --no-sync", local.msg);
    return 1;
}
