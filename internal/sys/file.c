/* file.c: a file is looked at before it is opened, and replaced instead of rewritten.
 *
 * To read a file, its name is opened with O_PATH, which has no effect even on a device. If it is a
 * regular file, that descriptor is opened again through /proc/self/fd (reopen_regular), so what was
 * looked at is what is read. To write one, replace_file fills a new file beside it and renames it.
 * Removing a tree unlinks each name and opens as a directory only what could not be unlinked: an
 * entry that somebody replaces by a link meanwhile is not followed.
 */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <threads.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "sys/caller.h"

/* Only btrfs accepts this flag. A filesystem above it (overlayfs) passes the flag on and shows it,
 * too. */
static bool is_in_place(int fd)
{
    int flags = 0;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL);
}

static bool is_on_btrfs(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == BTRFS_SUPER_MAGIC;
}

bool file_keeps_extents(int fd)
{
    return is_on_btrfs(fd) || is_in_place(fd);
}

int file_in_place(int fd, const char *name, struct error *err)
{
    int flags = 0, r = ioctl(fd, FS_IOC_GETFLAGS, &flags);
    if (r == 0) {
        flags |= FS_NOCOW_FL;
        r = ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    if (r < 0 && is_on_btrfs(fd))
        return error_set(err, ERR_IO, errno, "have %s overwritten in place", name);
    return 0;
}

char *fd_path(int fd)
{
    char link[64];
    char name[PATH_MAX];
    (void)str_format(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name);
    if (n < 0)
        return NULL;
    if (*name == '/' && n < (ssize_t)sizeof name)
        return xasprintf("%.*s", (int)n, name);
    errno = *name == '/' ? ENAMETOOLONG : ENOENT; /* "(unreachable)/…" */
    return NULL;
}

int fd_reopen(int *fd, int flags)
{
    char link[64];
    (void)str_format(link, sizeof link, "/proc/self/fd/%d", *fd);
    int again = open(link, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (again < 0)
        return -1;
    CLOSE_FD(*fd);
    *fd = again;
    return 0;
}

int fd_read_all_by(int fd, size_t max, const char *what, const struct deadline *d,
                   struct strbuf *out, struct error *err)
{
    char chunk[16384];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (;;) {
        if (d && deadline_poll(&p, 1, d, what, err) < 0)
            return -1;
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "read %s", what);
        if (n == 0)
            return 0;
        if (out->len + (size_t)n > max)
            return error_set(err, ERR_IO, EFBIG, "%s is larger than %zu bytes", what, max);
        strbuf_add(out, chunk, (size_t)n);
    }
}

int fd_read_all(int fd, size_t max, const char *what, struct strbuf *out, struct error *err)
{
    return fd_read_all_by(fd, max, what, NULL, out, err);
}

/* Opens the file of the O_PATH descriptor *fd if it is a regular one. */
static int reopen_regular(int *fd, int flags, const char *name, struct error *err)
{
    struct stat st;
    if (*fd < 0 || fstat(*fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "open %s", name);
    if (S_ISLNK(st.st_mode))
        return error_set(err, ERR_IO, ELOOP, "open %s", name);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_IO, 0, "%s is not a regular file", name);
    return fd_reopen(fd, flags) < 0 ? error_set(err, ERR_IO, errno, "open %s", name) : 0;
}

int file_read_at(int dirfd, const char *name, size_t max, struct strbuf *out, struct error *err)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (reopen_regular(&fd, O_RDONLY, name, err) < 0)
        return -1;
    return fd_read_all(fd, max, name, out, err);
}

int file_open_at(int dirfd, const char *name, bool create, struct error *err)
{
    for (;;) {
        _cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT && !create)
            return error_set(err, ERR_NOT_FOUND, errno, "open %s", name);
        if (fd >= 0 || errno != ENOENT)
            return reopen_regular(&fd, O_RDWR, name, err) < 0 ? -1 : TAKE_FD(fd);
        fd = caller_openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            return TAKE_FD(fd);
        if (errno != EEXIST) /* otherwise it was made meanwhile */
            return error_set(err, ERR_IO, errno, "make %s", name);
    }
}

