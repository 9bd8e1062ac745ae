/* beneath_find.c: finds where a typed path stops being the user's own and enters a tree.
 *
 * The path is walked one component at a time. At every directory, is_tree asks whether a tree
 * begins there. If so, the walk ends, and everything below that directory is opened without
 * following links. If a component is a link of the user's own, its target is put in front of the
 * rest of the path, and the walk begins again at the root or at the link's directory. ".." is
 * resolved before the walk, in the text; if it would follow a link, the path is refused, because it
 * then leads to another place than the text suggests. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "sys/beneath.h"
#include "sys/trusted.h"
#include "sys/worktree.h"

enum { LINKS_MAX = 40 }; /* as the kernel follows them */

/* The walk down the part that is the user's own. */
struct walk {
    struct beneath *b;
    char path[PATH_MAX]; /* from where the walk began: "" or "/a/b", without "." and ".." */
    size_t done;         /* length of the part of `path` that b->dirfd has open; no links in it */
    unsigned links;
    bool relative;          /* it did not begin at "/" */
    bool inside;            /* it began in a tree */
    bool no_links;          /* no link counts as the user's own */
    uid_t sudo;             /* user whose links root does not follow; root's own id if there is
                             * none */
    struct trusted_who who; /* whose links count */
    /* st_nlink 0: none. `tree` is the directory of --dir. `top` and `tree_top` are the tops of
     * everything that may have come with the code around `cwd` and around `tree`. */
    struct stat root, cwd, top, tree, tree_top;
};

/* Whether the path joined so far ends with a link. If so, a ".." after it leads to another place
 * than the text suggests. */
