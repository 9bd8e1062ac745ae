/* limits.h: how many connections the leases of a table may have in the host's conntrack.
 *
 * The host's table of connections holds nf_conntrack_max entries, and when it is full the host
 * itself can't connect any more. Half of it stays the host's: three eighths are for what leases
 * have open, an eighth for what they have closed and the kernel still remembers.
 *
 *   each lease          at most `conns` entries, and `rate` new ones a second after a first `burst`
 *   each of 16 shares   at most `share` entries; a lease counts in the share of its address
 *   all leases          at most `all_rate` new ones a second after a first `all_burst`
 *
 * The kernel's count of connections leaves out TCP ones that are closing, so the time that they
 * stay is cut, to nothing after a reset (such an entry can come to life again, uncounted) and to
 * LIMITS_CLOSING_S otherwise, and the rates bound how many that are.
 *
 * A packet that is refused leaves no entry: entries are made when a packet leaves the host.
 *
 * The kernel's other tables: the neighbours (1024 for all namespaces) that leases make the host
 * look for are bounded by LIMITS_HOPS within LIMITS_HOPS_S seconds; ports that they take at the
 * host's address are kept apart from those that the host itself chooses from (limits_masquerade).
 */
#ifndef CRABBOX_NET_LIMITS_H
#define CRABBOX_NET_LIMITS_H

#include "base/str.h"

#define LIMITS_SHARES    16
#define LIMITS_CLOSING_S 10
#define LIMITS_SWEPT_S   30 /* what is over gives way at once where the table is full */
#define LIMITS_HOPS      512
#define LIMITS_HOPS_S    5

struct limits {
    unsigned conns, rate, burst;
    unsigned share;
    unsigned all_rate, all_burst;
};

/* From the kernel's nf_conntrack_max; 0 means without a limit. */
struct limits limits_for(long max);

/* As the calling thread's namespace has it now. */
struct limits limits_now(void);

/* The chain `admit` of a table of the host, and what it needs, for packets that may open a
 * connection: it ends with accept or drop. Who counts is the packet's source, in `admit_to` its
 * destination. `share_mask` has the LIMITS_SHARES different values of an address that make a
 * share. */
void limits_host_text(const struct limits *l, const char *share_mask, struct strbuf *out);

/* The same for the namespace of one lease. It takes no part in what the host is promised: it keeps
 * the guest's entries in its own namespace few. */
void limits_lease_text(const struct limits *l, struct strbuf *out);

/* Rules that masquerade what matches `match`, with ports that the host doesn't choose itself. */
void limits_masquerade(const char *match, struct strbuf *out);

#endif
