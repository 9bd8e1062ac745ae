/* rules_lease.c: the text of the nftables rules in a lease's namespace.
 *
 * The tap's ingress chain passes the guest's own frames only. `forward` lets the guest's
 * connections out through the chain `admit` (limits.c), and in only what the mode of the network
 * allows. With pasta UDP is closed at first, but for questions to name servers (rules_open_udp).
 * NAT gives the guest the lease's address. The namespace's own sockets get nowhere, but
 * with pasta to the guest (own_text).
 */
#include <string.h>

#include "net/limits.h"
#include "net/metadata.h"
#include "net/nft.h"
#include "net/rates.h"
#include "net/rules.h"
#include "net/rules_priv.h"

static void add_subnet(const struct addr_info *a, struct strbuf *out)
{
    char text[NET_ADDR_SIZE];
    net_format_ipv4(a->plen ? a->addr & UINT32_MAX << (32 - a->plen) : 0, text);
    strbuf_addf(out, "  ip daddr %s/%u drop\n", text, a->plen);
}

/* A chain's bridge joins leases with each other and with whatever else is on it. Of its own subnets
 * a lease reaches only the gateway: it answers a ping, and forwards to everything else. */
static void keep_from_subnets(const struct net_lease *n, const struct rules_near *near,
                              struct strbuf *out)
{
    if (n->host_addr[0])
        strbuf_addf(out, "  ip daddr %s icmp type echo-request goto admit\n", n->host_addr);
    for (unsigned i = 0; i < near->n_own; i++)
        add_subnet(&near->own[i], out);
}

/* Who may open a connection to the guest: whoever the chain lets, or the host alone. What begins in
 * its middle was a connection to an earlier lease with this address, whose client doesn't know that
 * it is over: what it sends is not for this guest. */
static void let_in(const struct net_lease *n, const struct rules_near *near, struct strbuf *out)
{
    char addr[NET_ADDR_SIZE], from[96];
    (void)str_format(from, sizeof from, "iifname \"%s\" oifname \"%s\" ", net_uplink(n), n->tap);
    if (near && !n->peers) {
        net_format_ipv4(near->source, addr);
        size_t len = strlen(from);
        (void)str_format(from + len, sizeof from - len, "ip saddr %s ", addr);
    }
    strbuf_addf(out,
                LIMITS_MIDSTREAM "%sreject with tcp reset\n"
                                 "  %sct status dnat accept\n",
                from, from);
}

static void forward_text(const struct net_lease *n, const struct rules_near *near,
                         struct strbuf *out)
{
    _cleanup_free_ char *metadata = metadata_set();
    /* What belongs to no connection is not translated: it would leave as the guest's own address.
     */
    strbuf_addf(
        out,
        "chain forward {\n"
        "  type filter hook forward priority filter; policy drop;\n"
        "  ct state established accept\n" NO_ROUTER("iifname \"%s\" ") "  " RELATED "accept\n"
                                                                       "  ct state invalid drop\n",
        n->tap, n->tap);
    if (n->mode != NET_PASTA)
        let_in(n, near, out);
    for (unsigned i = 0; i < n->n_dns; i++) {
        if (n->mode == NET_PASTA)
            strbuf_addf(out, "  ip daddr %s udp dport 53 ct timeout set \"question\"\n", n->dns[i]);
        strbuf_addf(out, "  ip daddr %s meta l4proto { tcp, udp } th dport 53 goto admit\n",
                    n->dns[i]);
    }
    strbuf_addf(out, "  ip daddr %s drop\n", metadata);
    if (n->mode == NET_PASTA)
        strbuf_addf(out, "  ip daddr %s drop\n", near->hosts);
    else if (near && !n->peers)
        keep_from_subnets(n, near, out);
    strbuf_addf(out,
                "  iifname \"%s\" oifname \"%s\" ip saddr %s %sgoto admit\n"
                "}\n",
                n->tap, net_uplink(n), n->guest_addr,
                n->mode == NET_PASTA ? "meta l4proto @ways " : "");
}

