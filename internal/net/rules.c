/* rules.c: the text of the host's nftables rules, and how leases join them.
 *
 * rules_host_text makes the whole table of the host for one kind of lease. rules_add_host first
 * tries to add only the lease's own element to an existing table. If there is no table, it makes
 * one with the element in it; if another process has made it meanwhile, it tries to join again. nft
 * runs each text as one transaction, so there is never a table with only a part of its rules.
 *
 * A packet from a lease to the outside goes through the chain `forward`, one to the host through
 * `input`. With our own links, `forward` looks the sender up in the map `leases`, and drops packets
 * of unknown ones. New connections go to the chain `admit` (limits.c), which counts them.
 */
#include "net/rules.h"

#include <errno.h>
#include <string.h>

#include "net/limits.h"
#include "net/listing.h"
#include "net/metadata.h"
#include "net/nft.h"
#include "net/rules_priv.h"

#define KEY_SIZE 80

/* A lease as the host knows its packets: by the kernel's link and the inner end's MAC, or on a
 * chain by the address. The map's key, as nftables prints it too. */
static void key_of(const struct net_lease *n, const struct net_view *v, char out[static KEY_SIZE])
{
    char mac[NET_MAC_SIZE];
    net_format_mac(v->uplink_mac, mac);
    if (n->mode == NET_CNI)
        net_format_ipv4(v->lease_addr, out);
    else
        (void)str_format(out, KEY_SIZE, "\"%s\" . %s", n->veth, mac);
}

/* The key and whose it is. A chain may give an address twice: the first lease has it, and undoing
 * the second finds nothing of its own. Links of our own say it by their MAC. */
static void entry_of(const struct net_lease *n, const struct net_view *v, char out[static KEY_SIZE])
{
    key_of(n, v, out);
    if (n->mode == NET_CNI && n->veth_mac[0]) {
        size_t len = strlen(out);
        (void)str_format(out + len, KEY_SIZE - len, " comment \"%s\"", n->veth_mac);
    }
}

/* `peers_too`: from the set `open`, too. A table of the first version of the rules has none. */
static void delete_element(const struct net_lease *n, const struct net_view *v, bool peers_too,
                           struct strbuf *out)
{
    char key[KEY_SIZE];
    key_of(n, v, key);
    strbuf_addf(out, "delete element inet %s leases { %s }\n", n->table, key);
    if (n->mode == NET_CNI && (!n->peers || peers_too))
        strbuf_addf(out, "delete element inet %s %s { %s }\n", n->table,
                    n->peers ? "open" : "closed", key);
}

/* DNS servers that are addresses of the host, or metadata addresses, are let through for DNS. The
 * set only grows while the table lives: it names servers, not leases. */
static void add_dns(const struct net_lease *n, struct strbuf *out)
{
    for (unsigned i = 0; i < n->n_dns; i++)
        strbuf_addf(out, "add element inet %s dns { %s }\n", n->table, n->dns[i]);
}

static void add_membership(const struct net_lease *n, const struct net_view *v, struct strbuf *out)
{
    char key[KEY_SIZE], entry[KEY_SIZE];
    bool cni = n->mode == NET_CNI;
    key_of(n, v, key);
    entry_of(n, v, entry);
    add_dns(n, out);
    strbuf_addf(out, "%s element inet %s leases { %s : goto lease }\n", cni ? "create" : "add",
                n->table, entry);
    if (cni)
        strbuf_addf(out, "add element inet %s %s { %s }\n", n->table, n->peers ? "open" : "closed",
                    key);
}

#define IS_DNS "  ip daddr @dns meta l4proto { tcp, udp } th dport 53 "

/* What may open a connection goes through `admit` (limits.h), which has the last word. */
static void common_text(const struct limits *l, unsigned share_bits, struct strbuf *out)
{
    _cleanup_free_ char *metadata = metadata_set();
    strbuf_adds(out, "set dns { type ipv4_addr; }\n");
    limits_host_text(l, share_bits, out);
    strbuf_addf(out,
                "chain outward {\n" NO_ROUTER("") IS_DNS
                "goto admit\n"
                "  ip daddr %s drop\n"
                "  goto admit\n"
                "}\n"
                /* What a lease reaches of the host itself. */
                "chain to_host {\n" IS_DNS "goto admit\n"
                "  icmp type echo-request goto admit\n"
                "  drop\n"
                "}\n",
                metadata);
}

