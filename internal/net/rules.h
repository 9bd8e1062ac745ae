/* rules.h: the two rule sets of a lease.
 *
 * In the host's namespace one table per state directory and pool, shared by its leases. It knows
 * them by the group of their links and by a map of (link . MAC) pairs, one element a lease; the
 * elements refer to the chain `lease`, and the kernel refuses to delete a chain that is referred
 * to. So the table is made with the first lease and goes with the last one, and no lock is needed:
 * whoever loses a race gets EEXIST, ENOENT or EBUSY from the kernel and takes the other branch.
 *
 * What the host's table promises:
 *   between leases, also of other state directories      nothing passes
 *   from outside into a lease                             only answers
 *   from a lease to the host itself                       answers, ping, DNS where configured
 *   from a lease outside                                  passes, behind the host's address, as
 * many connections as limits.h allows metadata services (metadata.h)                        nothing
 * but DNS where configured addresses of the pool without a lease                 nothing, from the
 * host itself neither IPv6                                                  nothing: no way around
 * the rules
 *
 * Leases on a CNI chain have a table of their own kind: they are known by their addresses, which
 * the rules of their namespaces let nobody else use. It keeps them from the host itself, from
 * metadata services and to their numbers of connections, and what is forwarded to them down to
 * answers. Their namespaces let nobody in but the host, since what a bridge forwards need not pass
 * the host's rules, and keep them from their own subnets. All but for the host's own protection
 * fall away where the lease may have peers; then what comes to it from elsewhere through the host
 * is limited as well.
 *
 * In the lease's namespace a table for NAT and a filter on the tap that lets through ARP and IPv4
 * only, and only from the guest's own MAC and address.
 */
#ifndef CRABBOX_NET_RULES_H
#define CRABBOX_NET_RULES_H

#include "net/link.h"
#include "net/record.h"

/* Part of the table's name, so that leases of two versions of the rules stand side by side. Raise
 * it with every change of rules_host_text(). */
#define RULES_VERSION "2"

/* Registers the lease in the host's table, making the table if it is the first. */
int rules_add_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* Whether the table has this lease: 1, 0, or -1 with an error. */
int rules_has_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* Whether the kernel takes the rules of both kinds of leases; changes nothing. ERR_ENV has what it
 * lacks, and what to type. */
int rules_try(struct error *err);

/* Takes the lease out, and the table with it if it was the last. Absent is a success. */
int rules_remove_host(const struct net_lease *n, const struct net_view *v, struct error *err);

/* What a chain's link has around it, as it was seen. */
#define RULES_SUBNETS_MAX 8
struct rules_near {
    uint32_t source; /* of what the host sends to the lease */
    struct addr_info own[RULES_SUBNETS_MAX];
    unsigned n_own;
};

/* Makes the lease namespace's tables; the tap must exist. Runs inside that namespace. `near` is
 * NULL with links of our own. */
int rules_add_lease(const struct net_lease *n, const struct rules_near *near, struct error *err);

/* The texts, for tests. */
void rules_host_text(const struct net_lease *n, const struct net_view *v, struct strbuf *out);
void rules_lease_text(const struct net_lease *n, const struct rules_near *near, struct strbuf *out);

#endif
