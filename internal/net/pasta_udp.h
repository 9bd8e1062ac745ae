/* pasta_udp.h: how a lease of pasta's gets to the outside by UDP.
 *
 * pasta opens a UDP socket on the host with the port that the packet comes from, at all addresses
 * of the host. So the lease's namespace gives each packet a port of the lease's own part of a quiet
 * range (limits.h).
 *
 * TCP sockets of every pasta are bound to the link that leads out. UDP sockets of old ones, such as
 * Debian 12's, are bound to no link. They would reach the host's own services at an address that it
 * gets later, and networks behind other links. No version says so. Therefore UDP is closed at first
 * but for questions to the lease's name servers, and one question is sent out of the namespace: UDP
 * is opened if the socket that appears on the host is bound to the link.
 */
#ifndef CRABBOX_NET_PASTA_UDP_H
#define CRABBOX_NET_PASTA_UDP_H

#include "net/net.h"
#include "sys/userns.h"

/* What a lease does without where UDP stays closed. */
#define PASTA_UDP_LACK                                                                             \
    "no UDP to the outside but DNS, as the installed pasta can't keep it to one link"

/* A part (below LIMITS_PASTA_PARTS) with ports that no UDP socket of the host has now. Any, where
 * there is none or the kernel doesn't tell. */
uint32_t pasta_udp_part(void);

/* Opens UDP if pasta, which is running, keeps it to the link `dev`. 1: it is open; 0: it stays
 * closed, also where it can't be told; or -1. */
int pasta_udp_open(const struct userns *ns, const struct net_lease *n, const char *dev,
                   const struct deadline *d, struct error *err);

/* What the host's sockets of this user with that port say: 1: all are bound to the link; 0: one is
 * not; or there is none (-1). */
int pasta_udp_bound(uint16_t port, uint32_t link);

#endif