/* The kernel takes a packet for the answer to a guest's connection when it comes from where the
 * guest has sent to, and goes to the port of the host that this connection has. It may be for the
 * host all the same: a new connection (the first rule), or part of one that is open at the other
 * end (the second). That end would answer a guest's SYN with the sequence numbers of its open
 * connection, which is all that the guest needs to reset it. */
static void keep_the_hosts(const char *to_lease, struct strbuf *out)
{
    strbuf_addf(
        out,
        "  %s ct direction reply tcp flags & (syn | ack) == syn drop\n"
        "  %s ct direction reply ct status & assured == 0 tcp flags & (syn | rst) == 0 goto old\n",
        to_lease, to_lease);
}

/* An acknowledgement and nothing else: what an open connection answers to a SYN. */
#define BARE_ACK "tcp flags & (fin | syn | rst | psh | ack | urg) == ack ip length < 100 "

/* Where a connection is open at the other end alone, nobody could connect to there with its port. A
 * guest makes such connections by resets that reach the host and not that end, and each server that
 * closes first remembers some for a minute. So the host resets it, and the repeated SYN gets
 * through. What the host has a socket for is its own: that is only known before the packet is taken
 * for an answer, so `hosts` says it in between. */
static void old_text(struct limits_ports p, struct strbuf *out)
{
    if (!p.last) {
        strbuf_adds(out, "chain old { drop; }\n");
        return;
    }
    strbuf_addf(out,
                "set hosts { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 1s; "
                "size 65535; }\n"
                "chain sockets {\n"
                "  type filter hook prerouting priority raw; policy accept;\n"
                "  tcp dport %u-%u " BARE_ACK
                "socket transparent { 0, 1 } update @hosts { ip saddr . tcp sport }\n"
                "}\n"
                "chain old {\n"
                "  ip saddr . tcp sport @hosts drop\n"
                "  meta l4proto tcp ct reply proto-dst %u-%u " BARE_ACK "reject with tcp reset\n"
                "  drop\n"
                "}\n",
                p.first, p.last, p.first, p.last);
}

/* The first packet of a flow that is given another source. */
#define MASQUERADED "  ct status & (snat | confirmed) == snat "

static void host_text_chain(const struct net_lease *n, struct strbuf *out)
{
    const char *t = n->table;
    const struct limits l = limits_now();
    strbuf_addf(out, "create table inet %s\ntable inet %s {\n", t, t);
    common_text(&l, 15, out);
    limits_chain_text(&l, out);
    old_text(limits_chain_ports(), out);
    strbuf_adds(out, "set closed { type ipv4_addr; }\n"
                     "set open { type ipv4_addr; }\n"
                     "chain lease {\n" NO_ROUTER(
                         "") "  ct state established accept\n  " RELATED "accept\n"
                             "  goto to_host\n"
                             "}\n"
                             "map leases { type ipv4_addr : verdict; }\n"
                             "chain forward {\n"
                             "  type filter hook forward priority filter; policy accept;\n");
    keep_the_hosts("ip daddr @closed", out);
    keep_the_hosts("ip daddr @open", out);
    strbuf_adds(out,
                "  ip daddr @closed ct state != { established, related } drop\n"
                "  ip daddr @closed ct state related meta l4proto != icmp drop\n"
                "  ip saddr @closed goto outward\n"
                "  ip saddr @open goto outward\n"
                "  ip daddr @open goto admit_to\n"
                "}\n"
                "chain input {\n"
                "  type filter hook input priority filter; policy accept;\n"
                "  ip saddr vmap @leases\n"
                "}\n"
                "chain postrouting {\n"
                "  type filter hook postrouting priority srcnat + 10; policy accept;\n" MASQUERADED
                "ct original ip saddr @closed goto drawn\n" MASQUERADED
                "ct original ip saddr @open goto drawn\n"
                "}\n}\n");
}

