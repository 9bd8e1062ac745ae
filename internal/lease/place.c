#include "lease/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "lease/store.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/pathwalk.h"
#include "sys/trusted.h"
#include "sys/worktree.h"

enum { MARK_SIZE = 64 };

static const char *const contents[] = {"leases", "slugs", "logs", "verified"};

/* Finds where the path leads through every link, even if the end of it does not exist yet. */
static bool find_real(const char *path, char out[static PATH_MAX])
{
    struct pathwalk w;
    struct stat st;
    bool link = false;
    int more = pathwalk_start(&w, path);
    for (; more > 0; more = pathwalk_next(&w, link)) {
        if (lstat(pathwalk_at(&w), &st) == 0)
            link = S_ISLNK(st.st_mode);
        else if (errno == ENOENT)
            link = false;
        else
            return false;
    }
    return more == 0 && !w.looped && str_copy(out, PATH_MAX, pathwalk_at(&w)) == 0;
}

static bool is_default_of(uid_t uid, const char *real)
{
    _cleanup_free_ char *home = caller_home_of(uid);
    _cleanup_free_ char *own = home ? xasprintf("%s/" STORE_BELOW_HOME, home) : NULL;
    char place[PATH_MAX];
    return own && find_real(own, place) && str_eq(place, real);
}

/* Places where nobody unpacks code. */
static bool is_known_place(const char *path)
{
    const struct trusted_who who = trusted_us();
    char real[PATH_MAX];
    return find_real(path, real) &&
           (path_is_below(real, "/var/lib/crabbox-fc") || is_default_of(who.self, real) ||
            is_default_of(who.sudo, real));
}

/* Whether there are leases: 1, 0, or -1 with errno; `link` as in worktree_look. `told` is false if
 * it can't be found out what came with the code around the working directory. */
static int look(const char *path, bool *told, char link[static PATH_MAX])
{
    struct worktree_tops tops;
    struct stat st;
    char leases[PATH_MAX];
    *link = '\0';
    *told = worktree_tops(".", &tops) == 0;
    if (str_format(leases, sizeof leases, "%s/%s", path, contents[0]) == 0)
        return worktree_look(leases, &tops, &st, link);
    errno = ENAMETOOLONG;
    return -1;
}

bool place_may_have_leases(const char *path)
{
    char link[PATH_MAX];
    bool told;
    return look(path, &told, link) != 0;
}

static int refuse_tree(const char *path, const char *tree, struct error *err)
{
    return error_set(err, ERR_TRUST, 0,
                     "the " STORE_WHAT " %s leads into %s, which is a working tree, so anybody may "
                     "have written the leases there; next: set CRABBOX_FC_STATE_DIR to a directory "
                     "elsewhere, or if your leases run there, move its .git away until they are "
                     "stopped",
                     SHOWN(path), SHOWN(tree));
}

static int refuse_dir(const char *path, bool cwd, struct error *err)
{
    return error_set(err, ERR_TRUST, 0,
                     "the " STORE_WHAT " %s leads into the %s, and code that came along there may "
                     "have brought leases; next: %s another directory, or set CRABBOX_FC_STATE_DIR "
                     "to one",
                     SHOWN(path), cwd ? "working directory" : "directory of --dir",
                     cwd ? "cd to" : "name");
}

static int refuse_link(const char *path, const char *link, struct error *err)
{
    char tree[PATH_MAX];
    _cleanup_free_ char *dir = xstrdup(link);
    char *slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';
    if (worktree_on_way(dir, "", tree) > 0)
        return refuse_tree(path, tree, err);
    return error_set(
        err, ERR_TRUST, 0,
        "the " STORE_WHAT " %s leads through the symbolic link %s, which may have come with "
        "the code that you are working on; next: set CRABBOX_FC_STATE_DIR to the real path of "
        "a directory elsewhere",
        SHOWN(path), SHOWN(link));
}

/* Whether the path leads into the directory: 1, 0, or -1 with errno. */
static int leads_into_dir(const char *path, const char *dir)
{
    char real[PATH_MAX], found[PATH_MAX];
    if (!dir)
        return 0;
    return realpath(dir, real) ? worktree_on_way(path, real, found) : -1;
}

