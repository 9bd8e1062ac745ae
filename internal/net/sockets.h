/* sockets.h: the host's own sockets: those that are connected to the address of one lease, what the
 * kernel remembers of them, and those of UDP.
 *
 * A guest that was killed, or that keeps its own FIN and RST back, leaves the host's clients
 * connected. What they send later would go to the next lease with that address. So their
 * connections end with the lease: they get ECONNABORTED.
 */
#ifndef CRABBOX_NET_SOCKETS_H
#define CRABBOX_NET_SOCKETS_H

#include <stdint.h>

#include "base/error.h"

/* Ends the TCP and connected UDP sockets of the calling thread's namespace whose other end is the
 * address (host byte order). Best effort: a kernel without CONFIG_INET_DIAG_DESTROY ends none, and
 * a socket that is not connected (UDP) has no other end. */
void sockets_end(uint32_t addr);

/* Has the kernel forget how fast and how far away that address was: it would begin connections to
 * the next lease there by that. Best effort: the kernel itself forgets after an hour. */
void sockets_forget_metrics(uint32_t addr);

struct socket_udp {
    uint16_t port; /* its own */
    uint32_t link; /* the only one that it uses; 0: any */
    uint32_t uid;
};
typedef void sockets_udp_fn(const struct socket_udp *s, void *arg);
/* Calls fn for each UDP socket of the calling thread's namespace, whoever has it. ERR_NET where the
 * kernel doesn't tell. */
int sockets_each_udp(sockets_udp_fn *fn, void *arg, struct error *err);

#endif