/* Addresses of the pool are on our links or nowhere. Without these rules, packets to an address
 * without a lease would take the default route, and others could send with such an address. */
static void pool_text(const struct net_lease *n, struct strbuf *out)
{
    if (n->pool[0] == '\0')
        return;
    strbuf_addf(out,
                "chain pool {\n"
                "  type filter hook prerouting priority filter; policy accept;\n"
                "  iifname != \"" NET_LINK_PREFIX "*\" iifname != \"lo\" ip saddr %s drop\n"
                "}\n"
                "chain output {\n"
                "  type filter hook output priority filter; policy accept;\n"
                "  oifname != \"" NET_LINK_PREFIX "*\" oifname != \"lo\" ip daddr %s drop\n"
                "}\n"
                "chain pool_forward {\n"
                "  type filter hook forward priority filter; policy accept;\n"
                "  oifname != \"" NET_LINK_PREFIX "*\" ip daddr %s drop\n"
                "}\n",
                n->pool, n->pool, n->pool);
}

static void host_text_pair(const struct net_lease *n, const struct net_view *v, struct strbuf *out)
{
    const char *t = n->table;
    const struct limits l = limits_now();
    uint32_t g = v->group;
    char from_lease[32], to_lease[32];
    (void)str_format(from_lease, sizeof from_lease, "iifgroup %u", g);
    (void)str_format(to_lease, sizeof to_lease, "oifgroup %u", g);
    /* `create` fails where `add` would add the rules a second time. */
    strbuf_addf(out, "create table inet %s\ntable inet %s {\n", t, t);
    common_text(&l, 30, out);
    pool_text(n, out);
    old_text(limits_pair_ports(), out);
    /* What belongs to no connection is not masqueraded. */
    strbuf_adds(out, "chain lease {\n"
                     "  meta nfproto ipv6 drop\n"
                     "  ct state invalid drop\n"
                     "  fib saddr . iif oif missing drop\n"
                     "  goto outward\n"
                     "}\n"
                     "map leases { type ifname . ether_addr : verdict; }\n");
    strbuf_addf(out,
                "chain forward {\n"
                "  type filter hook forward priority filter; policy accept;\n"
                "  iifname \"" NET_LINK_PREFIX "*\" oifname \"" NET_LINK_PREFIX "*\" drop\n"
                "  oifgroup %u meta nfproto ipv6 drop\n",
                g);
    keep_the_hosts(to_lease, out);
    strbuf_addf(out,
                "  oifgroup %u ct state established accept\n"
                "  oifgroup %u " RELATED "accept\n"
                "  oifgroup %u drop\n"
                "  iifgroup %u iifname . ether saddr vmap @leases\n"
                "  iifgroup %u drop\n"
                "}\n",
                g, g, g, g, g);
    strbuf_addf(out,
                "chain input {\n"
                "  type filter hook input priority filter; policy accept;\n"
                "  iifgroup != %u accept\n"
                "  meta nfproto ipv6 drop\n" NO_ROUTER(
                    "") "  ct state established accept\n"
                        "  " RELATED "accept\n"
                        "  fib saddr . iif oif missing drop\n"
                        "  goto to_host\n"
                        "}\n"
                        "chain postrouting {\n"
                        "  type nat hook postrouting priority srcnat; policy accept;\n",
                g);
    limits_masquerade(from_lease, out);
    strbuf_adds(out, "}\n}\n");
}

void rules_host_text(const struct net_lease *n, const struct net_view *v, struct strbuf *out)
{
    if (n->mode == NET_CNI)
        host_text_chain(n, out);
    else
        host_text_pair(n, v, out);
    add_membership(n, v, out);
}

void rules_add_modules(struct error *e)
{
    if (!e || (e->sys != ENOENT && e->sys != EOPNOTSUPP))
        return;
    e->kind = ERR_ENV;
    (void)error_append(e, "; next: modprobe -a " NET_MODULES);
}

