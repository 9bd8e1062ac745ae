#include "sys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <threads.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

int lock_try(int dirfd, const char *name, bool create, struct error *err)
{
    _cleanup_close_ int fd = file_open_at(dirfd, name, create, err);
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

/* The kernel can't wait for a lock with a deadline, and has no descriptor to poll for it. So a
 * thread waits in the kernel and reports by eventfd. The one that sets `settled` second owns the
 * struct: if the caller gives up, the thread frees it, and with it the lock. */
struct waiter {
    int fd;      /* the lock */
    int done_fd; /* eventfd */
    int error;   /* errno of the attempt, 0 when taken */
    atomic_flag settled;
};

static void waiter_free(struct waiter *w)
{
    CLOSE_FD(w->fd);
    CLOSE_FD(w->done_fd);
    free(w);
}

static int wait_thread(void *arg)
{
    struct waiter *w = arg;
    struct flock fl = whole_file(F_WRLCK);
    int r;
    do
        r = fcntl(w->fd, F_OFD_SETLKW, &fl);
    while (r < 0 && errno == EINTR);
    w->error = r < 0 ? errno : 0;
    if (atomic_flag_test_and_set(&w->settled))
        waiter_free(w);
    else
        (void)!write(w->done_fd, &(uint64_t){1}, sizeof(uint64_t));
    return 0;
}

/* A waiter that was given up belongs to its thread, which may wait in the kernel until the process
 * ends. This pointer keeps it reachable, so that a leak checker does not report it. */
static struct waiter *volatile given_up;

static struct waiter *waiter_start(int dirfd, const char *name, bool create, struct error *err)
{
    struct waiter *w = xcalloc(1, sizeof *w);
    thrd_t thread;
    w->fd = file_open_at(dirfd, name, create, err);
    w->done_fd = w->fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
    if (w->fd >= 0 && w->done_fd >= 0 && thrd_create(&thread, wait_thread, w) == thrd_success) {
        (void)thrd_detach(thread);
        return w;
    }
    if (w->fd >= 0)
        (void)error_set(err, ERR_INTERNAL, errno, "wait for lock %s", name);
    waiter_free(w);
    return NULL;
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
    struct waiter *w = waiter_start(dirfd, name, create, err);
    if (!w)
        return -1;
    struct pollfd p = {.fd = w->done_fd, .events = POLLIN};
    bool in_time = deadline_poll_once(&p, 1, d, name, err) > 0;
    if (!in_time && !atomic_flag_test_and_set(&w->settled)) {
        given_up = w;
        return error_prefix(err, "another process works on this lease");
    }
    /* The thread has settled, and does not touch the struct after its report. */
    (void)!read(w->done_fd, &(uint64_t){0}, sizeof(uint64_t));
    int code = in_time ? w->error : ETIMEDOUT;
    int fd = TAKE_FD(w->fd);
    waiter_free(w);
    if (!code)
        return fd;
    (void)close(fd);
    return in_time ? error_set(err, ERR_IO, code, "lock %s", name) : -1;
}

int lock_share(int dirfd, const char *name, struct error *err)
{
    _cleanup_close_ int fd = file_open_at(dirfd, name, true, err);
    struct flock fl = whole_file(F_RDLCK);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_OFD_SETLK, &fl) < 0)
        return error_set(err, errno == EAGAIN ? ERR_BUSY : ERR_IO, errno, "share lock %s", name);
    return TAKE_FD(fd);
}

bool lock_may_be_held(int dirfd, const char *name)
{
    struct error err = ERROR_INIT;
    int held = lock_is_held(dirfd, name, &err);
    return held < 0 ? err.kind != ERR_NOT_FOUND : held;
}

int lock_is_held(int dirfd, const char *name, struct error *err)
{
    _cleanup_close_ int fd = file_open_at(dirfd, name, false, err);
    if (fd < 0)
        return -1;
    struct flock fl = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
        return error_set(err, ERR_IO, errno, "query lock %s", name);
    return fl.l_type != F_UNLCK;
}
