/* limits.h: how many connections the leases of a table may have in the host's conntrack.
 *
 * The host's table of connections holds nf_conntrack_max entries, and when it is full the host
 * itself can't connect any more. Half of it stays the host's: three eighths are for what leases
 * have open, an eighth for what they have closed and the kernel still remembers.
 *
 *   each lease          at most `conns` entries, and `rate` new ones a second after a first `burst`
 *   each of 16 shares   at most `share` entries; a lease counts in the share of its address
 *   all leases          at most `all_rate` new ones a second after a first `all_burst`: half of
 *                       them for whoever comes first, a 32nd more for each share alone
 *
 * The kernel doesn't count TCP connections that were reset or that both ends have closed
 * (TIME_WAIT), and either end keeps their entries for as long as it likes: each packet of one winds
 * up its time again. So they are forgotten at once. They lie in the table until it is swept
 * (LIMITS_SWEPT_S), and the rates bound how many there are. Every other state counts.
 *
 * A packet that is refused leaves no entry: entries are made when a packet leaves the host.
 *
 * The kernel's other tables: the leases of a share can make the host look for LIMITS_SHARE_HOPS
 * neighbours within LIMITS_HOPS_S seconds, all together for 512 (the kernel has 1024 for all
 * namespaces). Every packet counts for that unless its flow was answered, since only then a
 * neighbour is known to be there. Ports that leases
 * take at the host's address are not among those that the host itself chooses from
 * (limits_masquerade).
 */
#ifndef CRABBOX_NET_LIMITS_H
#define CRABBOX_NET_LIMITS_H

#include "base/str.h"

#define LIMITS_SHARES     16
#define LIMITS_SWEPT_S    30 /* in a full table, an entry that is over gives way at once */
#define LIMITS_SHARE_HOPS 32
#define LIMITS_HOPS_S     5

struct limits {
    unsigned conns, rate, burst;
    unsigned share;
    unsigned all_rate, all_burst;
};

/* From the kernel's nf_conntrack_max; 0 means that it has no limit. A larger one never gives less.
 */
struct limits limits_for(long max);

/* As the calling thread's namespace has it now. */
struct limits limits_now(void);

/* The chain `admit` of a table of the host, and what it needs, for packets that may open a
 * connection: it ends with accept or drop. The packet's source is the one that is charged, in
 * `admit_to` its destination. `share_bits` are the bits of an address that tell the
 * LIMITS_SHARES shares apart: four in a row, of its last byte. */
void limits_host_text(const struct limits *l, unsigned share_bits, struct strbuf *out);

/* The same for the namespace of one lease. What the host is promised doesn't depend on it: it only
 * keeps the guest's entries in its own namespace few. */
void limits_lease_text(const struct limits *l, struct strbuf *out);

/* Rules that masquerade what matches `match`, with ports that the host never chooses itself. Nor
 * can the guest choose them: at the port of a service of the host it would get what a client
 * outside sends to that service. */
void limits_masquerade(const char *match, struct strbuf *out);

/* On a chain it is the plugin that masquerades, and keeps the port that it finds where it can: so
 * the lease's namespace gives what matches `match` such a port already, at its address `addr`. */
void limits_chain_ports(const char *match, const char *addr, struct strbuf *out);
/* The host's part. Only the plugin says what is masqueraded, and only the host knows which ports
 * are free. Where a flow's port is taken, the plugin's rule takes any other one, and some plugins
 * draw every port from all there are: it may be the port of a service. That flow passes, so that
 * nothing is lost. But the map `clashed` then holds for a while which lease sent to which address,
 * and behind which address of the host: the lease's next flows to there get a free port of the
 * range before the plugin's rule sees them. So a guest has one try for each address in that time.
 *
 * The first packet of each flow that was masqueraded for a lease is to go through the chain
 * `drawn`. It drops one that came to the host with a port that the lease's namespace doesn't give.
 */
void limits_chain_text(const struct limits *l, struct strbuf *out);

#endif
