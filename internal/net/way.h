/* way.h: which way a lease's packets go, and which way the answers come back.
 *
 * No table of routes is read for that: routing rules, VRFs, the reverse path filter and the setting
 * of each link all have a say. So the kernel is asked, as for a packet that comes in on the lease's
 * own link with the lease's address, and for the answer that comes in where that packet left.
 * net.h has what it says of it.
 */
#ifndef CRABBOX_NET_WAY_H
#define CRABBOX_NET_WAY_H

#include "net/dns.h"
#include "net/link.h"
#include "net/net.h"

/* Of a lease's link that is up, with its addresses and its route. */
struct way_lease {
    unsigned link;
    uint32_t addr;
    const uint32_t *servers; /* DNS */
    unsigned n_servers;
};
int way_ask(struct nl_sock *sk, const struct way_lease *l, struct net_way *out, struct error *err);

/* The link by which the host itself gets out over IPv4: 1, 0 where there is none, or -1. */
int way_out(struct nl_sock *sk, char dev[static IF_NAMESIZE], struct error *err);

#endif