int place_check(const char *path, struct error *err)
{
    char found[PATH_MAX];
    /* This comes first, because the checks below follow links. */
    bool told;
    if (look(path, &told, found) < 0 && *found)
        return refuse_link(path, found, err);
    int r = worktree_on_way(path, "", found);
    if (r > 0)
        return refuse_tree(path, found, err);
    if (r == 0 && is_known_place(path))
        return 0;
    bool cwd = r == 0 && (r = leads_into_dir(path, ".")) != 0;
    if (r == 0)
        r = leads_into_dir(path, worktree_dir());
    if (r > 0)
        return refuse_dir(path, cwd, err);
    int why = errno;
    bool closed = faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && errno == EACCES;
    if (r < 0 && closed)
        return error_set(err, ERR_TRUST, 0,
                         "the " STORE_WHAT
                         " %s is closed to you; next: set CRABBOX_FC_STATE_DIR to "
                         "a directory of your own",
                         SHOWN(path));
    errno = why;
    if (r < 0 || !told)
        return error_set(err, ERR_TRUST, errno,
                         "find out whether the " STORE_WHAT " %s is your own; next: cd to another "
                         "directory, or set CRABBOX_FC_STATE_DIR to one",
                         SHOWN(path));
    return 0;
}

/* Makes the mark, in the form that `stat -c '%i %W'` prints. If the filesystem does not keep times
 * of birth, the inode has to be enough. The device is not part of the mark, because its number may
 * change at a reboot. */
static int mark_of(int fd, char out[static MARK_SIZE], struct error *err)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at the " STORE_WHAT);
    long long birth = st.stx_mask & STATX_BTIME ? (long long)st.stx_btime.tv_sec : 0;
    return str_format(out, MARK_SIZE, "%llu %lld", (unsigned long long)st.stx_ino, birth);
}

/* 1, 0, or -1 on an error. */
static int has_mark(int fd, const char *mark, struct error *err)
{
    struct error e = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (file_read_at(fd, PLACE_MARK, MARK_SIZE, &text, &e) < 0) {
        if (!e.sys || e.sys == ENOENT || e.sys == ELOOP)
            return 0;
        return error_set(err, ERR_IO, e.sys, "look at the mark of the " STORE_WHAT);
    }
    if (text.len && text.buf[text.len - 1] == '\n')
        text.buf[--text.len] = '\0';
    return text.len && str_eq(text.buf, mark);
}

/* Files that only serve to coordinate processes. */
static const char *const agreed[] = {"lock", "admission", "making"};

static bool is_there(int fd, const char *const *names, size_t n)
{
    struct stat st;
    for (size_t i = 0; i < n; i++)
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
            return true;
    return false;
}

/* Whether the directory has anything that this program would trust or open. */
static bool has_content(int fd)
{
    return is_there(fd, contents, ARRAY_LEN(contents)) || is_there(fd, agreed, ARRAY_LEN(agreed));
}

/* ---- what others have put there ---- */

static int refuse_others(const char *path, uid_t uid, struct error *err)
{
    return error_set(err, ERR_TRUST, 0,
                     "%s belongs to uid %u, so another user may have written what is in it; next: "
                     "remove it, or set CRABBOX_FC_STATE_DIR to a new directory",
                     SHOWN(path), (unsigned)uid);
}

/* If the entry exists, it has to be ours, whatever it is. */
static int check_entry(int dirfd, const char *dir, const char *name, struct error *err)
{
    struct stat st;
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return st.st_uid == geteuid() ? 0 : refuse_others(path, st.st_uid, err);
    return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "look at %s", SHOWN(path));
}

int place_check_dir(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", SHOWN(path));
    if (st.st_uid != geteuid())
        return refuse_others(path, st.st_uid, err);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return error_set(err, ERR_TRUST, 0,
                         "%s can be written to by other users (mode %04o), so anybody may have "
                         "written what is in it; next: remove it, or set CRABBOX_FC_STATE_DIR to a "
                         "new directory",
                         SHOWN(path), (unsigned)(st.st_mode & 07777));
    _cleanup_closedir_ DIR *d = dir_reopen(fd);
    for (struct dirent *de; d && (de = dir_next(d));)
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, "..") &&
            check_entry(fd, path, de->d_name, err) < 0)
            return -1;
    /* ENOENT: it was removed meanwhile. */
    return errno && errno != ENOENT ? error_set(err, ERR_IO, errno, "read %s", SHOWN(path)) : 0;
}

