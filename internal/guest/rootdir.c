#include "guest/rootdir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int root_open(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

bool root_exists(int root, const char *path)
{
    _cleanup_close_ int fd = root_open(root, path, O_PATH, 0);
    return fd >= 0;
}

/* Opens the directory that holds the last part of `path`, making what is missing. */
static int open_parent(int root, const char *path, const char **name, struct error *err)
{
    _cleanup_free_ char *copy = xstrdup(path);
    char *slash = strrchr(copy, '/');
    *name = strrchr(path, '/');
    if (!slash || !(*name)[1])
        return error_set(err, ERR_IO, EINVAL, "%s", path);
    (*name)++;
    *slash = '\0';
    if (*copy && !root_exists(root, copy)) {
        if (root_mkdir(root, copy, 0755, OWNER_ROOT, err) < 0)
            return -1;
    }
    int fd = root_open(root, *copy ? copy : "/", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open directory %s", copy);
    return fd;
}

int root_mkdir(int root, const char *path, mode_t mode, struct owner owner, struct error *err)
{
    const char *name;
    _cleanup_close_ int parent = open_parent(root, path, &name, err);
    if (parent < 0)
        return -1;
    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make directory %s", path);
    _cleanup_close_ int fd = root_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open directory %s", path);
    if (fchown(fd, owner.uid, owner.gid) < 0 || fchmod(fd, mode) < 0)
        return error_set(err, ERR_IO, errno, "set owner and mode of %s", path);
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int root_write(int root, const char *path, const void *data, size_t len, mode_t mode,
               struct owner owner, struct error *err)
{
    const char *name;
    _cleanup_close_ int parent = open_parent(root, path, &name, err);
    if (parent < 0)
        return -1;
    if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        return error_set(err, ERR_IO, errno, "replace %s", path);
    _cleanup_close_ int fd = openat(parent, name,
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create %s", path);
    if (write_all(fd, data, len) < 0)
        return error_set(err, ERR_IO, errno, "write %s", path);
    if (fchown(fd, owner.uid, owner.gid) < 0 || fchmod(fd, mode) < 0)
        return error_set(err, ERR_IO, errno, "set owner and mode of %s", path);
    return 0;
}

int root_read(int root, const char *path, size_t cap, struct strbuf *out, struct error *err)
{
    char chunk[4096];
    size_t total = 0;
    _cleanup_close_ int fd = root_open(root, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open %s", path);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "read %s", path);
        if (n == 0)
            return 0;
        total += (size_t)n;
        if (total > cap)
            return error_set(err, ERR_IO, 0, "%s is larger than %zu bytes", path, cap);
        strbuf_add(out, chunk, (size_t)n);
    }
}
