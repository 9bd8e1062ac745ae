/* worktree.c: goes up from a directory, or along a path, and looks for trees.
 *
 * Going up (find_top) finds the highest directory that may have come with code. It ends at the
 * first directory that belongs to the user for certain (is_users). Without a .git, every directory
 * on the way counts, except those that users share; as soon as there is a .git, only directories
 * with a .git count.
 *
 * Going along a path (worktree_leads_through_top, worktree_on_way, worktree_look) compares each
 * directory by its inode with the tops, because a directory may have several names.
 */
#include "sys/worktree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/pathwalk.h"
#include "sys/program.h"
#include "sys/trusted.h"

enum { HOMES = 2 };

/* ---- directories that are never a tree ---- */

struct homes {
    char of[HOMES][PATH_MAX]; /* real paths; "": none */
};

static void find_homes(struct homes *h)
{
    const struct trusted_who who = trusted_us();
    const uid_t uids[HOMES] = {who.self, who.sudo};
    for (size_t i = 0; i < HOMES; i++) {
        _cleanup_free_ char *home = caller_home_of(uids[i]);
        if (!home || !realpath(home, h->of[i]))
            h->of[i][0] = '\0';
    }
}

static bool is_users(const struct homes *h, const char *dir)
{
    char programs[] = PROGRAM_PATH_LOCAL;
    bool holds = false;
    for (char *rest = programs, *d; (d = strsep(&rest, ":"));)
        holds = holds || path_is_below(d, dir);
    for (size_t i = 0; i < HOMES; i++)
        holds = holds || (*h->of[i] && path_is_below(h->of[i], dir));
    return holds;
}

