/* sweep.c: removes what a crash left half made or half removed in the state directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/priv.h"
#include "lease/store.h"
#include "sys/file.h"
#include "sys/lock.h"

/* A directory without its final name can be removed unless the process that makes it still holds
 * its lock. */
static bool is_rubbish(struct store *s, const char *name)
{
    if (str_has_prefix(name, DEL_DIR))
        return true;
    if (!str_has_prefix(name, NEW_DIR))
        return false;
    _cleanup_close_ int fd = openat(s->leases_fd, name,
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) /* it is not a directory, so nobody makes a lease there */
        return errno == ENOTDIR || errno == ELOOP;
    return !lock_may_be_held(fd, LOCK);
}

/* Whether the slug belongs to a lease that has no directory. A lease gives up its slug before its
 * directory is removed. So once the directory is gone, only a sweep may change this link. The link
 * is read a second time in case it was changed in between. */
static bool is_stale_claim(struct store *s, const char *slug)
{
    char holder[64], again[64];
    ssize_t n = readlinkat(s->slugs_fd, slug, holder, sizeof holder - 1);
    holder[n > 0 ? n : 0] = '\0';
    if (n <= 0 || !lease_id_valid(holder) ||
        faccessat(s->leases_fd, holder, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return false;
    n = readlinkat(s->slugs_fd, slug, again, sizeof again - 1);
    again[n > 0 ? n : 0] = '\0';
    return str_eq(holder, again);
}

static int sweep_slugs(struct store *s, bool dry_run, struct error *err)
{
    _cleanup_closedir_ DIR *d = dir_reopen(s->slugs_fd);
    int count = 0;
    if (!d)
        return error_set(err, ERR_IO, errno, "read %s/slugs", s->path);
    for (struct dirent *de; (de = dir_next(d));) {
        if (de->d_name[0] == '.' || !is_stale_claim(s, de->d_name))
            continue;
        count++;
        if (!dry_run && file_unlink(s->slugs_fd, de->d_name, err) < 0)
            return -1;
    }
    return errno ? error_set(err, ERR_IO, errno, "read %s/slugs", s->path) : count;
}

int store_sweep(struct store *s, bool dry_run, struct error *err)
{
    struct deadline deadline = deadline_in_ms(10000);
    if (s->leases_fd < 0)
        return 0;
    _cleanup_close_ int guard = lock_wait(s->fd, LOCK, true, &deadline, err);
    if (guard < 0)
        return -1;
    _cleanup_closedir_ DIR *d = dir_reopen(s->leases_fd);
    int count = 0;
    if (!d)
        return error_set(err, ERR_IO, errno, "read %s/leases", s->path);
    struct error first = ERROR_INIT;
    for (struct dirent *de; (de = dir_next(d));) {
        struct error e = ERROR_INIT;
        if (!is_rubbish(s, de->d_name))
            continue;
        count++;
        if (!dry_run && dir_remove_tree(s->leases_fd, de->d_name, &e) < 0 && !error_is_set(&first))
            first = e;
    }
    if (errno && !error_is_set(&first))
        (void)error_set(&first, ERR_IO, errno, "read %s/leases", s->path);
    int slugs = sweep_slugs(s, dry_run, err);
    if (slugs < 0 || !error_is_set(&first))
        return slugs < 0 ? -1 : count + slugs;
    if (err)
        *err = first;
    return error_prefix(err, "sweep %s/leases", s->path);
}
