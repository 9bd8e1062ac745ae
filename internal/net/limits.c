#include "net/limits.h"

#include <stdint.h>

#include "net/ns.h"

#define MAX_USUAL 262144 /* of a kernel on a machine with some memory */
/* The kernel looks through a count's list for each new connection: it must not be long. */
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
    l.all_burst = at_least(max / 16, 8);
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

/* An entry of an answered reset can be made to live again by whoever is at the other end. */
static void brief_text(struct strbuf *out)
{
    strbuf_addf(out,
                "ct timeout brief {\n"
                "  protocol tcp; l3proto ip\n"
                "  policy = { close : 0, time_wait : %d }\n"
                "}\n",
                LIMITS_CLOSING_S);
}

/* Addresses that packets go to next: each is an entry of the kernel's one table of neighbours. A
 * set that is full takes no further one, so its rule doesn't match. */
static void hops_text(struct strbuf *out)
{
    strbuf_addf(out,
                "set hops { type ipv4_addr; flags dynamic,timeout; timeout %ds; size %d; }\n"
                "chain hop {\n"
                "  update @hops { rt ip nexthop } accept\n"
                "  drop\n"
                "}\n",
                LIMITS_HOPS_S, LIMITS_HOPS);
}

/* Only what has no entry yet, and will get one, counts as a connection: answers, repeated SYNs,
 * long streams of UDP and what belongs to no connection do not. But a flow that nobody has answered
 * may go to an address where nobody is: each of its packets has the kernel look for a neighbour
 * again, so each counts as a hop. */
#define KNOWN                                                                                      \
    "  ct status & (confirmed | seen-reply) == confirmed goto hop\n"                               \
    "  ct status & confirmed == confirmed accept\n"

/* What else a guest sends behind the host's address could take over what is the host's own. A
 * protocol without ports has no second flow to the same peer: its answers would be the guest's, the
 * host's tunnel among them. And TCP that begins in its middle continues a connection of the host
 * that the kernel has forgotten, or never knew. But of a connection that a neighbour on the chain's
 * bridge opened past the host, the host sees only the guest's half: that goes back where it came
 * from, and the lease's namespace, which sees both, has checked it. */
#define WITH_PORTS "  meta l4proto != { tcp, udp, icmp } drop\n"
#define MIDSTREAM  "  ct state new tcp flags & (fin | syn | rst | ack) != syn "

static void admit_text(const char *name, const char *first, const char *who, const struct limits *l,
                       const char *share_mask, struct strbuf *out)
{
    strbuf_addf(out,
                "chain %s {\n"
                "%s"
                "  ct state { invalid, untracked } goto hop\n" KNOWN
                "  update @rates { ip %s limit rate over %u/second burst %u packets } drop\n"
                "  limit rate over %u/second burst %u packets drop\n"
                "  add @conns { ip %s ct count over %u } drop\n"
                "  add @shares { ip %s & %s ct count over %u } drop\n"
                "  meta l4proto tcp ct timeout set \"brief\"\n"
                "  goto hop\n"
                "}\n",
                name, first, who, l->rate, l->burst, l->all_rate, l->all_burst, who, l->conns, who,
                share_mask, l->share);
}

void limits_host_text(const struct limits *l, const char *share_mask, struct strbuf *out)
{
    brief_text(out);
    hops_text(out);
    strbuf_addf(out,
                "set rates { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65535; }\n"
                "set conns { type ipv4_addr; flags dynamic; size 65535; }\n"
                "set shares { type ipv4_addr; flags dynamic; size %d; }\n",
                2 * LIMITS_SHARES);
    admit_text("admit", WITH_PORTS MIDSTREAM "fib daddr . iif oif missing drop\n", "saddr", l,
               share_mask, out);
    admit_text("admit_to", "", "daddr", l, share_mask, out);
}

void limits_lease_text(const struct limits *l, struct strbuf *out)
{
    brief_text(out);
    hops_text(out);
    strbuf_addf(out,
                "chain admit {\n" WITH_PORTS MIDSTREAM "drop\n" KNOWN
                "  limit rate over %u/second burst %u packets drop\n"
                "  ct count over %u drop\n"
                "  meta l4proto tcp ct timeout set \"brief\"\n"
                "  goto hop\n"
                "}\n",
                l->rate, l->burst, l->conns);
}

/* Where few services listen: below are most, above Kubernetes has its own. A host whose own range
 * begins low has to give what is below it, or has no ports to spare at all. */
#define QUIET_PORT      20000
#define QUIET_PORT_LAST 29999
#define FIRST_PORT      1024
#define ENOUGH_PORT     16384

void limits_masquerade(const char *match, struct strbuf *out)
{
    long first = 0;
    (void)ns_sysctl_read("net/ipv4/ip_local_port_range", &first, NULL);
    bool quiet = first > QUIET_PORT_LAST;
    if (first >= ENOUGH_PORT && first <= UINT16_MAX)
        strbuf_addf(out, "  %s meta l4proto { tcp, udp } masquerade to :%d-%ld fully-random\n",
                    match, quiet ? QUIET_PORT : FIRST_PORT, quiet ? QUIET_PORT_LAST : first - 1);
    strbuf_addf(out, "  %s masquerade fully-random\n", match);
}
