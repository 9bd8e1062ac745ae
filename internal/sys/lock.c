#include "sys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <threads.h>
#include <unistd.h>

#include "base/cleanup.h"

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static int open_lock(int dirfd, const char *name, bool create, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
    int fd = openat(dirfd, name, flags, 0600);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open lock %s",
                         name);
    return fd;
}

int lock_try(int dirfd, const char *name, bool create, struct error *err)
{
    _cleanup_close_ int fd = open_lock(dirfd, name, create, err);
    if (fd < 0)
        return -1;
    struct flock fl = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &fl) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return error_set(err, ERR_BUSY, 0, "%s is locked by another process", name);
        return error_set(err, ERR_IO, errno, "lock %s", name);
    }
    return TAKE_FD(fd);
}

/* The kernel has no lock wait with a deadline or a descriptor to poll: one thread blocks in
 * the kernel and reports by eventfd. It owns its own descriptor of the same open file, so
 * giving up early is safe: a thread that gets the lock late closes it again. */
struct waiter {
    int fd;      /* the lock; shared open file description */
    int done_fd; /* eventfd */
    int error;   /* errno of the attempt, 0 when taken */
};

static int wait_thread(void *arg)
{
    struct waiter *w = arg;
    struct flock fl = whole_file(F_WRLCK);
    int r;
    do
        r = fcntl(w->fd, F_OFD_SETLKW, &fl);
    while (r < 0 && errno == EINTR);
    w->error = r < 0 ? errno : 0;
    (void)!write(w->done_fd, &(uint64_t){1}, sizeof(uint64_t));
    return 0;
}

int lock_wait(int dirfd, const char *name, bool create, const struct deadline *d, struct error *err)
{
    struct error busy = ERROR_INIT;
    int taken = lock_try(dirfd, name, create, &busy);
    if (taken >= 0)
        return taken;
    if (busy.kind != ERR_BUSY) {
        if (err)
            *err = busy;
        return -1;
    }
    struct waiter *w = calloc(1, sizeof *w);
    if (!w)
        return error_set(err, ERR_INTERNAL, ENOMEM, "wait for lock %s", name);
    w->fd = open_lock(dirfd, name, create, err);
    w->done_fd = eventfd(0, EFD_CLOEXEC);
    thrd_t thread;
    if (w->fd < 0 || w->done_fd < 0 || thrd_create(&thread, wait_thread, w) != thrd_success) {
        if (w->fd >= 0)
            (void)close(w->fd);
        if (w->done_fd >= 0)
            (void)close(w->done_fd);
        free(w);
        return error_set(err, ERR_INTERNAL, errno, "wait for lock %s", name);
    }
    struct pollfd p = {.fd = w->done_fd, .events = POLLIN};
    if (deadline_poll(&p, 1, d, name, err) < 0) {
        /* The thread stays blocked in the kernel and ends with the process; its memory and
         * descriptors are left to it on purpose. */
        (void)thrd_detach(thread);
        return error_prefix(err, "another process works on this lease");
    }
    (void)thrd_join(thread, NULL);
    int fd = w->fd, code = w->error;
    (void)close(w->done_fd);
    free(w);
    if (!code)
        return fd;
    (void)close(fd);
    return error_set(err, ERR_IO, code, "lock %s", name);
}

int lock_is_held(int dirfd, const char *name, struct error *err)
{
    _cleanup_close_ int fd = open_lock(dirfd, name, false, err);
    if (fd < 0)
        return -1;
    struct flock fl = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
        return error_set(err, ERR_IO, errno, "query lock %s", name);
    return fl.l_type != F_UNLCK;
}
