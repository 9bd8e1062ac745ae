/* limits.h: the limits for connections of leases in the host's conntrack.
 *
 * The host's table of connections holds nf_conntrack_max entries. When it is full, the host itself
 * can't connect any more. So leases get half of it: three eighths for open connections, and an
 * eighth for connections that are closed and that the kernel still remembers.
 *
 *   each lease          at most `conns` entries, and `rate` new ones a second after a first `burst`
 *   each of 16 shares   at most `share` entries; a lease counts in the share of its address
 *   all leases          at most `all_rate` new ones a second after a first `all_burst`: half of
 *                       them for any lease, first come first served; and a 32nd more for each share
 *
 * The kernel doesn't count TCP connections that were reset or that both ends have closed
 * (TIME_WAIT). But each further packet of such a connection would make its entry last longer, so
 * either end could keep it for as long as it likes. Therefore these entries get no time at all.
 * They stay only until the kernel sweeps its table (LIMITS_SWEPT_S), and the rates limit how many
 * there are. Connections in every other state count.
 *
 * A packet that is dropped leaves no entry: the kernel makes an entry when a packet leaves the
 * host.
 *
 * The kernel's table of neighbours has 1024 entries for all namespaces. The leases of a share can
 * make the host look for LIMITS_SHARE_HOPS neighbours within LIMITS_HOPS_S seconds, and those of
 * all shares together for 512. Every packet counts for that unless its flow was answered, because
 * only an answer proves that the neighbour is there.
 *
 * Leases take ports at the host's address that the host itself does not choose from
 * (limits_masquerade).
 */
#ifndef CRABBOX_NET_LIMITS_H
#define CRABBOX_NET_LIMITS_H

#include <stdint.h>

#include "base/str.h"

#define LIMITS_SHARES     16
#define LIMITS_SWEPT_S    30 /* in a full table, an entry that is over gives way at once */
#define LIMITS_SHARE_HOPS 32
#define LIMITS_HOPS_S     5

/* Matches TCP that begins in its middle: the kernel would take up such a connection. */
#define LIMITS_MIDSTREAM "  ct state new tcp flags & (fin | syn | rst | ack) != syn "

struct limits {
    unsigned conns, rate, burst;
    unsigned share;
    unsigned all_rate, all_burst;
};

/* From the kernel's nf_conntrack_max; 0 means no limit. A larger one never gives less. */
struct limits limits_for(long max);

/* As the kernel has it now. Call flows_check() first: it has the kernel load that part. */
struct limits limits_now(void);

/* The chains `admit` and `admit_to` of a table of the host, and what they need, for packets that
 * may open a connection: they end with accept or drop. A connection counts for the packet's source
 * in `admit`, for its destination in `admit_to`. `share_bits` are the bits of an address that tell
 * the LIMITS_SHARES shares apart: four in a row, of its last byte. */
void limits_host_text(const struct limits *l, unsigned share_bits, struct strbuf *out);

/* The chain `admit` for the namespace of one lease. It only keeps the guest's entries in that
 * namespace few: what the host is promised doesn't depend on it. */
void limits_lease_text(const struct limits *l, struct strbuf *out);

/* The same for a lease of pasta's (NET_PASTA), whose connections are sockets of the host. They have
 * buffers there that nothing else bounds, so they are fewer. The host keeps an entry for each for
 * up to two minutes after pasta has given it up, which no rule of the host's counts: so they are
 * slower. And the host looks for neighbours for them: so the lease's addresses are counted,
 * wherever they are. */
#define LIMITS_PASTA_CONNS 512
#define LIMITS_PASTA_RATE  30
#define LIMITS_PASTA_BURST 1000
#define LIMITS_PASTA_HOPS  64
void limits_pasta_text(const struct limits *l, struct strbuf *out);

/* The ports that leases get at the host, with links of our own and on a chain. None (last is 0):
 * they get any port. */
struct limits_ports {
    unsigned first, last;
};
struct limits_ports limits_pair_ports(void);
struct limits_ports limits_chain_ports(void);

/* pasta binds the source port of UDP on the host, at all addresses, and of two sockets with one
 * port the later gets what comes in. So each lease has a part of the range to itself, if it can
 * (pasta_udp.h): `part` is below LIMITS_PASTA_PARTS. */
#define LIMITS_PASTA_PARTS 78
#define LIMITS_PASTA_PORTS 128
struct limits_ports limits_pasta_ports(uint32_t part);

/* Rules that masquerade what matches `match`, with ports that the host never chooses itself. The
 * guest can't choose them either: with the port of a service of the host it would get what a client
 * outside sends to that service. */
void limits_masquerade(const char *match, struct strbuf *out);

/* On a chain the plugin masquerades, and keeps the port that it finds where it can; pasta keeps
 * that of UDP. So the lease's namespace already gives what matches `match` (which is of a protocol
 * with ports) such a port, at its address `addr`. */
void limits_snat(const char *match, const char *addr, struct limits_ports p, struct strbuf *out);

/* The host's part of this. Only the plugin says what is masqueraded, and only the host knows which
 * ports are free. Where a flow's port is taken, the plugin's rule takes any other port, and some
 * plugins draw every port from all there are: it may be the port of a service. That flow passes, so
 * that nothing is lost. But then the map `clashed` holds for a while which lease sent to which
 * address, and behind which address of the host. The lease's next flows to that address get a free
 * port of the range before the plugin's rule sees them. So a guest has one try for each address in
 * that time.
 *
 * The first packet of each flow that was masqueraded for a lease is to go through the chain
 * `drawn`. It drops one that came to the host with a port that the lease's namespace doesn't give.
 */
void limits_chain_text(const struct limits *l, struct strbuf *out);

#endif
