/* ns.h: works in a network namespace that has no name.
 *
 * A namespace here is a descriptor. It lives while the descriptor is open or a process is in it, so
 * nothing of it is left after a program was killed. Work in it runs on a short-lived thread that
 * enters it. The calling thread never leaves its own namespace, so it never has to switch back. The
 * thread has every signal blocked.
 */
#ifndef CRABBOX_NET_NS_H
#define CRABBOX_NET_NS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"

/* Makes a namespace with nothing in it but a down loopback. Returns its descriptor (caller
 * closes); ERR_ENV without CAP_SYS_ADMIN. */
int ns_new(struct error *err);

/* Runs fn(arg, err) inside and returns what it returned. fn must not keep the thread. */
typedef int ns_fn(void *arg, struct error *err);
int ns_run(int ns_fd, ns_fn *fn, void *arg, struct error *err);

/* The same beside the caller: ns_start, do something else, ns_join. The task and `arg` stay where
 * they are until then. NS_HERE keeps the namespace of the caller. */
#define NS_HERE (-2)
struct ns_task {
    int ns_fd;
    ns_fn *fn;
    void *arg;
    struct error err;
    int result;
    bool started;
    pthread_t thread;
};
void ns_start(struct ns_task *t, int ns_fd, ns_fn *fn, void *arg);
int ns_join(struct ns_task *t, struct error *err);

/* Writes a value below /proc/sys of the calling thread's namespace; `path` is relative to it.
 * ERR_ENV with errno in err->sys. */
int ns_sysctl_write(const char *path, const char *value, struct error *err);

/* No IPv6 on a link ("all", "default" too) of the calling thread's namespace. */
int ns_no_ipv6(const char *dev, struct error *err);

/* Reads a one-number setting into *out. */
int ns_sysctl_read(const char *path, long *out, struct error *err);

#endif
