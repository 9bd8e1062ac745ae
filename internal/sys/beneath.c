#include "sys/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/trusted.h"

enum { TRIES_MAX = 100 }; /* for calls that other processes can disturb */

static int resolve(int dirfd, const char *path, int flags, mode_t mode, unsigned how_far)
{
    bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = makes ? mode : 0,
        .resolve = how_far | RESOLVE_NO_MAGICLINKS,
    };
    int fd, tries = 0;
    /* EAGAIN has two reasons. Something was renamed while the kernel walked the path, which does
     * not last. Or a process holds a lease on the file (F_SETLEASE), which may last. */
    do
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < TRIES_MAX)));
    return fd;
}

int beneath_open(int dirfd, const char *path, int flags, mode_t mode)
{
    return resolve(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static bool is_null(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Opens the file of an O_PATH descriptor if it is of a harmless kind. Consumes the descriptor. */
static int open_found(int found, int flags, struct stat *st)
{
    _cleanup_close_ int fd = found;
    if (fd < 0 || fstat(fd, st) < 0)
        return -1;
    bool writes = (flags & O_ACCMODE) == O_WRONLY;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !is_null(st) &&
        !(writes && S_ISFIFO(st->st_mode)))
        return TAKE_FD(fd);
    return fd_reopen(&fd, flags) < 0 ? -1 : TAKE_FD(fd);
}

int beneath_open_plain(int dirfd, const char *path, int flags, struct stat *st)
{
    return open_found(beneath_open(dirfd, path, O_PATH, 0), flags, st);
}

int beneath_open_own(const char *path, int flags, struct stat *st)
{
    return open_found(resolve(AT_FDCWD, path, O_PATH, 0, 0), flags, st);
}

/* ---- directories ---- */

/* Enters one component, making it if it is missing. */
static int enter(int fd, const char *name, mode_t mode, unsigned *made)
{
    int next = beneath_open(fd, name, O_PATH | O_DIRECTORY, 0);
    if (next >= 0 || errno != ENOENT)
        return next;
    bool ours = caller_mkdirat(fd, name, mode) == 0;
    if (!ours && errno != EEXIST)
        return -1;
    next = beneath_open(fd, name, O_PATH | O_DIRECTORY, 0);
    *made += ours && next >= 0;
    return next;
}

/* Removes what was made of the part of `path` before `at`. */
static void undo(int dirfd, const char *path, const char *at, unsigned *made)
{
    while (at > path && at[-1] == '/')
        at--;
    _cleanup_free_ char *done = xasprintf("%.*s", (int)(at - path), path);
    beneath_rmdirs(dirfd, done, *made);
    *made = 0;
}

int beneath_mkdirs(int dirfd, const char *path, mode_t mode, unsigned *made)
{
    char part[NAME_MAX + 1];
    unsigned none = 0;
    unsigned *n = made ? made : &none;
    int fd = beneath_open(dirfd, ".", O_PATH | O_DIRECTORY, 0);
    const char *at = path;
    *n = 0;
    while (fd >= 0 && *at) {
        size_t len = strcspn(at, "/");
        int next = -1;
        if (str_format(part, sizeof part, "%.*s", (int)len, at) < 0)
            errno = ENAMETOOLONG;
        else
            next = enter(fd, len ? part : ".", mode, n);
        int saved = errno;
        CLOSE_FD(fd);
        fd = next;
        if (next < 0)
            undo(dirfd, path, at, n);
        errno = saved;
        at += len;
        at += *at == '/';
    }
    return fd;
}

void beneath_rmdirs(int dirfd, const char *path, unsigned n)
{
    _cleanup_free_ char *copy = xstrdup(path);
    for (; n > 0; n--) {
        char *slash = strrchr(copy, '/');
        if (slash)
            *slash = '\0';
        _cleanup_close_ int parent = beneath_open(dirfd, slash ? copy : ".", O_PATH | O_DIRECTORY,
                                                  0);
        if (parent < 0 || unlinkat(parent, slash ? slash + 1 : copy, AT_REMOVEDIR) < 0 || !slash)
            return;
    }
}

/* ---- single files ---- */

int beneath_check(const char *what, const char *typed, struct error *err)
{
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    struct error e = ERROR_INIT;
    if (beneath_find(what, typed, &b, &e) < 0) {
        if (e.kind != ERR_USAGE)
            return 0;
        if (err)
            *err = e;
        return -1;
    }
    _cleanup_close_ int fd = beneath_open(b.dirfd, b.rest, O_PATH, 0);
    return fd < 0 && errno == ELOOP ? beneath_failed(&b, ELOOP, err) : 0;
}

/* The number if the text names a descriptor of ours (/dev/stdin, /dev/fd/N); -1: it is a path. */
static int own_descriptor(const char *typed)
{
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const dirs[] = {"/dev/fd/", "/proc/self/fd/"};
    uint64_t n;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(typed, names[i]))
            return (int)i;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (str_has_prefix(typed, dirs[i]) && str_to_u64(typed + strlen(dirs[i]), &n) == 0 &&
            n < INT_MAX)
            return (int)n;
    return -1;
}

/* A duplicate shares the offset of the user's descriptor, so nothing is read twice or truncated. */
static int take_descriptor(int n, const char *what, const char *typed, struct error *err)
{
    int fd = fcntl(n, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? error_set(err, ERR_IO, errno, "%s: open %s", what, typed) : fd;
}

static const char *kind_name(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a FIFO";
    return S_ISSOCK(mode) ? "a socket" : "a device";
}

int beneath_input(const char *what, const char *typed, bool *others, struct error *err)
{
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    struct stat st;
    int own = own_descriptor(typed);
    if (others)
        *others = false;
    if (own >= 0)
        return take_descriptor(own, what, typed, err);
    if (beneath_find(what, typed, &b, err) < 0)
        return -1;
    _cleanup_close_ int fd = beneath_open_plain(b.dirfd, b.rest, O_RDONLY, &st);
    if (fd < 0)
        return beneath_failed(&b, errno, err);
    if (!S_ISREG(st.st_mode) && !is_null(&st))
        return error_set(err, ERR_USAGE, 0, "%s %s: it is %s, not a regular file", what, typed,
                         kind_name(st.st_mode));
    if (others)
        *others = b.in_tree || (!is_null(&st) && trusted_fd(fd, typed, what, NULL) < 0);
    return TAKE_FD(fd);
}

/* The directory of b->rest, with *base at its last component. */
static int open_parent(const struct beneath *b, const char **base)
{
    const char *slash = strrchr(b->rest, '/');
    _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - b->rest), b->rest)
                                     : xstrdup(".");
    *base = slash ? slash + 1 : b->rest;
    return beneath_open(b->dirfd, dir, O_PATH | O_DIRECTORY, 0);
}

