/* sockets.h: the host's own sockets that are connected to the address of one lease.
 *
 * A guest that was killed, or that keeps its own FIN and RST back, leaves the host's clients
 * connected. What they send later would go to the next lease with that address. So their
 * connections end with the lease: they get ECONNABORTED.
 */
#ifndef CRABBOX_NET_SOCKETS_H
#define CRABBOX_NET_SOCKETS_H

#include <stdint.h>

/* Ends the TCP and connected UDP sockets of the calling thread's namespace whose other end is the
 * address (host byte order). Best effort: a kernel without CONFIG_INET_DIAG_DESTROY ends none, and
 * a socket that is not connected (UDP) has no other end. */
void sockets_end(uint32_t addr);

#endif