int rules_add_host(const struct net_lease *n, const struct net_view *v, struct error *err)
{
    _cleanup_strbuf_ struct strbuf join = STRBUF_INIT, all = STRBUF_INIT;
    struct error e;
    add_membership(n, v, &join);
    rules_host_text(n, v, &all);
    /* A second round means that somebody made or removed the table meanwhile: rounds are few. */
    for (int i = 0; i < 100; i++) {
        e = (struct error)ERROR_INIT;
        if (nft_run(join.buf, "join the nftables table", &e) == 0)
            return 0;
        if (e.sys == EEXIST && n->mode == NET_CNI)
            return error_set(err, ERR_NET, 0,
                             "the CNI chain gave the lease the address %s, which another lease "
                             "has; next: give its list an \"ipam\" with a range",
                             n->lease_addr);
        if (e.sys != ENOENT)
            break;
        if (nft_run(all.buf, "make the nftables table", &e) == 0)
            return 0;
        if (e.sys != EEXIST)
            break;
    }
    rules_add_modules(&e);
    if (err)
        *err = e;
    return error_prefix(err, "table %s", n->table);
}

/* Who is in the table now: whether this lease is, and how many others. -1 with ENOENT: no table. */
static int look_at_members(const struct net_lease *n, const struct net_view *v, bool *in,
                           unsigned *others, struct error *err)
{
    char command[64], entry[KEY_SIZE];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    (void)str_format(command, sizeof command, "list map inet %s leases", n->table);
    if (nft_list(command, NFT_TEXT, &text, err) < 0)
        return -1;
    entry_of(n, v, entry);
    listing_members(text.buf, entry, in, others);
    return 0;
}

int rules_has_host(const struct net_lease *n, const struct net_view *v, struct error *err)
{
    struct error e = ERROR_INIT;
    bool in = false;
    unsigned others;
    if (look_at_members(n, v, &in, &others, &e) == 0)
        return in;
    if (e.sys == ENOENT)
        return 0;
    if (err)
        *err = e;
    return error_prefix(err, "table %s", n->table);
}

int rules_try(struct error *err)
{
    static const struct net_lease pair = {
        .veth = "cbx0", .pool = "10.213.0.0/16", .table = NET_TABLE_PREFIX "00000000"};
    static const struct net_lease chain = {.mode = NET_CNI, .table = NET_TABLE_PREFIX "00000001"};
    static const struct net_view nobody = {.group = 1};
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error e = ERROR_INIT;
    rules_host_text(&pair, &nobody, &text);
    rules_host_text(&chain, &nobody, &text);
    if (nft_try(text.buf, "the kernel rejects a lease's rules", &e) == 0)
        return 0;
    rules_add_modules(&e);
    if (err)
        *err = e;
    return -1;
}

int rules_remove_host(const struct net_lease *n, const struct net_view *v, struct error *err)
{
    /* A refused transaction costs the kernel more than a listing: look first, then try what the
     * look suggests. Only the transaction decides, so a look that is out of date costs a round. */
    for (int i = 0;; i++) {
        struct error e = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        bool in = false;
        unsigned others = 0;
        if (look_at_members(n, v, &in, &others, &e) == 0) {
            if (!in && others > 0)
                return 0;
            if (in)
                delete_element(n, v, i % 2 == 0, &text);
            /* The chain before the table: the elements of other leases refer to it. */
            if (others == 0)
                strbuf_addf(&text, "delete chain inet %s lease\ndelete table inet %s\n", n->table,
                            n->table);
            /* Leases that leave at the same time see each other: each looks again when it is out,
             * and the last one sees nobody. */
            if (nft_run(text.buf, "leave the nftables table", &e) == 0 && others == 0)
                return 0;
        } else if (e.sys == ENOENT) {
            return 0;
        }
        if (i < 100 && (e.kind == ERR_NONE || e.sys == ENOENT || e.sys == EBUSY))
            continue;
        if (err)
            *err = e;
        return error_prefix(err, "table %s", n->table);
    }
}
