#include "net/limits.h"

#include "net/ns.h"

#define MAX_USUAL 262144 /* of a kernel on a machine with some memory */
/* The kernel looks through a count's list for each new connection, so it must not be long. */
#define SHARE_CONNS 8192
#define LEASE_CONNS 4096
#define LEASE_RATE  200
#define LEASE_BURST 2000

static unsigned at_least(long n, unsigned least)
{
    return n < (long)least ? least : (unsigned)n;
}

static unsigned at_most(unsigned n, unsigned most)
{
    return n > most ? most : n;
}

struct limits limits_for(long max)
{
    struct limits l;
    if (max <= 0)
        max = MAX_USUAL;
    else if (max > 16L * MAX_USUAL)
        max = 16L * MAX_USUAL;
    l.share = at_most(SHARE_CONNS, at_least(max * 3 / 8 / LIMITS_SHARES, 8));
    /* A sixteenth at once, and as many again while the first are still remembered. */
    l.all_burst = at_least(max / 16, 2 * LIMITS_SHARES);
    l.all_rate = at_least(max / 16 / LIMITS_SWEPT_S, 1);
    l.conns = at_most(LEASE_CONNS, at_least(l.share * 2L / 3, 8));
    l.burst = at_most(LEASE_BURST, at_least(l.all_burst / 2, 8));
    l.rate = at_most(LEASE_RATE, at_least(l.all_rate / 2, 1));
    return l;
}

struct limits limits_now(void)
{
    long max = 0;
    (void)ns_sysctl_read("net/netfilter/nf_conntrack_max", &max, NULL);
    return limits_for(max);
}

/* The two states that the kernel doesn't count. After a reset the other end could bring the entry
 * back to life; after both ends have closed, each packet that they repeat would keep it. */
static void brief_text(struct strbuf *out)
{
    strbuf_adds(out, "ct timeout brief {\n"
                     "  protocol tcp; l3proto ip\n"
                     "  policy = { close : 0, time_wait : 0 }\n"
                     "}\n");
}

#define NEXT_HOP "rt ip nexthop"

/* Addresses that packets go to next: each is an entry of the kernel's one table of neighbours. A
 * full set takes no further address: then its rule doesn't match. `what` of a packet is counted. */
static void hops_text(const char *chain, const char *set, const char *what, unsigned size,
                      struct strbuf *out)
{
    strbuf_addf(out,
                "set %s { type ipv4_addr; flags dynamic,timeout; timeout %ds; size %u; }\n"
                "chain %s {\n"
                "  update @%s { %s } accept\n"
                "  drop\n"
                "}\n",
                set, LIMITS_HOPS_S, size, chain, set, what);
}

/* Each share has a set of its own, so a lease that fills it hinders only its share. */
static void shared_hops_text(unsigned share_bits, struct strbuf *out)
{
    static const char *const chains[][2] = {{"hop", "saddr"}, {"hop_to", "daddr"}};
    char chain[16], set[16];
    for (unsigned i = 0; i < LIMITS_SHARES; i++) {
        (void)str_format(chain, sizeof chain, "hop%u", i);
        (void)str_format(set, sizeof set, "hops%u", i);
        hops_text(chain, set, NEXT_HOP, LIMITS_SHARE_HOPS, out);
    }
    for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
        strbuf_addf(out, "chain %s {\n  ip %s & 0.0.0.%u vmap { ", chains[c][0], chains[c][1],
                    share_bits);
        for (unsigned i = 0; i < LIMITS_SHARES; i++)
            strbuf_addf(out, "%s0.0.0.%u : goto hop%u", i ? ", " : "",
                        i * (share_bits / (LIMITS_SHARES - 1)), i);
        strbuf_adds(out, " }\n}\n");
    }
}

/* What counts as a connection is a packet that has no entry yet and will get one: not an answer, a
 * repeated SYN, the rest of a stream of UDP, or what belongs to no connection. But a flow that
 * nobody has answered may go to an address where nobody is. The kernel looks for a neighbour again
 * for each of its packets, so each counts as a hop. */