static bool ends_with_link(int dirfd, const char *path, unsigned ups)
{
    _cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
    struct stat st;
    while (ups-- > 0)
        strbuf_adds(&name, "../");
    strbuf_adds(&name, path + 1);
    return fstatat(dirfd, name.buf, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* The components of `path`, which is seen from dirfd, joined anew in `out`. `ups` gets the number
 * of leading "..". -1 with errno: ENAMETOOLONG, or ELOOP for ".." behind the link that `out` is. */
static int normalise(int dirfd, const char *path, char out[static PATH_MAX], unsigned *ups)
{
    size_t used = 0;
    *ups = 0;
    *out = '\0';
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) {
            if (used && ends_with_link(dirfd, out, *ups)) {
                errno = ELOOP;
                return -1;
            }
            *ups += used == 0;
            while (used > 0 && out[--used] != '/')
                ;
            out[used] = '\0';
        } else if (len && !(len == 1 && *path == '.')) {
            if (str_format(out + used, PATH_MAX - used, "/%.*s", (int)len, path) < 0) {
                errno = ENAMETOOLONG;
                return -1;
            }
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

static void look(const char *path, struct stat *st)
{
    if (!path || stat(path, st) < 0)
        st->st_nlink = 0;
}

/* The root of the host is never a tree, even if it is the working directory. */
static bool is_tree(const struct walk *w, int dirfd)
{
    struct stat st;
    if (worktree_has_git(dirfd, NULL) != 0)
        return true;
    return fstat(dirfd, &st) == 0 && !same(&w->root, &st) &&
           (same(&w->cwd, &st) || same(&w->top, &st) || same(&w->tree, &st) ||
            same(&w->tree_top, &st));
}

static int fail(const struct walk *w, int sys, struct error *err)
{
    return error_set(err, ERR_IO, sys, "%s: open %s", w->b->what, w->b->typed);
}

/* Enters a directory; `name` is one component that is no link, or "..". */
static int enter(struct walk *w, const char *name)
{
    int fd = openat(w->b->dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    CLOSE_FD(w->b->dirfd);
    w->b->dirfd = fd;
    return 0;
}

/* Whether this directory or one above it is a tree, or can't be looked at. */
static bool is_below_tree(const struct walk *w, int dirfd)
{
    _cleanup_close_ int fd = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int more = fd < 0 ? -1 : 1;
    for (; more > 0; more = worktree_go_up(&fd))
        if (is_tree(w, fd))
            return true;
    return more < 0;
}

static int refuse_up(const struct walk *w, struct error *err)
{
    return error_set(err, ERR_USAGE, 0,
                     "%s %s: \"..\" follows the symbolic link %s; next: name the real path",
                     w->b->what, w->b->typed, w->path + w->relative);
}

/* Begins, or begins again, at the directory `fd`, and takes ownership of it. Directories above are
 * found by the kernel's "..", not by name, because another directory may have that name by now. */
static int start(struct walk *w, int fd, const char *path, struct error *err)
{
    unsigned ups;
    CLOSE_FD(w->b->dirfd);
    w->b->dirfd = fd;
    w->done = 0;
    if (fd < 0)
        return fail(w, errno, err);
    w->relative = *path != '/';
    if (normalise(fd, path, w->path, &ups) < 0)
        return errno == ELOOP ? refuse_up(w, err) : fail(w, errno, err);
    if (!w->relative || (!ups && w->links))
        return 0;
    while (ups-- > 0)
        if (enter(w, "..") < 0)
            return fail(w, errno, err);
    w->inside = is_below_tree(w, w->b->dirfd);
    return 0;
}

/* ---- links ---- */

static int refuse(const struct walk *w, size_t end, const char *why, uid_t uid, struct error *err)
{
    size_t skip = w->relative;
    return error_set(
        err, ERR_USAGE, 0, "%s %s: %.*s is a symbolic link %s (uid %u); next: name the real path",
        w->b->what, w->b->typed, (int)(end - skip), w->path + skip, why, (unsigned)uid);
}

/* Refuses a link that another user may have made or can replace. Under sudo, root does not follow
 * links of the caller either: even a directory that belongs to a user can have files with which
 * root can do more than that user, such as /proc/PID/uid_map. */
static int check_link(const struct walk *w, const struct stat *st, size_t end, struct error *err)
{
    struct stat dir;
    if (fstat(w->b->dirfd, &dir) < 0)
        return fail(w, errno, err);
    if (w->sudo != 0 && (st->st_uid == w->sudo || dir.st_uid == w->sudo))
        return refuse(w, end, "of the user who called sudo, which root does not follow", w->sudo,
                      err);
    if (!trusted_owner(&w->who, st->st_uid))
        return refuse(w, end, "of another user", st->st_uid, err);
    if (!trusted_owner(&w->who, dir.st_uid))
        return refuse(w, end, "in a directory of another user", dir.st_uid, err);
    if (!trusted_dir(&w->who, w->b->dirfd))
        return refuse(w, end, "in a directory that others can write to", dir.st_uid, err);
    return 0;
}

/* Follows a link: its target, and then the rest of the path. */
static int follow(struct walk *w, int link_fd, const struct stat *st, size_t end, struct error *err)
{
    char target[PATH_MAX], dir[64], top[PATH_MAX];
    if (check_link(w, st, end, err) < 0)
        return -1;
    (void)str_format(dir, sizeof dir, "/proc/self/fd/%d", w->b->dirfd);
    w->b->by_link = w->b->by_link || worktree_around(dir, top) < 0 || *top;
    ssize_t n = readlinkat(link_fd, "", target, sizeof target - 1);
    if (n < 0 || ++w->links > LINKS_MAX)
        return fail(w, n < 0 ? errno : ELOOP, err);
    target[n] = '\0';
    _cleanup_free_ char *path = xasprintf("%s%s", target, w->path + end);
    int fd = *target == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
                            : openat(w->b->dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return start(w, fd, path, err);
}

/* ---- the walk ---- */

/* Takes one more component. 1: go on; 0: the rest begins here. */
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
    if (S_ISLNK(st.st_mode) && w->no_links)
        return 0; /* and the open will refuse it */
    if (S_ISLNK(st.st_mode))
        return follow(w, fd, &st, end, err) < 0 ? -1 : 1;
    if (!S_ISDIR(st.st_mode))
        return 0;
    CLOSE_FD(w->b->dirfd);
    w->b->dirfd = TAKE_FD(fd);
    w->done = end;
    return 1;
}

/* Whether the absolute path goes up by ".." from a directory that is in a tree or can't be looked
 * at. Such a path is the working directory with a relative path of a configuration flag after it,
 * or $PWD/.. for example. */
static bool leaves_tree(const struct walk *w, const char *path)
{
    for (const char *up = path; (up = strstr(up, "/..")); up += 3) {
        if (up[3] && up[3] != '/')
            continue;
        _cleanup_free_ char *dir = xasprintf("%.*s/", (int)(up - path), path);
        _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || is_below_tree(w, fd))
            return true;
    }
    return false;
}

static int begin(struct walk *w, struct error *err)
{
    const char *tree = worktree_dir();
    const char *typed = w->b->typed;
    const char *from = *typed == '/' ? "/" : ".";
    _cleanup_close_ int top = worktree_open_around(".", NULL);
    if (top < 0 && errno)
        return fail(w, errno, err);
    _cleanup_close_ int tree_top = tree ? worktree_open_around(tree, NULL) : -1;
    if (tree && tree_top < 0 && errno)
        return fail(w, errno, err);
    w->who = trusted_us();
    w->sudo = w->who.self == 0 ? w->who.sudo : 0;
    look("/", &w->root);
    look(".", &w->cwd);
    look(tree, &w->tree);
    if (top < 0 || fstat(top, &w->top) < 0)
        w->top.st_nlink = 0;
    if (tree_top < 0 || fstat(tree_top, &w->tree_top) < 0)
        w->tree_top.st_nlink = 0;
    w->no_links = *typed != '/' || leaves_tree(w, typed);
    return start(w, open(from, O_PATH | O_DIRECTORY | O_CLOEXEC), typed, err);
}

int beneath_find(const char *what, const char *typed, struct beneath *out, struct error *err)
{
    struct walk w = {.b = out};
    int r = 1;
    *out = (struct beneath){.dirfd = -1, .what = what, .typed = typed};
    if (!*typed)
        return error_set(err, ERR_USAGE, 0, "%s: the path is empty", what);
    if (str_eq(typed, "-"))
        return error_set(
            err, ERR_USAGE, 0,
            "%s: \"-\" stands for no stream; next: write /dev/stdin or /dev/stdout, or "
            "./- for a file called -",
            what);
    if (*typed == '~' && (!typed[1] || typed[1] == '/'))
        return error_set(
            err, ERR_USAGE, 0,
            "%s: the shell has left the ~ of \"%s\" as it is; next: write $HOME in its "
            "place, or ./%s for a directory called ~",
            what, typed, typed);
    if (begin(&w, err) < 0)
        r = -1;
    while (r > 0) {
        out->in_tree = w.inside || is_tree(&w, out->dirfd);
        r = out->in_tree || !w.path[w.done] ? 0 : step(&w, err);
    }
    if (r < 0) {
        beneath_close(out);
        return -1;
    }
    const char *rest = w.path + w.done + (w.path[w.done] == '/');
    return str_copy(out->rest, sizeof out->rest, *rest ? rest : ".");
}

int beneath_check_sent(const struct beneath *b, struct error *err)
{
    if (!b->by_link)
        return 0;
    return error_set(err, ERR_USAGE, 0,
                     "%s %s: a symbolic link on the way may have come with an archive, and would "
                     "choose what is sent; next: name the real path",
                     b->what, b->typed);
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

/* Reads where the link leads, only to show it. The first `len` bytes of b->rest are its name. */
static void read_link(const struct beneath *b, size_t len, char target[static PATH_MAX])
{
    _cleanup_free_ char *path = xasprintf("%.*s", (int)len, b->rest);
    _cleanup_close_ int fd = openat(b->dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, PATH_MAX - 1);
    target[n < 0 ? 0 : n] = '\0';
}

int beneath_failed(const struct beneath *b, int sys, struct error *err)
{
    size_t link = sys == ELOOP || sys == ENOTDIR || sys == EXDEV ? find_link(b) : 0;
    char target[PATH_MAX];
    if (!link)
        return error_set(err, ERR_IO, sys, "%s: open %s", b->what, b->typed);
    read_link(b, link, target);
    return error_set(err, ERR_USAGE, 0,
                     "%s %s: %.*s is a symbolic link%s, and such a link may lead anywhere (this "
                     "one to %s); next: name the real path",
                     b->what, b->typed, (int)link, b->rest,
                     b->in_tree ? " in the working tree" : "", SHOWN(target));
}
