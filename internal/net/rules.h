/* rules.h: the two rule sets of a lease.
 *
 * The host's namespace has one table per state directory and pool, which its leases share. The
 * table knows the leases by the group of their links and by a map of (link . MAC) pairs, with one
 * element for each lease. The elements refer to the chain `lease`, and the kernel refuses to delete
 * a chain that is referred to. So the table is made with the first lease and removed with the last
 * one, and no lock is needed: a process that loses a race gets EEXIST, ENOENT or EBUSY from the
 * kernel and takes the other branch.
 *
 * The host's table guarantees:
 * - between leases, also of other state directories: nothing passes
 * - from outside into a lease: only answers pass
 * - from a lease to the host itself: answers, ping, and DNS if it is configured
 * - from a lease to the outside: everything passes, behind the host's address, within the limits of
 *   limits.h
 * - if an older connection of somebody else at the outside has the port of a lease's new
 *   connection: it is reset if the host has no socket for it, and the lease does not see it
 * - to metadata services (metadata.h): nothing but DNS if it is configured
 * - to addresses of the pool that no lease has: nothing, not from the host itself either
 * - IPv6: nothing, so there is no way around the rules
 *
 * Leases on a CNI chain have a table of their own kind. It knows them by their addresses, and the
 * rules of their namespaces let nobody else use these. The table keeps the leases away from the
 * host itself and from metadata services, limits their connections, and forwards only answers to
 * them. It masquerades nothing that the chain doesn't, but it may choose the port (limits.h). A
 * bridge may forward packets that don't pass the host's rules. Therefore the namespaces admit only
 * the host, and keep the leases away from their own subnets. If a lease may have peers, only the
 * rules that protect the host remain, and connections that others open to the lease through the
 * host are limited too.
 *
 * A lease of pasta's has no table of the host: nobody but root could make one. Its own namespace
 * keeps it from the host's addresses, nothing is let in, and its namespace opens connections to the
 * guest alone, for SSH (see pasta.h).
 *
 * The lease's namespace has a table for NAT, and a filter on the tap. The filter passes only ARP
 * and IPv4, and only from the guest's own MAC and address. The namespace itself only answers, so a
 * VMM that was taken over can do no more than its guest.
 */
#ifndef CRABBOX_NET_RULES_H
#define CRABBOX_NET_RULES_H

#include "net/link.h"
#include "net/record.h"

/* A part of the table's name, so that leases of two versions of the rules can exist side by side.
 * Raise it with every change of rules_host_text(). */
#define RULES_VERSION "9"

/* Registers the lease in the host's table, making the table if it is the first. */
int rules_add_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* Whether the table has this lease: 1, 0, or -1 with an error. */
int rules_has_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* Whether the kernel accepts the rules of both kinds of leases. Makes none, but the kernel may load
 * modules for them. ERR_ENV says what it lacks, and what to type. */
int rules_try(struct error *err);

/* Removes the lease from the table, and the table if this was its last lease. Succeeds if the
 * lease is not there. */
int rules_remove_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* The surroundings of a chain's link, as they were found. */
#define RULES_SUBNETS_MAX 8
struct rules_near {
    uint32_t source; /* of what the host sends to the lease */
    struct addr_info own[RULES_SUBNETS_MAX];
    unsigned n_own;
    const char *hosts; /* NET_PASTA: the host's own addresses, "{ 10.0.0.1, 127.0.0.0/8 }" */
};

/* Makes the lease namespace's tables; the tap must exist. Runs inside that namespace. `near` is
 * NULL with links of our own. */
int rules_add_lease(const struct net_lease *n, const struct rules_near *near, struct error *err);

/* NET_PASTA: lets UDP to the outside, which rules_add_lease has left closed. Runs inside. */
int rules_open_udp(struct error *err);

/* The texts, for tests. */
void rules_host_text(const struct net_lease *n, const struct net_view *v, struct strbuf *out);
void rules_lease_text(const struct net_lease *n, const struct rules_near *near, struct strbuf *out);

#endif