int fd_write_all(int fd, const void *data, size_t len, const char *what, struct error *err)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "write %s", what);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int dir_sync(int dirfd, const char *what, struct error *err)
{
    if (fsync(dirfd) < 0)
        return error_set(err, ERR_IO, errno, "sync directory of %s", what);
    return 0;
}

/* Creates and fills the temporary file; `tmp` is its name for the caller to rename. */
static int write_temp(int dirfd, const char *tmp, const void *data, size_t len, mode_t mode,
                      bool sync, struct error *err)
{
    _cleanup_close_ int fd = caller_openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create %s", tmp);
    if (fd_write_all(fd, data, len, tmp, err) < 0)
        return -1;
    if (sync && fsync(fd) < 0)
        return error_set(err, ERR_IO, errno, "sync %s", tmp);
    return 0;
}

static int replace_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                        bool sync, struct error *err)
{
    char tmp[NAME_MAX + 1];
    unsigned char rnd[4];
    char hex[9];
    random_bytes(rnd, sizeof rnd);
    str_hex(rnd, sizeof rnd, hex);
    if (str_format(tmp, sizeof tmp, "%s.%s.tmp", name, hex) < 0)
        return error_set(err, ERR_IO, ENAMETOOLONG, "write %s", name);
    if (write_temp(dirfd, tmp, data, len, mode, sync, err) < 0) {
        (void)unlinkat(dirfd, tmp, 0);
        return -1;
    }
    if (renameat(dirfd, tmp, dirfd, name) < 0) {
        (void)error_set(err, ERR_IO, errno, "replace %s", name);
        (void)unlinkat(dirfd, tmp, 0);
        return -1;
    }
    return sync ? dir_sync(dirfd, name, err) : 0;
}

int file_write_atomic(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                      struct error *err)
{
    return replace_file(dirfd, name, data, len, mode, true, err);
}

int file_write_new(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                   struct error *err)
{
    return replace_file(dirfd, name, data, len, mode, false, err);
}

int dir_make_all(const char *path, mode_t mode, struct error *err)
{
    _cleanup_free_ char *copy = xstrdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char saved = *p;
        *p = '\0';
        if (caller_mkdirat(AT_FDCWD, copy, mode) < 0 && errno != EEXIST)
            return error_set(err, ERR_IO, errno, "create directory %s", copy);
        *p = saved;
        if (!saved)
            return 0;
    }
}

int dir_check_home(const char *home, struct error *err)
{
    struct stat st;
    int r = stat(home, &st);
    if (r < 0 && errno != ENOENT && errno != ENOTDIR)
        return 0; /* the caller's own error says more */
    if (r < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ERR_CONFIG, 0, "HOME is %s, which is not a directory", SHOWN(home));
    return 0;
}

/* The directories above may belong to the sudo caller; the directory itself is ours. */
static int make_private(const char *path, struct error *err)
{
    _cleanup_free_ char *way = xstrdup(path);
    size_t len = strlen(way);
    while (len > 1 && way[len - 1] == '/')
        way[--len] = '\0';
    char *slash = strrchr(way, '/');
    if (slash && slash > way) {
        *slash = '\0';
        if (dir_make_all(way, 0700, err) < 0)
            return -1;
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "create directory %s", path);
    return 0;
}

int dir_check_private(const struct stat *st, const char *path, struct error *err)
{
    if (!S_ISDIR(st->st_mode))
        return error_set(err, ERR_CONFIG, 0, "%s is not a directory", path);
    if (st->st_uid != geteuid())
        return error_set(err, ERR_CONFIG, 0, "%s belongs to uid %u, not to you (%u)", path,
                         (unsigned)st->st_uid, (unsigned)geteuid());
    if (!(st->st_mode & 077))
        return 0;
    _cleanup_free_ char *quoted = str_shell_quoted(path);
    return error_set(err, ERR_CONFIG, 0,
                     "%s is open to others (mode %04o), but is for private keys; next: chmod 700 "
                     "%s",
                     path, (unsigned)(st->st_mode & 07777), quoted);
}

