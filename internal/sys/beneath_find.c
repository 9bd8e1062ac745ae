/* beneath_find.c: where a path that somebody typed begins to be a repository's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/caller.h"

enum { LINKS_MAX = 40 }; /* as the kernel follows them */

/* The walk down the part that is the user's own. */
struct walk {
    struct beneath *b;
    char path[PATH_MAX]; /* absolute, without "." and ".."; a link's target replaces the link */
    size_t done;         /* of path: what b->dirfd stands for, which has no links in it */
    unsigned links;
    struct stat cwd, tree; /* st_nlink 0: none */
};

/* Adds the components of `path` to `out`, which is absolute; ".." takes the last one off. */
static int add_path(char out[static PATH_MAX], const char *path)
{
    size_t used = strlen(out);
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) {
            while (used > 0 && out[--used] != '/')
                ;
            out[used] = '\0';
        } else if (len && !(len == 1 && *path == '.')) {
            if (str_format(out + used, PATH_MAX - used, "/%.*s", (int)len, path) < 0)
                return -1;
            used += len + 1;
        }
        path += len;
        path += *path == '/';
    }
    return 0;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_nlink && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The root of the host is nobody's tree, also for who stands in it. */
static bool is_tree(const struct walk *w)
{
    struct stat st;
    if (fstatat(w->b->dirfd, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return w->done && fstat(w->b->dirfd, &st) == 0 && (same(&w->cwd, &st) || same(&w->tree, &st));
}

/* As the kernel's protected_symlinks has it: a link in a directory such as /tmp counts only if it
 * is ours, the sudo caller's or the directory owner's. */
static bool may_follow(int dirfd, const struct stat *link)
{
    struct stat dir;
    struct caller c;
    if (fstat(dirfd, &dir) < 0)
        return false;
    if (!(dir.st_mode & S_ISVTX) || !(dir.st_mode & S_IWOTH))
        return true;
    return link->st_uid == geteuid() || link->st_uid == dir.st_uid ||
           (caller_get(&c) && link->st_uid == c.uid);
}

static int fail(const struct walk *w, int sys, struct error *err)
{
    return error_set(err, ERR_IO, sys, "%s: open %s", w->b->what, w->b->typed);
}

static int to_top(struct walk *w, struct error *err)
{
    CLOSE_FD(w->b->dirfd);
    w->done = 0;
    w->b->dirfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return w->b->dirfd < 0 ? fail(w, errno, err) : 0;
}

/* Puts the link's target in the place of the link and begins again: the target may lie in a tree
 * whose root we did not come by. */
static int follow(struct walk *w, int link_fd, const struct stat *st, size_t end, struct error *err)
{
    char target[PATH_MAX], whole[PATH_MAX] = "";
    if (!may_follow(w->b->dirfd, st))
        return error_set(err, ERR_USAGE, 0,
                         "%s %s: %.*s is a symbolic link of another user (uid %u) in a directory "
                         "where everybody can write; next: name the real path",
                         w->b->what, w->b->typed, (int)end, w->path, (unsigned)st->st_uid);
    ssize_t n = readlinkat(link_fd, "", target, sizeof target - 1);
    if (n < 0 || ++w->links > LINKS_MAX)
        return fail(w, n < 0 ? errno : ELOOP, err);
    target[n] = '\0';
    if (*target != '/')
        (void)str_format(whole, sizeof whole, "%.*s", (int)w->done, w->path);
    if (add_path(whole, target) < 0 || add_path(whole, w->path + end) < 0)
        return fail(w, ENAMETOOLONG, err);
    memcpy(w->path, whole, sizeof whole);
    return to_top(w, err);
}

/* One component further. 1: gone on; 0: the rest begins here. */
static int step(struct walk *w, struct error *err)
{
    char name[NAME_MAX + 1];
    struct stat st;
    const char *at = w->path + w->done + 1;
    size_t end = w->done + 1 + strcspn(at, "/");
    if (str_format(name, sizeof name, "%.*s", (int)(w->path + end - at), at) < 0)
        return fail(w, ENAMETOOLONG, err);
    _cleanup_close_ int fd = openat(w->b->dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(w, errno, err);
    if (S_ISLNK(st.st_mode))
        return follow(w, fd, &st, end, err) < 0 ? -1 : 1;
    if (!S_ISDIR(st.st_mode))
        return 0;
    CLOSE_FD(w->b->dirfd);
    w->b->dirfd = TAKE_FD(fd);
    w->done = end;
    return 1;
}

static int begin(struct walk *w, const char *tree, struct error *err)
{
    _cleanup_free_ char *cwd = *w->b->typed == '/' ? xstrdup("/") : getcwd(NULL, 0);
    if (!cwd)
        return error_set(err, ERR_IO, errno, "%s: find the current directory", w->b->what);
    if (add_path(w->path, cwd) < 0 || add_path(w->path, w->b->typed) < 0)
        return fail(w, ENAMETOOLONG, err);
    if (stat(".", &w->cwd) < 0)
        w->cwd.st_nlink = 0;
    if (!tree || stat(tree, &w->tree) < 0)
        w->tree.st_nlink = 0;
    return to_top(w, err);
}

int beneath_find(const char *what, const char *typed, const char *tree, struct beneath *out,
                 struct error *err)
{
    struct walk w = {.b = out};
    int r = 1;
    *out = (struct beneath){.dirfd = -1, .what = what, .typed = typed};
    if (!*typed)
        return error_set(err, ERR_USAGE, 0, "%s: the path is empty", what);
    if (begin(&w, tree, err) < 0)
        r = -1;
    while (r > 0) {
        out->in_tree = is_tree(&w);
        r = out->in_tree || !w.path[w.done] ? 0 : step(&w, err);
    }
    if (r < 0) {
        beneath_close(out);
        return -1;
    }
    const char *rest = w.path + w.done + (w.path[w.done] == '/');
    return str_copy(out->rest, sizeof out->rest, *rest ? rest : ".");
}

void beneath_close(struct beneath *b)
{
    CLOSE_FD(b->dirfd);
}

/* Length of the part of b->rest that ends with the first symlink; 0: there is none. */
static size_t find_link(const struct beneath *b)
{
    _cleanup_free_ char *copy = xstrdup(b->rest);
    for (size_t end = 0;; end++) {
        struct stat st;
        end += strcspn(copy + end, "/");
        char saved = copy[end];
        copy[end] = '\0';
        const char *slash = strrchr(copy, '/');
        _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - copy), copy)
                                         : xstrdup(".");
        _cleanup_close_ int fd = beneath_open(b->dirfd, dir, O_PATH | O_DIRECTORY, 0);
        if (fd < 0 || fstatat(fd, slash ? slash + 1 : copy, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return 0;
        if (S_ISLNK(st.st_mode))
            return end;
        if (!saved)
            return 0;
        copy[end] = saved;
    }
}

int beneath_failed(const struct beneath *b, int sys, struct error *err)
{
    size_t link = sys == ELOOP || sys == ENOTDIR || sys == EXDEV ? find_link(b) : 0;
    if (link)
        return error_set(err, ERR_USAGE, 0,
                         "%s %s: %.*s is a symbolic link in the working tree, and such a link may "
                         "lead anywhere; next: name the real path",
                         b->what, b->typed, (int)link, b->rest);
    return error_set(err, ERR_IO, sys, "%s: open %s", b->what, b->typed);
}
