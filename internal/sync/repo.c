/* repo.c: from a directory to the git directory that its files belong to.
 *
 * repo_find goes up by descriptors until a directory has a .git (find_top), opens that (open_at),
 * and at the end asks whose it is (check_owner). A .git that is a directory is taken as it is. One
 * that is a file names another directory, and anybody may have written it. So follow_pointer first
 * compares the path in it, as text, with the two forms that git itself makes, and opens it only if
 * it has one of them. In a linked worktree (try_worktree) the directory must name our .git in turn.
 * A submodule (try_module) must lie in the modules/ of the repository around it. find_around looks
 * for that repository in the same way; it may be a submodule too, and SUPERS_MAX limits how often.
 */
#include "sync/repo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/reach.h"
#include "sync/repocheck.h"
#include "sync/tree.h"
#include "sys/beneath.h"
#include "sys/trusted.h"
#include "sys/worktree.h"

#define POINTER     "gitdir: "
#define POINTER_MAX (PATH_MAX + 64)

enum { SUPERS_MAX = 32 };

static int open_at(int top_fd, const char *top, const struct repo *around, unsigned depth,
                   struct repo *out, struct error *err);

void repo_free(struct repo *r)
{
    free(r->top);
    free(r->git_dir);
    CLOSE_FD(r->top_fd);
    CLOSE_FD(r->git_fd);
    CLOSE_FD(r->common_fd);
    *r = (struct repo)REPO_INIT;
}

static char *join(const char *dir, const char *name)
{
    return xasprintf("%s/%s", str_eq(dir, "/") ? "" : dir, name);
}

/* One line of a file of git's. 1, 0 where there is no such file, -1. */
static int read_line(int dirfd, const char *name, const char *shown, struct strbuf *out,
                     struct error *err)
{
    int r = tree_read(dirfd, name, shown, POINTER_MAX, out, err);
    while (out->len && (out->buf[out->len - 1] == '\n' || out->buf[out->len - 1] == '\r'))
        out->buf[--out->len] = '\0';
    return r;
}

/* ---- a directory above ---- */

/* Cuts the last component off. False at the root. */
static bool go_up(char *dir)
{
    char *slash = strrchr(dir, '/');
    if (!slash || !dir[1])
        return false;
    slash[slash == dir] = '\0';
    return true;
}

/* 1 where the directory has a .git of whatever kind, 0, -1. */
static int has_git(int fd, struct stat *git, struct error *err)
{
    int found = worktree_has_git(fd, git);
    int saved = errno;
    if (found >= 0)
        return found;
    _cleanup_free_ char *name = tree_name(fd);
    const char *dir = name ? name : "..";
    _cleanup_free_ char *dot_git = join(dir, ".git");
    if (saved == EACCES)
        return error_set(err, ERR_SYNC, saved, "look for %s; next: run it as the owner of %s",
                         dot_git, dir);
    return error_set(err, ERR_SYNC, saved, "look for %s; next: try again, or --no-sync", dot_git);
}

/* The nearest directory that has a .git, from `fd` upwards. By descriptors: what a path leads to
 * may have changed since. */
struct top {
    int fd;      /* owned; -1: there is none */
    bool inside; /* where it began lies in that .git */
};