int dir_open_private(const char *path, struct error *err)
{
    struct stat st;
    if (make_private(path, err) < 0)
        return -1;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "open directory %s", path);
    return dir_check_private(&st, path, err) < 0 ? -1 : TAKE_FD(fd);
}

int file_unlink(int dirfd, const char *name, struct error *err)
{
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return error_set(err, ERR_IO, errno, "remove %s", name);
    return 0;
}

int file_discard(int dirfd, const char *name, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    /* Best effort: unlinking is what has to work. */
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
        (void)!ftruncate(fd, 0);
    return file_unlink(dirfd, name, err);
}

#define REMOVE_TRIES 100

DIR *dir_reopen(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int sys = errno;
    if (!d)
        CLOSE_FD(fd);
    errno = sys;
    return d;
}

struct dirent *dir_next(DIR *d)
{
    errno = 0;
    return readdir(d);
}

static int remove_children(int fd, dev_t dev, unsigned depth, struct error *err);

/* Removes one entry of a directory, descending where it is a directory of the same device. */
static int remove_entry(int dirfd, const char *name, dev_t dev, unsigned depth, struct error *err)
{
    struct stat st;
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return error_set(err, ERR_IO, errno, "remove %s", name);
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; /* somebody else removes it too */
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "open %s", name);
    if (st.st_dev != dev)
        return error_set(err, ERR_IO, EXDEV, "%s is a mount point: unmount it, then try again",
                         name);
    for (int tries = 1;; tries++) {
        if (remove_children(fd, dev, depth + 1, err) < 0)
            return -1;
        if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        /* A process that had opened it before may have made a file in it meanwhile (a lock). */
        if (errno != ENOTEMPTY || tries == REMOVE_TRIES)
            return error_set(err, ERR_IO, errno, "remove directory %s", name);
    }
}

static int remove_children(int fd, dev_t dev, unsigned depth, struct error *err)
{
    if (depth > DIR_REMOVE_DEPTH)
        return error_set(err, ERR_IO, ELOOP, "remove a tree deeper than %d directories",
                         DIR_REMOVE_DEPTH);
    /* Open it again, to read it from its beginning each time. */
    _cleanup_closedir_ DIR *d = dir_reopen(fd);
    if (!d && errno == ENOENT)
        return 0;
    if (!d)
        return error_set(err, ERR_IO, errno, "read a directory to remove");
    for (struct dirent *e; (e = dir_next(d));) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        if (remove_entry(fd, e->d_name, dev, depth, err) < 0)
            return -1;
    }
    return errno ? error_set(err, ERR_IO, errno, "read a directory to remove") : 0;
}

int dir_remove_tree(int dirfd, const char *name, struct error *err)
{
    struct stat parent;
    int r = dirfd == AT_FDCWD ? fstatat(AT_FDCWD, name, &parent, AT_SYMLINK_NOFOLLOW)
                              : fstat(dirfd, &parent);
    if (r < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "remove %s", name);
    return remove_entry(dirfd, name, parent.st_dev, 0, err);
}

static int close_thread(void *fd)
{
    (void)close((int)(intptr_t)fd);
    return 0;
}

void fd_close_aside(int *fd)
{
    sigset_t all, old;
    thrd_t thread;
    if (*fd < 0)
        return;
    /* Signals have to go to the thread that waits for them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = thrd_create(&thread, close_thread, (void *)(intptr_t)*fd) == thrd_success;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (started)
        (void)thrd_detach(thread);
    else
        (void)close(*fd);
    *fd = -1;
}
