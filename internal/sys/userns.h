/* userns.h: a user and a network namespace of its own for one lease, made by a user who is not
 * root.
 *
 *   userns_new → userns_run, spawn_spec.userns_fd (any number) → userns_let_go → userns_close
 *   userns_of  → userns_run → userns_close       later, by a process that is in there
 *
 * Inside, the caller is root, over what belongs to these namespaces and nothing else. The ids there
 * are those that the system has given the caller (/etc/subuid and /etc/subgid, by newuidmap and
 * newgidmap of the package uidmap). Without them there is one id, the caller's own.
 *
 * Both namespaces begin in a small process, the holder, and live on by our descriptors and by
 * whoever was started in them. Programs that join a namespace by a process's number are given the
 * holder's. It ends with userns_let_go, or with us, however we end: nothing has to be removed.
 *
 * A process with threads can't enter a user namespace. So work in there is done by a child, which
 * is a copy of us as after fork(2), and only the child's answer comes back.
 */
#ifndef CRABBOX_SYS_USERNS_H
#define CRABBOX_SYS_USERNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/deadline.h"
#include "sys/proc.h"

struct userns {
    int user_fd, net_fd; /* owned */
    pid_t holder;        /* our child, or 0 */
    int hold_fd;         /* owned; the holder ends when it is closed */
    /* userns_new only: the ids beside 0 (the caller), which are those of the host from `first` on,
     * and its groups from `first_gid` on. In there they are 1 to `more`. */
    uint32_t first, first_gid, more;
};
#define USERNS_INIT                                                                                \
    {                                                                                              \
        .user_fd = -1, .net_fd = -1, .holder = 0, .hold_fd = -1                                    \
    }

/* Whether this kernel may let us make one, by what its settings say. ERR_ENV names the setting that
 * forbids it and what root has to type. */
int userns_check(struct error *err);

/* Makes both. ERR_ENV says why the kernel refuses. */
int userns_new(const struct deadline *d, struct userns *out, struct error *err);
void userns_let_go(struct userns *ns);
void userns_close(struct userns *ns);
#define _cleanup_userns_ _cleanup_(userns_close)

/* Those of a process that is in both; ERR_NOT_RUNNING when it is gone. */
int userns_of(const struct proc_ref *proc, struct userns *out, struct error *err);

/* Runs fn(arg, err) as root in there, in a child that shares no memory with us: what fn writes to
 * `arg` is lost. Returns what it returned, below 0 with its error. fn starts no program. */
typedef int userns_fn(void *arg, struct error *err);
int userns_run(const struct userns *ns, userns_fn *fn, void *arg, struct error *err);

/* The same of a fn that fills up to `max` descriptors, which come to us (caller closes), and
 * returns their number. */
typedef int userns_fds_fn(void *arg, int *fds, unsigned max, struct error *err);
#define USERNS_FDS_MAX 64
int userns_run_fds(const struct userns *ns, userns_fds_fn *fn, void *arg, int *fds, unsigned max,
                   struct error *err);

/* Whether the system gives this user more ids than one; ERR_ENV says why not, and what would help.
 */
int userns_check_ids(struct error *err);

#endif