static int find_top(int from, struct top *out, struct error *err)
{
    struct stat git, st;
    struct tree_id last = {0};
    _cleanup_close_ int at = openat(from, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int more = at < 0 ? -1 : 1;
    *out = (struct top){-1, false};
    while (more > 0) {
        int found = has_git(at, &git, err);
        if (found) {
            out->inside = found > 0 && tree_id_is(&last, &git);
            out->fd = found > 0 ? TAKE_FD(at) : -1;
            return found < 0 ? -1 : 0;
        }
        more = fstat(at, &st);
        last = tree_id_of(&st);
        more = more < 0 ? more : worktree_go_up(&at);
    }
    return more < 0 ? error_set(err, ERR_SYNC, errno, "look for a .git in the directories above")
                    : 0;
}

/* ---- .git as a file ---- */

static int stray(const char *dot_git, const char *target, const char *why, const char *next,
                 struct error *err)
{
    return error_set(err, ERR_SYNC, 0, "%s names the git directory %s, %s; next: %s", dot_git,
                     target, why, next);
}

/* What has the form of a git directory of ours could not be opened, with this errno. */
static int unreachable(const char *dot_git, const char *target, int sys, struct error *err)
{
    const char *why = sys == ENOENT || sys == ENOTDIR ? "which can't be found"
                      : sys == ELOOP                  ? "which is reached by a symbolic link"
                      : sys == EREMOTEIO ? "on a network or FUSE filesystem other than its own"
                      : sys == EREMOTE   ? "where the automounter has not mounted anything yet"
                                         : "which can't be opened";
    return stray(dot_git, target, why,
                 sys == EREMOTEIO
                     ? "put the worktree on the filesystem of its repository, or --no-sync"
                 : sys == EREMOTE
                     ? "cd there once if you trust the repository, or --no-sync"
                     : "git worktree repair in the repository that it belongs to" REPO_IF_TRUSTED,
                 err);
}

/* Whether the path leads to the directory, which it names: else it is not even looked at. */
static bool leads_to(const char *path, int fd)
{
    struct stat named, st;
    if (!path || stat(path, &named) < 0 || fstat(fd, &st) < 0)
        return false;
    const struct tree_id id = tree_id_of(&st);
    return tree_id_is(&id, &named);
}

/* A linked worktree: <common>/worktrees/<name>, which names our .git. 1, 0 if it is none, -1. What
 * the files say is compared as text, before anything is looked for: anybody may have written them.
 */
static int try_worktree(int top_fd, const char *top, const char *dot_git, const char *target,
                        struct repo *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf back = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf shared = STRBUF_INIT;
    _cleanup_free_ char *above = xstrdup(target);
    if (!go_up(above) || !str_has_suffix(above, "/worktrees") || !go_up(above))
        return 0;
    _cleanup_close_ int fd = reach_dir(target, top);
    if (fd < 0)
        return unreachable(dot_git, target, errno, err);
    int there = read_line(fd, "gitdir", target, &back, err);
    if (there <= 0)
        return there;
    char *slash = strrchr(back.buf, '/');
    if (!slash || !str_eq(slash, "/.git"))
        return 0;
    *slash = '\0';
    _cleanup_free_ char *named = reach_name(target, back.buf);
    if (!str_eq(named, top) || !leads_to(named, top_fd)) {
        _cleanup_free_ char *quoted = str_shell_quoted(top);
        _cleanup_free_ char *next = xasprintf("git -C %s worktree repair" REPO_IF_TRUSTED, quoted);
        return stray(dot_git, target, "which belongs to a worktree elsewhere", next, err);
    }
    if (read_line(fd, "commondir", target, &shared, err) < 0)
        return -1;
    _cleanup_free_ char *common = reach_name(target, shared.buf);
    _cleanup_close_ int common_fd = openat(fd, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!shared.len || !str_eq(above, common) || common_fd < 0 || !leads_to(common, common_fd))
        return stray(dot_git, target, "whose commondir is not the repository around it",
                     "remove the file, or --no-sync", err);
    out->common_fd = TAKE_FD(common_fd);
    out->git_fd = TAKE_FD(fd);
    out->kind = REPO_WORKTREE;
    return 1;
}

/* A submodule: beneath the modules/ of the repository around it. 1, 0 if it is none, -1. */
static int try_module(const char *dot_git, const char *target, const struct repo *around,
                      struct repo *out, struct error *err)
{
    _cleanup_free_ char *modules = around->top ? join(around->git_dir, "modules/") : NULL;
    if (!modules || !str_has_prefix(target, modules))
        return 0;
    const char *below = target + strlen(around->git_dir);
    out->kind = REPO_MODULE;
    out->git_fd = beneath_open(around->git_fd, below + (*below == '/'), O_PATH | O_DIRECTORY, 0);
    out->common_fd = out->git_fd < 0 ? -1 : fcntl(out->git_fd, F_DUPFD_CLOEXEC, 3);
    return out->common_fd < 0 ? unreachable(dot_git, target, errno, err) : 1;
}

/* The repository around `top`, where the caller does not know it. */
static int find_around(int top_fd, unsigned depth, struct repo *out, struct error *err)
{
    struct top found;
    _cleanup_close_ int above = tree_above(top_fd);
    if (above < 0 || find_top(above, &found, err) < 0)
        return above < 0 ? error_set(err, ERR_SYNC, errno, "open the directory above") : -1;
    _cleanup_close_ int fd = found.fd;
    _cleanup_free_ char *name = fd < 0 ? NULL : tree_name(fd);
    if (fd < 0)
        return 0;
    if (!name)
        return error_set(err, ERR_SYNC, errno, "find the name of the repository around");
    return open_at(fd, name, NULL, depth + 1, out, err);
}

static int follow_pointer(int top_fd, const char *top, const char *dot_git, const char *text,
                          const struct repo *around, unsigned depth, struct repo *out,
                          struct error *err)
{
    _cleanup_(repo_free) struct repo super = REPO_INIT;
    if (!str_has_prefix(text, POINTER))
        return error_set(
            err, ERR_SYNC, 0,
            "git does not accept %s: fatal: invalid gitfile format: it does not name a git "
            "directory; next: repair it if you trust the repository, or --no-git to copy all files "
            "as if it were not there, or --no-sync",
            dot_git);
    const char *to = text + strlen(POINTER);
    _cleanup_free_ char *target = reach_name(top, to);
    int r = try_worktree(top_fd, top, dot_git, target, out, err);
    if (r == 0 && !around && depth < SUPERS_MAX) {
        if (find_around(top_fd, depth, &super, err) < 0)
            return -1;
        around = &super;
    }
    if (r == 0 && around)
        r = try_module(dot_git, target, around, out, err);
    if (r < 0)
        return -1;
    if (r == 0)
        return stray(dot_git, target, "which belongs to neither a worktree nor a submodule here",
                     "move that directory to the place of the file, or --no-sync", err);
    out->git_dir = TAKE_PTR(target);
    return 0;
}

/* ---- .git ---- */

static int open_dot_git(int top_fd, const char *top, const char *dot_git, const struct repo *around,
                        unsigned depth, struct repo *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct stat st;
    _cleanup_close_ int fd = beneath_open(top_fd, ".git", O_PATH, 0);
    if (fd < 0 && errno == ELOOP)
        return error_set(
            err, ERR_SYNC, 0,
            "%s is a symbolic link, which is not followed; next: replace it with what it "
            "leads to, or --no-sync",
            dot_git);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_SYNC, errno, "open %s", dot_git);
    if (S_ISDIR(st.st_mode)) {
        out->git_dir = xstrdup(dot_git);
        out->common_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        out->git_fd = TAKE_FD(fd);
        return out->common_fd < 0 ? error_set(err, ERR_SYNC, errno, "open %s", dot_git) : 0;
    }
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_SYNC, 0,
                         "%s is neither a directory nor a file; next: remove it, or --no-sync",
                         dot_git);
    if (read_line(top_fd, ".git", top, &text, err) < 0)
        return -1;
    return follow_pointer(top_fd, top, dot_git, text.buf, around, depth, out, err);
}