#define KNOWN(hop)                                                                                 \
    "  ct status & (confirmed | seen-reply) == confirmed goto " hop "\n"                           \
    "  ct status & confirmed == confirmed accept\n"

/* A guest sends behind the host's address, and must not take over what is the host's own. A
 * protocol without ports has one flow for each peer: once a guest has sent to a peer, what the peer
 * sends to the host, through a tunnel for example, would go to the guest. And TCP that begins in
 * its middle continues a connection of the host that the kernel has forgotten or never knew.
 *
 * There is one exception for the second. A neighbour on a chain's bridge can open a connection to
 * a lease past the host, which then sees only the guest's half. That half may go back where it came
 * from: the lease's namespace sees both halves and has checked it. */
#define WITH_PORTS "  meta l4proto != { tcp, udp, icmp } drop\n"

/* How fast all leases may open connections: one half is for whoever comes first (`common`), the
 * other is divided among the shares. By the minute, since a share's part may be less than one a
 * second. */
static unsigned half_a_minute(const struct limits *l)
{
    return l->all_rate * 60 / 2;
}

/* After the rules that tell what is new: it counts for the end `who`. The counts come after the
 * rates, which bound how often the kernel looks through a list. */
static void charge_text(const char *who, const char *hop, const struct limits *l,
                        unsigned share_bits, struct strbuf *out)
{
    strbuf_addf(out,
                "  update @rates { ip %s limit rate over %u/second burst %u packets } drop\n"
                "  limit name \"common\" add @fair { ip %s & 0.0.0.%u "
                "limit rate over %u/minute burst %u packets } drop\n"
                "  add @conns { ip %s ct count over %u } drop\n"
                "  add @shares { ip %s & 0.0.0.%u ct count over %u } drop\n"
                "  meta l4proto tcp ct timeout set \"brief\"\n"
                "  goto %s\n"
                "}\n",
                who, l->rate, l->burst, who, share_bits, half_a_minute(l) / LIMITS_SHARES,
                l->all_burst / 2 / LIMITS_SHARES, who, l->conns, who, share_bits, l->share, hop);
}

#define NO_STATE "  ct state { invalid, untracked } "

void limits_host_text(const struct limits *l, unsigned share_bits, struct strbuf *out)
{
    brief_text(out);
    shared_hops_text(share_bits, out);
    strbuf_addf(out,
                "set rates { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65535; }\n"
                "limit common { rate over %u/minute burst %u packets; }\n"
                "set fair { type ipv4_addr; flags dynamic; size %d; }\n"
                "set conns { type ipv4_addr; flags dynamic; size 65535; }\n"
                "set shares { type ipv4_addr; flags dynamic; size %d; }\n"
                "chain admit {\n" WITH_PORTS LIMITS_MIDSTREAM
                "fib daddr . iif oif missing drop\n" NO_STATE "goto hop\n" KNOWN("hop"),
                half_a_minute(l), l->all_burst / 2, 2 * LIMITS_SHARES, 2 * LIMITS_SHARES);
    charge_text("saddr", "hop", l, share_bits, out);
    strbuf_adds(out, "chain admit_to {\n" NO_STATE "goto hop_to\n" KNOWN("hop_to"));
    charge_text("daddr", "hop_to", l, share_bits, out);
}

static void admit_text(const struct limits *l, struct strbuf *out)
{
    strbuf_addf(out,
                "chain admit {\n" WITH_PORTS LIMITS_MIDSTREAM
                "drop\n" KNOWN("hop") "  limit rate over %u/second burst %u packets drop\n"
                                      "  ct count over %u drop\n"
                                      "  meta l4proto tcp ct timeout set \"brief\"\n"
                                      "  goto hop\n"
                                      "}\n",
                l->rate, l->burst, l->conns);
}

void limits_lease_text(const struct limits *l, struct strbuf *out)
{
    brief_text(out);
    hops_text("hop", "hops", NEXT_HOP, LIMITS_SHARE_HOPS, out);
    admit_text(l, out);
}

/* In the namespace everything goes to pasta next, so the destination counts. A question to a name
 * server is over with its answer: its port is needed for the next one. */
