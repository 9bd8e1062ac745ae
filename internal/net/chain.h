/* chain.h: the network of a lease whose link is made by a CNI plugin chain of the host.
 *
 *   host namespace                 lease namespace                                   guest
 *   whatever the chain makes  --  eth0 <the chain's address>, tap0 192.0.2.1/30  --  eth0 192.0.2.2
 *
 * The chain sees a namespace like that of any container. We make this namespace, with the tap in
 * it. When the chain is done, we join the tap to the chain's link as net.c does with its own link.
 * The guest has the same addresses in every lease, one-to-one NAT maps them to the chain's address,
 * and the same rules hold. So no plugin has to know about taps. Everything that a plugin does
 * inside the namespace (a DHCP client, routes by source, settings) goes on working.
 *
 * Order: net_chain_plan → net_chain_ns → (the chain's ADD) → net_chain_address → record →
 * net_chain_join. net_undo removes our part, and the chain's DEL removes its own. This
 * module does not run plugins: cni/cni.h does that, and local/step_net.h brings the two
 * together.
 */
#ifndef CRABBOX_NET_CHAIN_H
#define CRABBOX_NET_CHAIN_H

#include "net/net.h"

/* Chooses the names that need no address; touches nothing. */
int net_chain_plan(const struct net_request *req, bool peers, struct net_lease *out,
                   struct error *err);

/* Makes the namespace with the tap in it, which is down, and with no forwarding: nothing passes
 * whatever the chain does. Returns its descriptor (caller closes). */
int net_chain_ns(const struct net_lease *n, struct error *err);

/* What the chain gave: text that was checked to be IPv4. */
struct net_chain_link {
    const char *addr;
    unsigned plen;
    const char *gateway; /* "" without one */
    const char (*dns)[NET_ADDR_SIZE];
    size_t n_dns;
    const char *search, *options; /* words with blanks between them, or "" */
};

/* Takes the addresses into the record. DNS servers: those of the configuration (`dns`, may be ""),
 * else the chain's, else the host's. Search domains and options go with the chain's servers, else
 * they are the host's. */
int net_chain_address(const struct net_chain_link *link, const char *dns, struct net_lease *n,
                      struct error *err);

/* Rules, then the tap up, then forwarding. ERR_NET when the chain's link is missing or doesn't have
 * the address that the chain reported. On error it has undone what it made. */
int net_chain_join(int netns_fd, const struct net_lease *n, struct error *err);

/* Makes a namespace that has only a link with the chain's name and these addresses
 * ("10.88.0.2/24"). A plugin's DEL gets it if the real namespace has gone with its VMM. The caller
 * closes it. */
int net_scene(const char *const *addrs, size_t n, struct error *err);

#endif