static int open_at(int top_fd, const char *top, const struct repo *around, unsigned depth,
                   struct repo *out, struct error *err)
{
    _cleanup_(repo_free) struct repo r = REPO_INIT;
    _cleanup_free_ char *dot_git = join(top, ".git");
    if (open_dot_git(top_fd, top, dot_git, around, depth, &r, err) < 0)
        return -1;
    if (repo_check(&r, err) < 0)
        return -1;
    r.top_fd = fcntl(top_fd, F_DUPFD_CLOEXEC, 3);
    if (r.top_fd < 0)
        return error_set(err, ERR_SYNC, errno, "hold %s open", top);
    r.top = xstrdup(top);
    *out = r;
    r = (struct repo)REPO_INIT;
    return 0;
}

int repo_at(int top_fd, const char *top, const struct repo *around, struct repo *out,
            struct error *err)
{
    return open_at(top_fd, top, around, 0, out, err);
}

/* ---- whose it is ---- */

/* Anybody may have put a .git above the user's working directory: /tmp/.git, for example. */
static int check_owner(const struct repo *r, int dirfd, struct error *err)
{
    struct stat git, top, here;
    const struct trusted_who us = trusted_us();
    if (fstatat(r->top_fd, ".git", &git, AT_SYMLINK_NOFOLLOW) < 0 || fstat(r->top_fd, &top) < 0 ||
        fstat(dirfd, &here) < 0)
        return error_set(err, ERR_SYNC, errno, "look at %s/.git", r->top);
    const struct tree_id id = tree_id_of(&top);
    bool ours = trusted_owner(&us, git.st_uid);
    /* Whoever can write to a shared directory could make all of it the tree of whoever is below. */
    bool shared = (top.st_mode & S_IWOTH) || (!ours && top.st_uid != git.st_uid);
    if (tree_id_is(&id, &here) || (!shared && (ours || git.st_uid == here.st_uid)))
        return 0;
    _cleanup_free_ char *dot_git = join(r->top, ".git");
    _cleanup_free_ char *dir = tree_name(dirfd);
    _cleanup_free_ char *quoted = str_shell_quoted(r->top);
    return error_set(err, ERR_SYNC, 0,
                     "%s %s (uid %u); next: cd %s if that is the tree you mean, or git init in %s",
                     dot_git,
                     shared ? "is in a directory that others share" : "belongs to another user",
                     (unsigned)git.st_uid, quoted, dir ? dir : "this directory");
}

int repo_find(int dirfd, struct repo *out, struct error *err)
{
    _cleanup_(repo_free) struct repo r = REPO_INIT;
    struct top found;
    *out = (struct repo)REPO_INIT;
    if (find_top(dirfd, &found, err) < 0)
        return -1;
    _cleanup_close_ int fd = found.fd;
    if (fd < 0)
        return 0;
    _cleanup_free_ char *top = tree_name(fd);
    if (!top)
        return error_set(err, ERR_SYNC, errno, "find the working tree's name");
    if (found.inside) {
        _cleanup_free_ char *dir = tree_name(dirfd);
        _cleanup_free_ char *quoted = str_shell_quoted(top);
        return error_set(err, ERR_SYNC, 0,
                         "%s is inside a git directory, which is never sent; next: cd %s",
                         dir ? dir : "this directory", quoted);
    }
    if (open_at(fd, top, NULL, 0, &r, err) < 0 || check_owner(&r, dirfd, err) < 0)
        return -1;
    *out = r;
    r = (struct repo)REPO_INIT;
    return 0;
}
