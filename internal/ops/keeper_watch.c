/* keeper_watch.c: the thread that reads a keeper's inotify events.
 *
 * There is one inotify instance. It watches the lease's directory for a new record and for the
 * removal of the directory, and the VMM's directory and logs for growth. Each watch of a log is
 * one-shot: after an event, the thread looks at the log (logcap.h), waits a moment, and sets the
 * watch again. So a busy console costs two looks a second and not one for each write. Without an
 * instance (a user has 128), the thread looks from time to time instead.
 */
#include "ops/keeper_watch.h"

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
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

#define PACE_MS    500  /* between looks at a log that grows */
#define LOOK_MS    2000 /* between looks without inotify */
#define STACK_SIZE (64u * 1024)

#define DIR_EVENTS (IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE | IN_ONLYDIR)

static const char *const logs[] = {VMM_CONSOLE_LOG, VMM_LOG};

struct watcher {
    int fd;       /* inotify; owned */
    int event_fd; /* borrowed from the keeper */
    int dir_wd;
    char dir[96];
};

/* What a batch of events comes to. */
struct heard {
    bool record, logs_made, log_grown, gone;
};

/* The directory first: what is made in it before its watch is there is found by its name. A log
 * once, then it is set again: a console that is busy costs two looks a second, not one a byte. */
static void watch_logs(const struct watcher *w)
{
    char path[160];
    (void)str_format(path, sizeof path, "%s/" VMM_DIR, w->dir);
    (void)inotify_add_watch(w->fd, path, IN_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW);
    for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
        (void)str_format(path, sizeof path, "%s/" VMM_DIR "/%s", w->dir, logs[i]);
        (void)inotify_add_watch(w->fd, path, IN_MODIFY | IN_ONESHOT | IN_DONT_FOLLOW);
    }
}

/* False: look again. */
static bool cap_logs(const struct watcher *w)
{
    _cleanup_close_ int dirfd = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int vmm = dirfd < 0 ? -1 : vmm_dir_open(dirfd, NULL);
    return vmm < 0 || logcap_apply_all(vmm);
}

/* A log, or the directory that will have it. */
static bool brings_logs(const struct inotify_event *e)
{
    for (size_t i = 0; e->len > 0 && i < ARRAY_LEN(logs); i++)
        if (str_eq(e->name, logs[i]))
            return true;
    return e->len > 0 && str_eq(e->name, VMM_DIR);
}

static void hear(const struct watcher *w, const struct inotify_event *e, struct heard *h)
{
    h->logs_made = h->logs_made || ((e->mask & IN_CREATE) && brings_logs(e));
    if (e->wd != w->dir_wd) {
        h->log_grown = h->log_grown || (e->mask & IN_MODIFY);
        return;
    }
    h->gone = h->gone || (e->mask & IN_IGNORED);
    h->record = h->record || (e->mask & ~(uint32_t)(IN_CREATE | IN_ISDIR));
}

static struct heard read_events(const struct watcher *w)
{
    struct heard h = {.record = false};
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(w->fd, buf, sizeof buf);
    for (char *p = buf; n > 0 && p < buf + n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
        hear(w, e, &h);
        p += sizeof *e + e->len;
    }
    return h;
}

/* For poll(2): a time that has just passed must not become its "for ever". */
static int until(int64_t look_at)
{
    int64_t ms = look_at == INT64_MAX ? -1 : look_at - clock_boot_ms();
    return look_at != INT64_MAX && ms < 0 ? 0 : (int)ms;
}

/* A log that grew is looked at when its pace is over; everything else is heard at once. */
static void watch_events(const struct watcher *w)
{
    struct heard h = {.logs_made = true};
    int64_t look_at = INT64_MAX;
    while (!h.gone) {
        bool look = clock_boot_ms() >= look_at;
        /* Before the look: what is written after it is heard. */
        if (look || (h.logs_made && look_at == INT64_MAX))
            watch_logs(w);
        if (look)
            look_at = cap_logs(w) ? INT64_MAX : clock_boot_ms() + PACE_MS;
        else if (h.logs_made && look_at == INT64_MAX) /* written to before that, maybe */
            look_at = clock_boot_ms() + PACE_MS;
        struct pollfd p = {.fd = w->fd, .events = POLLIN};
        if (poll(&p, 1, until(look_at)) <= 0) {
            h = (struct heard){.record = false};
            continue;
        }
        h = read_events(w);
        if (h.log_grown && look_at == INT64_MAX)
            look_at = clock_boot_ms() + PACE_MS;
        if (h.record || h.gone)
            (void)eventfd_write(w->event_fd, 1);
    }
}

/* Without an instance: nothing tells, so it is looked at from time to time. */
static void watch_time(const struct watcher *w)
{
    while (access(w->dir, F_OK) == 0) {
        (void)poll(NULL, 0, LOOK_MS);
        (void)cap_logs(w);
        (void)eventfd_write(w->event_fd, 1);
    }
}

static void *watch(void *arg)
{
    struct watcher *w = arg;
    if (w->fd >= 0)
        watch_events(w);
    else
        watch_time(w);
    CLOSE_FD(w->fd);
    free(w);
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

int keeper_watch(int leases_fd, const char *id, struct error *err)
{
    struct watcher *w = xcalloc(1, sizeof *w);
    _cleanup_close_ int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* No descriptor of the lease's directory is kept: it would keep the directory's inode, and so
     * the event of its removal would never come. */
    (void)str_format(w->dir, sizeof w->dir, "/proc/self/fd/%d/%s", leases_fd, id);
    w->event_fd = event_fd;
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    w->dir_wd = w->fd < 0 ? 0 : inotify_add_watch(w->fd, w->dir, DIR_EVENTS);
    int r = event_fd < 0 || w->dir_wd < 0 ? errno : start_thread(w);
    if (r == 0)
        return TAKE_FD(event_fd);
    CLOSE_FD(w->fd);
    free(w);
    return error_set(err, ERR_ENV, r, "watch lease %s", id);
}
