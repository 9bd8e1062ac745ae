#include "net/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define NS_NEW (-1) /* a new namespace, for a task that returns its descriptor */

/* setns(2) and unshare(2) act on the calling thread alone. */
static int enter(int ns_fd, struct error *err)
{
    if (ns_fd == NS_HERE)
        return 0;
    if ((ns_fd == NS_NEW ? unshare(CLONE_NEWNET) : setns(ns_fd, CLONE_NEWNET)) == 0)
        return 0;
    const char *what = ns_fd == NS_NEW ? "make a network namespace" : "enter a network namespace";
    if (errno == EPERM)
        return error_set(err, ERR_ENV, errno, "%s (needs CAP_SYS_ADMIN: run as root)", what);
    return error_set(err, ERR_NET, errno, "%s", what);
}

static int open_own_ns(void *arg, struct error *err)
{
    (void)arg;
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_NET, errno, "open /proc/thread-self/ns/net");
    return fd;
}

static void *task_main(void *p)
{
    struct ns_task *t = p;
    t->result = enter(t->ns_fd, &t->err);
    if (t->result == 0)
        t->result = t->fn(t->arg, &t->err);
    return NULL;
}

void ns_start(struct ns_task *t, int ns_fd, ns_fn *fn, void *arg)
{
    *t = (struct ns_task){.ns_fd = ns_fd, .fn = fn, .arg = arg};
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&t->thread, NULL, task_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    t->started = r == 0;
    if (r != 0)
        t->result = error_set(&t->err, ERR_INTERNAL, r, "start a thread");
}

int ns_join(struct ns_task *t, struct error *err)
{
    if (t->started)
        (void)pthread_join(t->thread, NULL);
    t->started = false;
    if (t->result < 0 && err)
        *err = t->err;
    return t->result;
}

int ns_new(struct error *err)
{
    struct ns_task t;
    ns_start(&t, NS_NEW, open_own_ns, NULL);
    return ns_join(&t, err);
}

int ns_run(int ns_fd, ns_fn *fn, void *arg, struct error *err)
{
    if (ns_fd < 0)
        return error_set(err, ERR_INTERNAL, EBADF, "no network namespace to work in");
    struct ns_task t;
    ns_start(&t, ns_fd, fn, arg);
    return ns_join(&t, err);
}

/* /proc/sys/net shows the namespace of the thread that opens it. */
static int sysctl_open(const char *path, int flags, struct error *err)
{
    char full[128];
    if (str_format(full, sizeof full, "/proc/sys/%s", path) < 0)
        return error_set(err, ERR_INTERNAL, ENAMETOOLONG, "setting %s", path);
    int fd = open(full, flags | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_ENV, errno, "open %s", full);
    return fd;
}

int ns_sysctl_write(const char *path, const char *value, struct error *err)
{
    _cleanup_close_ int fd = sysctl_open(path, O_WRONLY, err);
    if (fd < 0)
        return -1;
    if (write(fd, value, strlen(value)) < 0)
        return error_set(err, ERR_ENV, errno, "write %s to /proc/sys/%s", value, path);
    return 0;
}

/* A kernel without IPv6 has no such setting, and then nothing to close. */
int ns_no_ipv6(const char *dev, struct error *err)
{
    char path[64];
    struct error e = ERROR_INIT;
    (void)str_format(path, sizeof path, "net/ipv6/conf/%s/disable_ipv6", dev);
    if (ns_sysctl_write(path, "1", &e) == 0 || e.sys == ENOENT)
        return 0;
    if (err)
        *err = e;
    return -1;
}

int ns_sysctl_read(const char *path, long *out, struct error *err)
{
    _cleanup_close_ int fd = sysctl_open(path, O_RDONLY, err);
    if (fd < 0)
        return -1;
    char text[32];
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n <= 0)
        return error_set(err, ERR_ENV, n < 0 ? errno : EIO, "read /proc/sys/%s", path);
    text[n] = '\0';
    *out = strtol(text, NULL, 10);
    return 0;
}
