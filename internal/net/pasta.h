/* pasta.h: the network of a lease that a user makes who is not root (NET_PASTA).
 *
 *   host namespace        lease namespace, in a user namespace of the user's (sys/userns.h)
 *   pasta's sockets ----- up0 192.0.2.6/30 (pasta's tap),  tap0 192.0.2.1/30 -- guest 192.0.2.2
 *
 * Inside it is as with links of our own: the same tap, rules and addresses of the guest. Only the
 * way out is another. pasta (of the package passt) is a program that opens a socket of the user's
 * on the host for each connection that comes out of the namespace, so no link and no rule of the
 * host is needed. It is started as a process of the lease and is held until it was recorded.
 *
 * Nothing comes in by pasta: it forwards no port. SSH connects from within the namespace, over the
 * tap, by a socket that a child of ours makes there (pasta_socket).
 *
 * To the host itself a guest must not get, by whatever address: what pasta opens comes from a user
 * of the host. So pasta maps no address to the host's loopback, its sockets are bound to the link
 * that leads out (answers of the host's own services don't come in there), and the rules in the
 * namespace drop what goes to an address that the host had when the lease was made. For UDP see
 * pasta_udp.h.
 *
 *   pasta_plan → record → pasta_make → pasta_start → ... → pasta_end
 */
#ifndef CRABBOX_NET_PASTA_H
#define CRABBOX_NET_PASTA_H

#include "net/net.h"
#include "sys/proc.h"
#include "sys/userns.h"

#define PASTA_PROGRAM "pasta"
#define PASTA_INSTALL "as root: apt-get install passt"
/* Its files in the lease's directory. */
#define PASTA_READY "pasta.pid"
#define PASTA_LOG   "pasta.log"

/* Whether leases of this process take this way: it is not root and has not root's rights. */
bool pasta_is_needed(void);

/* Chooses names and addresses; touches nothing. */
int pasta_plan(const struct net_request *req, struct net_lease *out, struct error *err);

/* Makes tap, rules, addresses and routes in the lease's new namespace. */
int pasta_make(const struct userns *ns, const struct net_lease *n, struct error *err);

struct pasta_job {
    const struct userns *ns; /* with its holder */
    const struct net_lease *n;
    int dirfd; /* the lease's directory; borrowed */
    const struct deadline *deadline;
    /* Called with the program still held: must put `proc` on disk before it returns 0. */
    int (*started)(void *ctx, const struct proc_ref *proc, struct error *err);
    void *ctx;
};
/* Starts pasta and waits until the namespace has its uplink. 1: it runs; 0: the host itself has no
 * way out over IPv4, so there is nothing to start. */
int pasta_start(const struct pasta_job *job, struct error *err);

/* Ends it and removes its files; a program that is gone is a success. */
int pasta_end(const struct proc_ref *proc, int dirfd, struct error *err);

/* A TCP socket (close-on-exec, non-blocking; caller closes) that connects from within. */
int pasta_socket(const struct userns *ns, struct error *err);
/* As net_watch_guest. */
int pasta_watch_guest(const struct userns *ns, const struct net_lease *n, struct error *err);

/* Whether the kernel lets us make such a network, rules and all: makes one and lets it go. */
int pasta_try(const struct net_request *req, const struct deadline *d, struct error *err);
/* The program's path; ERR_ENV names the package. */
int pasta_find(char path[static PATH_MAX], struct error *err);
/* Whether the user may open /dev/net/tun; ERR_ENV says what root has to type. */
int pasta_check_tun(struct error *err);
/* The host's link that leads out over IPv4: 1, 0 where there is none, or -1. */
int pasta_uplink(char dev[static IF_NAMESIZE], struct error *err);

#endif