static int check_contents(int fd, const char *path, struct error *err)
{
    if (check_entry(fd, path, PLACE_MARK, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        _cleanup_free_ char *below = xasprintf("%s/%s", path, contents[i]);
        _cleanup_close_ int dir = openat(fd, contents[i],
                                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0 && check_entry(fd, path, contents[i], err) < 0)
            return -1;
        if (dir >= 0 && place_check_dir(dir, below, err) < 0)
            return -1;
    }
    return 0;
}

int place_check_closed(const char *path, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !(st.st_mode & (S_IWGRP | S_IWOTH)) || !has_content(fd))
        return 0;
    return error_set(err, ERR_TRUST, 0,
                     "the " STORE_WHAT " %s can be written to by other users (mode %04o), so "
                     "anybody may have put leases there; next: set CRABBOX_FC_STATE_DIR to a new "
                     "directory",
                     SHOWN(path), (unsigned)(st.st_mode & 07777));
}

/* ---- leases ---- */

/* The mark of a lease is the text of a link, which is complete without an fsync of its own. 1, 0,
 * or -1 on an error. */
static int lease_has_mark(int dirfd, const char *mark, struct error *err)
{
    char text[MARK_SIZE];
    ssize_t n = readlinkat(dirfd, PLACE_MARK, text, sizeof text);
    if (n < 0 && errno != ENOENT && errno != EINVAL)
        return error_set(err, ERR_IO, errno, "look at the mark of a lease");
    return n > 0 && (size_t)n == strlen(mark) && memcmp(text, mark, (size_t)n) == 0;
}

int place_mark_lease(int dirfd, struct error *err)
{
    char mark[MARK_SIZE];
    if (mark_of(dirfd, mark, err) < 0)
        return -1;
    int marked = lease_has_mark(dirfd, mark, err);
    if (marked)
        return marked < 0 ? -1 : 0;
    if (file_unlink(dirfd, PLACE_MARK, err) < 0)
        return -1;
    if (symlinkat(mark, dirfd, PLACE_MARK) < 0 && errno != EEXIST) /* or another process has just
                                                                    * done it */
        return error_set(err, ERR_IO, errno, "make " PLACE_MARK);
    return 0;
}

int place_check_lease(int dirfd, const char *path, struct error *err)
{
    char mark[MARK_SIZE];
    if (mark_of(dirfd, mark, err) < 0)
        return -1;
    int marked = lease_has_mark(dirfd, mark, err);
    if (marked)
        return marked < 0 ? -1 : 0;
    _cleanup_free_ char *quoted = str_shell_quoted(path);
    return error_set(err, ERR_TRUST, 0,
                     "%s was not made by crabbox-fc on this host, so anybody may have written it; "
                     "next: remove it, or if you know that it is yours: ln -sfn '%s' "
                     "%s/" PLACE_MARK,
                     SHOWN(path), mark, quoted);
}

static void mark_leases(int fd)
{
    _cleanup_close_ int leases = openat(fd, "leases",
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_closedir_ DIR *d = leases < 0 ? NULL : dir_reopen(leases);
    for (struct dirent *de; d && (de = dir_next(d));) {
        _cleanup_close_ int lease = *de->d_name == '.'
                                        ? -1
                                        : openat(leases, de->d_name,
                                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (lease >= 0)
            (void)place_mark_lease(lease, NULL);
    }
}

/* ---- the directory ---- */

static int refuse_content(const char *path, const char *mark, struct error *err)
{
    _cleanup_free_ char *quoted = str_shell_quoted(path);
    return error_set(err, ERR_TRUST, 0,
                     "the " STORE_WHAT " %s was not made by crabbox-fc on this host, so anybody "
                     "may have written the leases in it; next: set CRABBOX_FC_STATE_DIR to a "
                     "new directory, or if you know that it is yours: echo '%s' >%s/" PLACE_MARK,
                     SHOWN(path), mark, quoted);
}

int place_claim(int fd, const char *path, bool mark, struct error *err)
{
    char text[MARK_SIZE];
    if (mark_of(fd, text, err) < 0 || check_contents(fd, path, err) < 0)
        return -1;
    int marked = has_mark(fd, text, err);
    bool taken_over = marked == 0 && has_content(fd);
    /* Another process may be making the directory right now. It writes the mark before anything
     * else, so if there is content, look for the mark again. */
    if (taken_over)
        marked = has_mark(fd, text, err);
    if (marked)
        return marked < 0 ? -1 : 0;
    if (taken_over && !is_known_place(path))
        return refuse_content(path, text, err);
    if (!mark)
        return taken_over;
    if (taken_over)
        mark_leases(fd);
    _cleanup_free_ char *line = xasprintf("%s\n", text);
    return file_write_atomic(fd, PLACE_MARK, line, strlen(line), 0600, err);
}
