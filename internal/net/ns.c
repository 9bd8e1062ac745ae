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

struct ns_job {
    int ns_fd; /* -1: make a new one and return its descriptor */
    int (*fn)(void *arg, struct error *err);
    void *arg;
    struct error *err;
    int result;
};

/* setns(2) and unshare(2) act on the calling thread alone. */
static int enter(int ns_fd, struct error *err)
{
    if ((ns_fd < 0 ? unshare(CLONE_NEWNET) : setns(ns_fd, CLONE_NEWNET)) == 0)
        return 0;
    const char *what = ns_fd < 0 ? "make a network namespace" : "enter a network namespace";
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

static void *job_main(void *p)
{
    struct ns_job *job = p;
    job->result = enter(job->ns_fd, job->err);
    if (job->result == 0)
        job->result = job->fn(job->arg, job->err);
    return NULL;
}

static int run_job(struct ns_job *job)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    int r = pthread_create(&thread, NULL, job_main, job);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return error_set(job->err, ERR_INTERNAL, r, "start a thread for a network namespace");
    (void)pthread_join(thread, NULL);
    return job->result;
}

int ns_new(struct error *err)
{
    struct ns_job job = {.ns_fd = -1, .fn = open_own_ns, .err = err};
    return run_job(&job);
}

int ns_run(int ns_fd, int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
    if (ns_fd < 0)
        return error_set(err, ERR_INTERNAL, EBADF, "no network namespace to work in");
    struct ns_job job = {.ns_fd = ns_fd, .fn = fn, .arg = arg, .err = err};
    return run_job(&job);
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
