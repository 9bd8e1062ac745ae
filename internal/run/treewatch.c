/* treewatch.c: watches a working tree for changes that a sync would send.
 *
 * Each directory that leads to a file of the last scan has an inotify watch. An event means only
 * that something may have changed. After it, tree_watch_wait waits until the tree has been quiet
 * for a while, scans it again, and compares the result with the marked list. A scan follows at the
 * latest NOISE_MAX_MS after the first event, even if the tree is never quiet, and the time between
 * two scans grows with the time that the last one took.
 */
#include "run/treewatch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sys/beneath.h"

enum {
    WATCHES_MAX = 8192,
    READS_MAX = 64,         /* what is left of a flood of events is read the next time */
    NOISE_MAX_MS = 5000,    /* a tree that is never quiet is looked at all the same */
    LOOK_EVERY_MS = 10000,  /* without an event */
    PARTLY_EVERY_MS = 2000, /* the same, where not all is watched */
    PAUSE = 4,              /* times what a look costs, until the next */
};

int tree_watch_open(struct tree_watch *w, struct error *err)
{
    w->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->notify_fd < 0)
        return error_set(err, ERR_ENV, errno,
                         "watch the tree; next: sysctl fs.inotify.max_user_instances=512");
    return 0;
}

void tree_watch_close(struct tree_watch *w)
{
    CLOSE_FD(w->notify_fd);
    sync_list_free(&w->list);
}

/* ---- directories ---- */

static void watch_partly(struct tree_watch *w, const char *why)
{
    if (!w->partly)
        log_warn("not every directory of the tree is watched (%s), so it is looked at every %d s",
                 why, PARTLY_EVERY_MS / 1000);
    w->partly = true;
}

/* Through the open directory: no link on the way is followed. One that is gone needs no watch. */
static void watch_dir(struct tree_watch *w, const char *path)
{
    char at[64];
    _cleanup_close_ int fd = beneath_open(w->list.root_fd, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return;
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", fd);
    if (inotify_add_watch(w->notify_fd, at,
                          IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM |
                              IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK) < 0 &&
        errno != ENOENT)
        watch_partly(w, strerror(errno));
}

/* Each directory that leads to a file, once: the list is sorted, so those that two neighbours share
 * are done. */
static void watch_dirs(struct tree_watch *w)
{
    const char *before = "";
    size_t n = 1;
    watch_dir(w, ".");
    for (size_t i = 0; i < w->list.n_files; i++) {
        const char *path = w->list.files[i].path;
        for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
            size_t len = (size_t)(slash - path);
            if (strncmp(before, path, len + 1) == 0)
                continue;
            if (++n > WATCHES_MAX) {
                watch_partly(w, "there are too many");
                return;
            }
            _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, path);
            watch_dir(w, dir);
        }
        before = path;
    }
}

/* ---- looking ---- */

static int scan(struct tree_watch *w, struct sync_list *out, struct error *err)
{
    struct deadline d = deadline_never();
    int64_t t0 = clock_boot_us();
    d.cancel_fd = w->cancel_fd;
    int r = sync_scan(w->dir_fd, w->exclude, &w->limits, &d, out, err);
    w->look_us = clock_boot_us() - t0;
    return r;
}

int tree_watch_mark(struct tree_watch *w, struct error *err)
{
    sync_list_free(&w->list);
    w->list = (struct sync_list){0};
    if (scan(w, &w->list, err) < 0)
        return -1;
    watch_dirs(w);
    return 0;
}

static bool same(const struct sync_list *a, const struct sync_list *b)
{
    if (a->n_files != b->n_files)
        return false;
    for (size_t i = 0; i < a->n_files; i++) {
        const struct sync_file *x = &a->files[i];
        const struct sync_file *y = &b->files[i];
        if (x->size != y->size || x->mtime_ns != y->mtime_ns || x->mode != y->mode ||
            !str_eq(x->path, y->path))
            return false;
    }
    return true;
}

static int look(struct tree_watch *w, struct error *err)
{
    struct sync_list now = {0};
    if (scan(w, &now, err) < 0)
        return -1;
    int changed = !same(&w->list, &now);
    sync_list_free(&now);
    return changed;
}

/* ---- waiting ---- */

static bool drain(int fd)
{
    char events[16384];
    bool any = false;
    for (int i = 0; i < READS_MAX && read(fd, events, sizeof events) > 0; i++)
        any = true;
    return any;
}

/* 1: an event. */
static int wait_event(struct tree_watch *w, int64_t ms, struct error *err)
{
    struct pollfd p[] = {{.fd = w->notify_fd, .events = POLLIN},
                         {.fd = w->cancel_fd, .events = POLLIN},
                         {.fd = w->gone_fd, .events = POLLIN}};
    int timeout = ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
    if (poll(p, ARRAY_LEN(p), timeout) < 0 && errno != EINTR)
        return error_set(err, ERR_INTERNAL, errno, "wait for a change of the tree");
    if (p[1].revents)
        return error_set(err, ERR_CANCELLED, 0, "interrupted while waiting for a change");
    if (p[2].revents)
        return error_set(err, ERR_NOT_RUNNING, 0, "the machine of the lease is gone");
    return p[0].revents && drain(w->notify_fd);
}

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int tree_watch_wait(struct tree_watch *w, int64_t quiet_ms, int64_t idle_ms, struct error *err)
{
    int64_t now = clock_boot_ms(), end = now + idle_ms, begun = 0;
    int64_t earliest = now + PAUSE * w->look_us / 1000;
    int64_t next = at_least(now + quiet_ms, earliest); /* for what changed during the run */
    while (now < end) {
        int event = wait_event(w, (next < end ? next : end) - now, err);
        if (event < 0)
            return -1;
        now = clock_boot_ms();
        if (event) {
            begun = begun ? begun : now;
            int64_t latest = begun + NOISE_MAX_MS;
            next = at_least(now + quiet_ms < latest ? now + quiet_ms : latest, earliest);
        }
        if (now < next)
            continue;
        int changed = look(w, err);
        if (changed)
            return changed;
        now = clock_boot_ms();
        begun = 0;
        earliest = now + PAUSE * w->look_us / 1000;
        next = at_least(now + (w->partly ? PARTLY_EVERY_MS : LOOK_EVERY_MS), earliest);
    }
    return 0;
}