void limits_pasta_text(const struct limits *l, struct strbuf *out)
{
    struct limits here = *l;
    here.conns = at_most(l->conns, LIMITS_PASTA_CONNS);
    here.rate = at_most(l->rate, LIMITS_PASTA_RATE);
    here.burst = at_most(l->burst, LIMITS_PASTA_BURST);
    brief_text(out);
    strbuf_adds(out, "ct timeout question {\n"
                     "  protocol udp; l3proto ip\n"
                     "  policy = { unreplied : 10, replied : 3 }\n"
                     "}\n");
    hops_text("hop", "hops", "ip daddr", LIMITS_PASTA_HOPS, out);
    admit_text(&here, out);
}

/* Few services listen on these ports: most are below, and Kubernetes has its own above. Where the
 * host's own range begins earlier, leases get the ports below it; where it begins before
 * ENOUGH_PORT there are none to spare, and leases get any port. */
#define QUIET_PORT      20000
#define QUIET_PORT_LAST 29999
#define FIRST_PORT      1024
#define ENOUGH_PORT     16384

_Static_assert(QUIET_PORT + LIMITS_PASTA_PARTS * LIMITS_PASTA_PORTS - 1 <= QUIET_PORT_LAST,
               "all parts are in the range");

/* How long the host draws the port itself after a clash. The map has room for every connection that
 * all leases can open in that time. */
#define CLASHED_S 120

struct limits_ports limits_chain_ports(void)
{
    return (struct limits_ports){QUIET_PORT, QUIET_PORT_LAST};
}

struct limits_ports limits_pasta_ports(uint32_t part)
{
    unsigned first = QUIET_PORT + part % LIMITS_PASTA_PARTS * LIMITS_PASTA_PORTS;
    return (struct limits_ports){first, first + LIMITS_PASTA_PORTS - 1};
}

struct limits_ports limits_pair_ports(void)
{
    long first = 0;
    (void)ns_sysctl_read("net/ipv4/ip_local_port_range", &first, NULL);
    if (first > QUIET_PORT_LAST)
        return limits_chain_ports();
    if (first >= ENOUGH_PORT)
        return (struct limits_ports){FIRST_PORT, (unsigned)first - 1};
    return (struct limits_ports){.last = 0};
}

void limits_masquerade(const char *match, struct strbuf *out)
{
    const struct limits_ports p = limits_pair_ports();
    if (p.last)
        strbuf_addf(out, "  %s meta l4proto { tcp, udp } masquerade to :%u-%u fully-random\n",
                    match, p.first, p.last);
    strbuf_addf(out, "  %s masquerade fully-random\n", match);
}

void limits_snat(const char *match, const char *addr, struct limits_ports p, struct strbuf *out)
{
    strbuf_addf(out, "  %s snat ip to %s:%u-%u fully-random\n", match, addr, p.first, p.last);
}

void limits_chain_text(const struct limits *l, struct strbuf *out)
{
    strbuf_addf(
        out,
        "map clashed {\n"
        "  type ipv4_addr . ipv4_addr . iface_index : ipv4_addr\n"
        "  flags dynamic,timeout; timeout %ds; size %u;\n"
        "}\n"
        "chain draw {\n"
        "  type nat hook postrouting priority srcnat - 1; policy accept;\n"
        "  meta l4proto { tcp, udp } snat ip to ip saddr . ip daddr . oif map @clashed:%d-%d "
        "fully-random\n"
        "}\n"
        "chain drawn {\n"
        "  meta l4proto { tcp, udp } ct original proto-src != %d-%d drop\n"
        "  meta l4proto { tcp, udp } th sport != %d-%d fib saddr type local "
        "update @clashed { ct original ip saddr . ip daddr . oif : ct reply ip daddr }\n"
        "}\n",
        CLASHED_S, l->all_burst + l->all_rate * CLASHED_S, QUIET_PORT, QUIET_PORT_LAST, QUIET_PORT,
        QUIET_PORT_LAST, QUIET_PORT, QUIET_PORT_LAST);
}
