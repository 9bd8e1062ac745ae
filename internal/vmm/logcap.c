#include "vmm/logcap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "vmm/vmm.h"

#define PACE_MS    500 /* between looks at a log that grows */
#define STACK_SIZE (64u * 1024)
#define BLOCK      512 /* of st_blocks */

static const char *const logs[] = {VMM_CONSOLE_LOG, VMM_LOG};

int logcap_apply(int dirfd, const char *name, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", name);
    if (!S_ISREG(st.st_mode) || (int64_t)st.st_blocks * BLOCK <= LOGCAP_MAX)
        return 0;
    off_t end = st.st_size - LOGCAP_KEPT;
    if (end > 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) == 0)
        return 1;
    if (ftruncate(fd, 0) < 0)
        return error_set(err, ERR_IO, errno, "empty %s", name);
    return 1;
}

off_t logcap_begin(int fd)
{
    off_t begin = lseek(fd, 0, SEEK_DATA);
    return begin < 0 ? 0 : begin;
}

#define DIR_EVENTS (IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED)

struct watcher {
    int fd;      /* inotify; owned */
    int tell_fd; /* eventfd; owned */
    int dir_wd;
    char dir[96];
    bool grown;       /* a log was written to */
    int64_t grown_ms; /* when that was seen */
};

static void watcher_free(struct watcher *w)
{
    CLOSE_FD(w->fd);
    CLOSE_FD(w->tell_fd);
    free(w);
}

/* Once, then it is set again: a console that is busy costs two looks a second, not one a byte. */
static void watch_logs(const struct watcher *w)
{
    char path[160];
    for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
        (void)str_format(path, sizeof path, "%s/%s", w->dir, logs[i]);
        (void)inotify_add_watch(w->fd, path, IN_MODIFY | IN_ONESHOT | IN_DONT_FOLLOW);
    }
}

static void cap_logs(const struct watcher *w)
{
    _cleanup_close_ int dirfd = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; dirfd >= 0 && i < ARRAY_LEN(logs); i++)
        (void)logcap_apply(dirfd, logs[i], NULL);
}

/* Reads what has happened; false when the directory is gone. */
static bool take_events(struct watcher *w)
{
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    const uint64_t one = 1;
    ssize_t n = read(w->fd, buf, sizeof buf);
    uint32_t of_dir = 0;
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    for (char *p = buf; p < buf + n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
        if (e->wd == w->dir_wd)
            of_dir |= e->mask;
        if ((e->mask & IN_MODIFY) && !w->grown) {
            w->grown = true;
            w->grown_ms = clock_boot_ms();
        }
        p += sizeof *e + e->len;
    }
    if (of_dir & DIR_EVENTS)
        (void)!write(w->tell_fd, &one, sizeof one);
    return !(of_dir & IN_IGNORED);
}

/* Between two looks at the logs nothing that is written wakes us; what becomes of the directory
 * does. */
static void *watch(void *arg)
{
    struct watcher *w = arg;
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    watch_logs(w);
    for (;;) {
        int64_t left = w->grown_ms + PACE_MS - clock_boot_ms();
        int ready = poll(&p, 1, !w->grown ? -1 : left > 0 ? (int)left : 0);
        if (ready > 0 && !take_events(w))
            break;
        if (w->grown && clock_boot_ms() - w->grown_ms < PACE_MS)
            continue;
        if (w->grown)
            cap_logs(w);
        w->grown = false;
        watch_logs(w);
    }
    watcher_free(w);
    return NULL;
}

static int start_thread(struct watcher *w)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attr, watch, w);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return r;
}

int logcap_start(int leases_fd, const char *id, struct error *err)
{
    struct watcher *w = xcalloc(1, sizeof *w);
    (void)str_format(w->dir, sizeof w->dir, "/proc/self/fd/%d/%s", leases_fd, id);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    w->tell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_close_ int told = w->tell_fd < 0 ? -1 : fcntl(w->tell_fd, F_DUPFD_CLOEXEC, 0);
    w->dir_wd = w->fd < 0 || told < 0 ? -1
                                      : inotify_add_watch(w->fd, w->dir,
                                                          IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF |
                                                              IN_DELETE_SELF | IN_ONLYDIR);
    int r = w->dir_wd < 0 ? errno : start_thread(w);
    if (r == 0)
        return TAKE_FD(told);
    watcher_free(w);
    return error_set(err, ERR_ENV, r, "watch lease %s%s", id,
                     r == EMFILE ? " (raise the sysctl fs.inotify.max_user_instances)" : "");
}