/* Replaces a file that has other names (hard links) by a new one with the same mode. The new file
 * is made beside it first, so the name exists all the time. */
static int replace(int dirfd, const char *base, mode_t mode)
{
    char name[64];
    for (unsigned i = 0;; i++) {
        (void)str_format(name, sizeof name, ".crabbox-fc.%ld.%u", (long)getpid(), i);
        _cleanup_close_ int fd = caller_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno == EEXIST && i < TRIES_MAX)
            continue;
        if (fd < 0)
            return -1;
        if (fchmod(fd, mode & 0777) == 0 && renameat(dirfd, name, dirfd, base) == 0)
            return TAKE_FD(fd);
        int saved = errno;
        (void)unlinkat(dirfd, name, 0);
        errno = saved;
        return -1;
    }
}

/* Opens an existing file for writing: it is emptied, or replaced if it has other names. -1 with
 * errno EEXIST if it may not be written. */
static int reuse(const struct beneath *b, int dirfd, const char *base, struct stat *st)
{
    _cleanup_close_ int fd = beneath_open(dirfd, base, O_PATH, 0);
    if (fd < 0 || fstat(fd, st) < 0)
        return -1;
    if (b->in_tree && !S_ISREG(st->st_mode) && !S_ISFIFO(st->st_mode)) {
        errno = EEXIST;
        return -1;
    }
    if (fd_reopen(&fd, O_WRONLY) < 0)
        return -1;
    if (S_ISREG(st->st_mode) && st->st_nlink > 1)
        return replace(dirfd, base, st->st_mode);
    if (S_ISREG(st->st_mode))
        return ftruncate(fd, 0) < 0 ? -1 : TAKE_FD(fd);
    (void)fcntl(fd, F_SETFL, 0);
    return TAKE_FD(fd);
}

int beneath_output(const char *what, const char *typed, struct error *err)
{
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    struct stat st = {0};
    const char *base;
    int own = own_descriptor(typed);
    if (own >= 0)
        return take_descriptor(own, what, typed, err);
    if (beneath_find(what, typed, &b, err) < 0)
        return -1;
    _cleanup_close_ int dirfd = open_parent(&b, &base);
    if (dirfd < 0)
        return beneath_failed(&b, errno, err);
    int fd = caller_openat(dirfd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY, 0666);
    if (fd < 0 && errno == EEXIST)
        fd = reuse(&b, dirfd, base, &st);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, ERR_USAGE, 0, "%s %s: it is %s, not a regular file", what, typed,
                         kind_name(st.st_mode));
    if (fd < 0 && errno == ENXIO)
        return error_set(err, ERR_USAGE, 0,
                         "%s %s: it is a FIFO or socket without a reader; next: start its reader "
                         "first",
                         what, typed);
    return fd < 0 ? beneath_failed(&b, errno, err) : fd;
}