/* Directories that users share, by the Filesystem Hierarchy Standard. */
static bool is_shared(const char *dir)
{
    static const char *const dirs[] = {"/dev/shm", "/home", "/media", "/mnt",     "/opt",    "/run",
                                       "/srv",     "/tmp",  "/var",   "/var/lib", "/var/tmp"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (str_eq(dir, dirs[i]))
            return true;
    return false;
}

/* ---- upwards ---- */

int worktree_has_git(int dirfd, struct stat *git)
{
    struct stat st;
    if (fstatat(dirfd, ".git", git ? git : &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
}

int worktree_go_up(int *dirfd)
{
    struct stat here, above;
    _cleanup_close_ int up = openat(*dirfd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (up < 0 || fstat(*dirfd, &here) < 0 || fstat(up, &above) < 0)
        return -1;
    if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
        return 0;
    CLOSE_FD(*dirfd);
    *dirfd = TAKE_FD(up);
    return 1;
}

/* Replaces *kept by a duplicate of `fd`. */
static int keep(int fd, int *kept)
{
    CLOSE_FD(*kept);
    *kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *kept < 0 ? -1 : 0;
}

/* Goes up from *at. *top gets the highest directory that counts, if there is one. */
static int find_top(int *at, int *top)
{
    struct homes homes;
    bool git_seen = false, first = true;
    int more = 1;
    find_homes(&homes);
    for (; more > 0; more = worktree_go_up(at), first = false) {
        _cleanup_free_ char *name = fd_path(*at);
        if (!name)
            return -1;
        if (is_users(&homes, name))
            return 0;
        bool git = worktree_has_git(*at, NULL) != 0;
        if ((git || (!git_seen && (first || !is_shared(name)))) && keep(*at, top) < 0)
            return -1;
        git_seen = git_seen || git;
    }
    return more;
}

/* The path of an open directory. A removed one has no path, because another may have its name by
 * now. */
static int path_of(int fd, char out[static PATH_MAX])
{
    struct stat st;
    _cleanup_free_ char *path = fd_path(fd);
    if (!path || fstat(fd, &st) < 0)
        return -1;
    errno = st.st_nlink ? ENAMETOOLONG : ENOENT;
    return st.st_nlink ? str_copy(out, PATH_MAX, path) : -1;
}

int worktree_open_around(const char *cwd, char *out)
{
    char own[PATH_MAX];
    char *path = out ? out : own;
    _cleanup_close_ int top = -1;
    _cleanup_close_ int at = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *path = '\0';
    if (at < 0 || find_top(&at, &top) < 0 || (top >= 0 && path_of(top, path) < 0))
        return -1;
    errno = 0;
    return TAKE_FD(top);
}

int worktree_around(const char *cwd, char out[static PATH_MAX])
{
    _cleanup_close_ int fd = worktree_open_around(cwd, out);
    return fd < 0 && errno ? -1 : 0;
}

/* ---- the directory of --dir ---- */

static int set_fd = -1;
static char set_path[64];

int worktree_set_dir(int fd)
{
    CLOSE_FD(set_fd);
    if (fd < 0)
        return 0;
    set_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (set_fd < 0)
        return -1;
    return str_format(set_path, sizeof set_path, "/proc/self/fd/%d", set_fd);
}

const char *worktree_dir(void)
{
    return set_fd < 0 ? NULL : set_path;
}

int worktree_tops(const char *cwd, struct worktree_tops *out)
{
    const char *const dirs[] = {cwd, worktree_dir()};
    *out = (struct worktree_tops){0};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (dirs[i] && worktree_around(dirs[i], out->of[i]) < 0)
            return -1;
    return 0;
}

/* ---- along a path ---- */

/* Compares by inode: a directory may have a second name without any link, by a bind mount or on a
 * filesystem that ignores case. */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

const char *worktree_leads_through_top(const char *path, const struct worktree_tops *tops)
{
    struct pathwalk w;
    struct stat st, top[WORKTREE_TOPS];
    bool link = false, known[WORKTREE_TOPS];
    for (size_t i = 0; i < WORKTREE_TOPS; i++)
        known[i] = *tops->of[i] && stat(tops->of[i], &top[i]) == 0;
    int more = pathwalk_start(&w, path);
    for (; more > 0; more = pathwalk_next(&w, link)) {
        for (size_t i = 0; i < WORKTREE_TOPS; i++)
            if (path_is_below(pathwalk_at(&w), tops->of[i]))
                return tops->of[i];
        if (lstat(pathwalk_at(&w), &st) < 0)
            return errno == ENOENT || errno == ENOTDIR ? NULL : tops->of[0];
        for (size_t i = 0; i < WORKTREE_TOPS; i++)
            if (known[i] && is_same(&st, &top[i]))
                return tops->of[i];
        link = S_ISLNK(st.st_mode);
    }
    return more < 0 || w.looped ? tops->of[0] : NULL;
}

/* Whether the error means that nothing is there, or that it is not a directory. */
static bool is_none(int sys)
{
    return sys == ENOENT || sys == ENOTDIR || sys == ELOOP;
}

/* Whether there is a directory of this name with a .git: 1, 0 or -1. */
static int has_git(const char *dir)
{
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return is_none(errno) ? 0 : -1;
    return worktree_has_git(fd, NULL);
}

int worktree_on_way(const char *path, const char *top, char out[static PATH_MAX])
{
    struct homes homes;
    struct pathwalk w;
    struct stat st, known;
    bool link = false;
    bool has_top = *top && stat(top, &known) == 0;
    find_homes(&homes);
    int more = pathwalk_start(&w, path);
    for (; more > 0; more = pathwalk_next(&w, link)) {
        const char *at = pathwalk_at(&w);
        if (lstat(at, &st) < 0)
            return is_none(errno) ? 0 : -1;
        bool is_top = has_top && is_same(&st, &known);
        int tree = is_users(&homes, at) ? 0 : is_top ? 1 : has_git(at);
        if (tree)
            return tree < 0 ? -1 : str_copy(out, PATH_MAX, at) < 0 ? -1 : 1;
        link = S_ISLNK(st.st_mode);
    }
    errno = w.looped ? ELOOP : ENAMETOOLONG;
    return more < 0 || w.looped ? -1 : 0;
}

static void dir_of(const char *path, char out[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    (void)str_format(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Whether an entry lies in one of the trees. Only the last component of `path` may be a link. */
static bool is_entry_of_tree(const char *path, const struct worktree_tops *tops)
{
    char dir[PATH_MAX];
    dir_of(path, dir);
    return worktree_leads_through_top(dir, tops) != NULL;
}

int worktree_look(const char *path, const struct worktree_tops *tops, struct stat *st,
                  char link[static PATH_MAX])
{
    struct homes homes;
    struct pathwalk w;
    bool is_link = false;
    int in_tree = 0;
    find_homes(&homes);
    *link = '\0';
    int more = pathwalk_start(&w, path);
    for (; more > 0; more = pathwalk_next(&w, is_link)) {
        const char *at = pathwalk_at(&w);
        if (lstat(at, st) < 0)
            return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
        if (pathwalk_is_at_end(&w))
            return 1;
        is_link = S_ISLNK(st->st_mode);
        if (is_link && (in_tree || is_entry_of_tree(at, tops))) {
            (void)str_copy(link, PATH_MAX, at);
            break;
        }
        if (!in_tree && !is_link && !is_users(&homes, at) && (in_tree = has_git(at)) < 0)
            return -1;
    }
    errno = *link || w.looped ? ELOOP : ENAMETOOLONG;
    return -1;
}

/* Whether the link `at` may have come with code and leads out of that code to `here`: 1, 0, or -1
 * with errno. */
static int leads_astray(const char *at, const char *here)
{
    char dir[PATH_MAX], tree[PATH_MAX];
    dir_of(at, dir);
    if (worktree_around(dir, tree) < 0)
        return -1;
    if (!*tree || path_is_below(here, dir))
        return 0;
    int in_tree = worktree_on_way(dir, "", tree);
    if (in_tree)
        return in_tree < 0 ? -1 : !path_is_below(here, tree);
    int to_tree = worktree_on_way(here, "", tree);
    return to_tree < 0 ? -1 : !to_tree;
}

int worktree_pwd_link(const char *pwd, char link[static PATH_MAX])
{
    char here[PATH_MAX];
    struct pathwalk w;
    struct stat st, named;
    bool is_link = false;
    *link = '\0';
    if (!pwd || *pwd != '/' || stat(".", &st) < 0 || stat(pwd, &named) < 0 ||
        !is_same(&st, &named) || !getcwd(here, sizeof here))
        return 0;
    int more = pathwalk_start(&w, pwd);
    for (; more > 0; more = pathwalk_next(&w, is_link)) {
        const char *at = pathwalk_at(&w);
        if (lstat(at, &st) < 0)
            return -1;
        is_link = S_ISLNK(st.st_mode);
        int astray = is_link ? leads_astray(at, here) : 0;
        if (astray)
            return astray < 0 ? -1 : str_copy(link, PATH_MAX, at) < 0 ? -1 : 1;
    }
    return more;
}