/* The VMM runs in this namespace, and a guest may have taken it over: it has no capability there,
 * but may open sockets and give them any address of the namespace. So the namespace opens nothing
 * of its own, over IPv6 neither, and nothing leaves but with the address by which the host knows
 * the lease. The resets are let_in's.
 * Plugins that need more (DHCP) use packet sockets, which don't come through here. */
static void own_text(const struct net_lease *n, struct strbuf *out)
{
    strbuf_adds(out, "chain output {\n"
                     "  type filter hook output priority filter; policy drop;\n"
                     "  ct state established accept\n"
                     "  " RELATED "accept\n"
                     "  ct state related tcp flags & (fin | syn | rst) == rst accept\n");
    if (n->mode == NET_PASTA)
        strbuf_addf(out, "  oifname \"%s\" ip daddr %s meta l4proto tcp accept\n", n->tap,
                    n->guest_addr);
    strbuf_addf(out,
                "}\n"
                "chain leave {\n"
                "  type filter hook postrouting priority srcnat + 10; policy accept;\n"
                "  oifname \"%s\" ip saddr != %s drop\n"
                "}\n",
                net_uplink(n), n->lease_addr);
}

/* Of the lease's own connections that are seen at the host with the port that they have here. */
static void ports_text(const struct net_lease *n, const char *outward, struct strbuf *out)
{
    const bool pasta = n->mode == NET_PASTA;
    _cleanup_free_ char *match = xasprintf("%s meta l4proto %s", outward,
                                           pasta ? "udp" : "{ tcp, udp }");
    if (n->mode != NET_NAT)
        limits_snat(match, n->lease_addr,
                    pasta ? limits_pasta_ports(n->slot) : limits_chain_ports(), out);
}

void rules_lease_text(const struct net_lease *n, const struct rules_near *near, struct strbuf *out)
{
    const char *tap = n->tap, *guest = n->guest_addr, *up = net_uplink(n);
    const struct limits l = limits_now();
    char outward[80];
    strbuf_adds(out, "table inet crabbox {\n");
    if (n->mode == NET_PASTA) {
        limits_pasta_text(&l, out);
        strbuf_adds(out, "set ways { type inet_proto; elements = { tcp, icmp } }\n");
    } else {
        limits_lease_text(&l, out);
    }
    strbuf_addf(out,
                "chain prerouting {\n"
                "  type nat hook prerouting priority dstnat; policy accept;\n"
                "  iifname \"%s\" ip daddr %s dnat ip to %s\n"
                "}\n"
                "chain postrouting {\n"
                "  type nat hook postrouting priority srcnat; policy accept;\n",
                up, n->lease_addr, guest);
    (void)str_format(outward, sizeof outward, "oifname \"%s\" ip saddr %s", up, guest);
    ports_text(n, outward, out);
    strbuf_addf(out,
                "  %s snat ip to %s%s\n"
                "}\n"
                "chain input {\n"
                "  type filter hook input priority filter; policy drop;\n"
                "  iifname \"%s\" ip daddr %s icmp type echo-request goto admit\n"
                "%s"
                "}\n",
                outward, n->lease_addr, n->mode == NET_PASTA ? " fully-random" : "", tap,
                n->gateway, n->mode == NET_PASTA ? "  ct state established accept\n" : "");
    forward_text(n, near, out);
    own_text(n, out);
    rates_in_text(&n->rates, tap, out);
    strbuf_addf(out,
                "}\n"
                "table netdev crabbox {\n"
                "chain tap {\n"
                "  type filter hook ingress device \"%s\" priority filter; policy drop;\n",
                tap);
    rates_out_text(&n->rates, out);
    strbuf_addf(out,
                "  ether saddr != %s drop\n"
                "  arp saddr ether %s arp saddr ip { %s, 0.0.0.0 } accept\n"
                "  ip saddr %s accept\n"
                "}\n"
                "}\n",
                n->guest_mac, n->guest_mac, guest, guest);
}

int rules_open_udp(struct error *err)
{
    return nft_run("add element inet crabbox ways { udp }", "open UDP to the outside", err);
}

int rules_add_lease(const struct net_lease *n, const struct rules_near *near, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    rules_lease_text(n, near, &text);
    if (nft_run(text.buf, "make the rules in the lease's namespace", err) == 0)
        return 0;
    rules_add_modules(err);
    return -1;
}
