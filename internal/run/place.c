#include "run/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "sys/file.h"

int path_base(const char *path, char out[static NAME_MAX + 1])
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return str_format(out, NAME_MAX + 1, "%.*s", (int)(len - start), path + start);
}

/* ---- a directory ---- */

/* Holds the directory open if it is there. */
static int hold(struct place_dir *d, struct error *err)
{
    d->found_fd = beneath_open(d->b.dirfd, d->path, O_PATH | O_DIRECTORY, 0);
    return d->found_fd < 0 && errno != ENOENT ? beneath_failed(&d->b, errno, err) : 0;
}

int place_dir_find(const struct place_wish *wish, struct place_dir *out, struct error *err)
{
    *out = (struct place_dir)PLACE_DIR_INIT;
    if (beneath_find(wish->what, wish->local, &out->b, err) < 0)
        return -1;
    (void)str_copy(out->path, sizeof out->path, out->b.rest);
    if (hold(out, err) == 0)
        return 0;
    place_dir_close(out);
    return -1;
}

int place_dir_make(const struct place_dir *d, unsigned *made, struct error *err)
{
    struct stat st;
    int fd;
    *made = 0;
    if (d->found_fd >= 0 && fstat(d->found_fd, &st) == 0 && st.st_nlink)
        fd = fcntl(d->found_fd, F_DUPFD_CLOEXEC, 3);
    else
        fd = beneath_mkdirs(d->b.dirfd, d->path, 0777, made);
    return fd < 0 ? beneath_failed(&d->b, errno, err) : fd;
}

void place_dir_close(struct place_dir *d)
{
    beneath_close(&d->b);
    CLOSE_FD(d->found_fd);
}

/* ---- a file, or what a directory is to be called ---- */

/* The directory of this name, which then takes it under the name that it had: its descriptor, -1
 * without an error if there is none, -2 with one. */
static int open_dir(const struct place *p, int dirfd, const char *name, struct error *err)
{
    int fd = beneath_open(dirfd, name, O_PATH | O_DIRECTORY, 0);
    if (fd >= 0 || errno == ENOENT || errno == ENOTDIR)
        return fd;
    (void)beneath_failed(&p->dir.b, errno, err);
    return -2;
}

static int take_name(struct place *p, const char *from, struct error *err)
{
    if (path_base(from, p->name) < 0)
        return error_set(err, ERR_USAGE, ENAMETOOLONG, "%s", from);
    if (!*p->name || str_eq(p->name, ".") || str_eq(p->name, ".."))
        return error_set(err, ERR_USAGE, 0, "%s has no name to use in %s; name the local file",
                         p->wish.remote, p->wish.local);
    return 0;
}

/* The directory that takes it, by its path below where the typed one begins, and the name in it. */
static int settle(struct place *p, struct error *err)
{
    const char *local = p->wish.local;
    _cleanup_close_ int fd = open_dir(p, p->dir.b.dirfd, p->dir.b.rest, err);
    if (fd < -1)
        return -1;
    p->into = fd >= 0 || local[strlen(local) - 1] == '/';
    if (take_name(p, p->into ? p->wish.remote : local, err) < 0)
        return -1;
    (void)str_copy(p->dir.path, sizeof p->dir.path, p->dir.b.rest);
    if (p->into)
        return 0;
    char *slash = strrchr(p->dir.path, '/');
    (void)str_copy(p->name, sizeof p->name, slash ? slash + 1 : p->dir.path);
    if (slash)
        *slash = '\0';
    else
        (void)str_copy(p->dir.path, sizeof p->dir.path, ".");
    return 0;
}

int place_find(const struct place_wish *wish, struct place *out, struct error *err)
{
    *out = (struct place)PLACE_INIT;
    out->wish = *wish;
    if (!*wish->local)
        return error_set(err, ERR_USAGE, 0, "the local path of %s is empty", wish->remote);
    if (beneath_find(wish->what, wish->local, &out->dir.b, err) == 0 && settle(out, err) == 0 &&
        hold(&out->dir, err) == 0)
        return 0;
    place_close(out);
    return -1;
}

int place_open(struct place *p, struct error *err)
{
    p->dirfd = place_dir_make(&p->dir, &p->made, err);
    if (p->dirfd < 0)
        return -1;
    if (p->into)
        return 0;
    /* An earlier result may have made a directory of what was to be the name. */
    int fd = open_dir(p, p->dirfd, p->name, err);
    if (fd == -1)
        return 0;
    CLOSE_FD(p->dirfd);
    p->dirfd = fd;
    return fd < 0 ? -1 : take_name(p, p->wish.remote, err);
}

void place_end(const struct place *p, bool ok)
{
    if (!ok)
        beneath_rmdirs(p->dir.b.dirfd, p->dir.path, p->made);
    if (!ok || !p->made)
        return;
    /* Its whole path: p->dir.path begins where the typed one was found to begin. */
    _cleanup_free_ char *path = fd_path(p->dirfd);
    log_info("made the directory %s for %s", SHOWN(path ? path : p->wish.local),
             SHOWN(p->wish.remote));
}

void place_close(struct place *p)
{
    place_dir_close(&p->dir);
    CLOSE_FD(p->dirfd);
}
