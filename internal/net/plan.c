/* plan.c: chooses the addresses and names of a lease. Nothing is made here.
 *
 * The pool is divided into /31 links, the slots. Which slot a lease tries first depends on a hash
 * of its id, so that leases seldom meet; `attempt` gives the next one after a clash. The MAC
 * addresses are made from the id. The guest's own network is the same in every lease, unless the
 * host itself has a route to it; then the next of guest_nets is taken.
 */
#include "net/plan.h"

#include <linux/rtnetlink.h>
#include <string.h>

#include "net/dns.h"
#include "net/link.h"
#include "net/record.h"
#include "net/rules.h"

/* Guests live in a documentation network, behind NAT, the same for every lease of a host. The
 * second and third serve hosts that use the first one themselves. */
static const struct cidr guest_nets[] = {
    {0xc0000200, 30}, /* 192.0.2.0 */
    {0xc6336400, 30}, /* 198.51.100.0 */
    {0xcb007100, 30}, /* 203.0.113.0 */
};

static const uint8_t guest_mac[6] = {0x06, 0xfc, 0x00, 0x00, 0x00, 0x02};

static uint32_t prefix_mask(unsigned plen)
{
    return plen == 0 ? 0 : UINT32_MAX << (32 - plen);
}

/* FNV-1a: spreads, needs no secret. Starts at HASH_START, or goes on from an earlier one. */
#define HASH_START UINT32_C(2166136261)
static uint32_t hash32(uint32_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

int cidr_parse(const char *text, struct cidr *out, struct error *err)
{
    char addr[NET_ADDR_SIZE] = "";
    uint64_t plen;
    uint32_t base;
    size_t len = strcspn(text, "/");
    if (len >= sizeof addr || text[len] != '/' || str_to_u64(text + len + 1, &plen) < 0)
        return error_set(err, ERR_CONFIG, 0, "network.pool \"%.60s\" is not like 10.213.0.0/16",
                         text);
    memcpy(addr, text, len);
    if (net_parse_ipv4(addr, &base) < 0)
        return error_set(err, ERR_CONFIG, 0, "network.pool \"%.60s\" is not like 10.213.0.0/16",
                         text);
    if (plen < 8 || plen > 30)
        return error_set(err, ERR_CONFIG, 0, "network.pool %s: the prefix must be 8 to 30", text);
    uint32_t first = base & prefix_mask((unsigned)plen);
    if (base != first) {
        net_format_ipv4(first, addr);
        return error_set(err, ERR_CONFIG, 0, "network.pool %s: did you mean %s/%u?", text, addr,
                         (unsigned)plen);
    }
    uint32_t top = base >> 24;
    if (top == 0 || top == 127 || top >= 224 || base >> 16 == 0xa9fe)
        return error_set(err, ERR_CONFIG, 0,
                         "network.pool %s is not usable for hosts: take private addresses", text);
    *out = (struct cidr){.base = base, .plen = (unsigned)plen};
    return 0;
}

bool cidr_overlaps(struct cidr a, struct cidr b)
{
    unsigned plen = a.plen < b.plen ? a.plen : b.plen;
    return ((a.base ^ b.base) & prefix_mask(plen)) == 0;
}

uint32_t pool_slots(struct cidr pool)
{
    return (UINT32_C(1) << (31 - pool.plen)) - 1;
}

uint32_t pool_slot(struct cidr pool, const char *lease_id, unsigned attempt)
{
    uint64_t start = hash32(HASH_START, lease_id);
    return 1 + (uint32_t)((start + attempt) % pool_slots(pool));
}

/* The 12 hex digits of the id are the MAC, but for the two bits that say "local" and "unicast". */
static int mac_of_lease(const char *id, uint8_t mac[6], struct error *err)
{
    const char *hex = str_has_prefix(id, "cbx_") ? id + 4 : "";
    if (strlen(hex) != 12 || hex[strspn(hex, "0123456789abcdef")] != '\0')
        return error_set(err, ERR_INTERNAL, 0, "lease id \"%.40s\" has no 12 hex digits", id);
    for (int i = 0; i < 6; i++) {
        unsigned hi = (unsigned)hex[2 * i], lo = (unsigned)hex[2 * i + 1];
        hi = hi > '9' ? hi - 'a' + 10 : hi - '0';
        lo = lo > '9' ? lo - 'a' + 10 : lo - '0';
        mac[i] = (uint8_t)(hi << 4 | lo);
    }
    /* Bit 2 tells the inner end from the outer one (record.c). */
    mac[0] = (uint8_t)((mac[0] & ~7u) | 2);
    return 0;
}

int plan_names(const struct net_request *req, struct cidr pool, struct net_lease *out,
               struct error *err)
{
    if (req->attempt >= pool_slots(pool))
        return error_set(err, ERR_NET, 0,
                         "all %u addresses of network.pool %s are taken: stop a lease (crabbox-fc "
                         "list) or take a larger pool",
                         pool_slots(pool), req->pool);
    out->slot = pool_slot(pool, req->lease_id, req->attempt);
    net_format_ipv4(pool.base + 2 * out->slot, out->host_addr);
    net_format_ipv4(pool.base + 2 * out->slot + 1, out->lease_addr);
    if (str_copy(out->pool, sizeof out->pool, req->pool) < 0 ||
        str_format(out->veth, sizeof out->veth, NET_LINK_PREFIX "%u", out->slot) < 0)
        return error_set(err, ERR_INTERNAL, 0, "names of slot %u", out->slot);
    return plan_common(req, out, err);
}

int plan_common(const struct net_request *req, struct net_lease *out, struct error *err)
{
    uint8_t mac[6];
    uint32_t table = hash32(HASH_START, RULES_VERSION " ");
    if (mac_of_lease(req->lease_id, mac, err) < 0)
        return -1;
    net_format_mac(mac, out->veth_mac);
    /* The rules name the pool. Leases of before it was changed have a table of their own. */
    table = hash32(table, out->mode == NET_CNI ? "cni " : req->pool);
    /* The hash is also the group of the table's links, where 0 would mean every other link. */
    table = hash32(table, req->state_dir) & 0x7fffffff;
    net_format_mac(guest_mac, out->guest_mac);
    if (str_copy(out->tap, sizeof out->tap, "tap0") < 0 ||
        str_format(out->table, sizeof out->table, NET_TABLE_PREFIX "%08x", table ? table : 1) < 0)
        return error_set(err, ERR_INTERNAL, 0, "names of a lease's network");
    return 0;
}

/* A blackhole of a larger network gives way to our longer prefix. What follows from an address
 * (broadcast, multicast) claims nothing of its own, and neither does the default route. A VPN may
 * write that as two halves, or as the many pieces that leave its server out: nobody has a network
 * larger than 10.0.0.0/8. */
#define NET_PLEN_MIN 8
static bool claims_addresses(const struct route_info *r)
{
    return r->plen >= NET_PLEN_MIN && !r->gone &&
           (r->type == RTN_UNICAST || r->type == RTN_LOCAL) && !net_is_our_link_name(r->dev);
}

static int look_at_route(const struct route_info *r, void *arg)
{
    struct plan_routes *p = arg;
    if (!claims_addresses(r))
        return 0;
    struct cidr net = {r->dst, r->plen};
    for (unsigned i = 0; i < ARRAY_LEN(guest_nets); i++)
        if (cidr_overlaps(net, guest_nets[i]))
            p->guest_net_taken |= 1u << i;
    if (p->conflict[0] == '\0' && cidr_overlaps(net, p->pool)) {
        char addr[NET_ADDR_SIZE];
        net_format_ipv4(r->dst, addr);
        (void)snprintf(p->conflict, sizeof p->conflict, "%.15s/%u dev %.15s", addr, r->plen,
                       r->dev[0] ? r->dev : "?");
    }
    return 0;
}

int plan_look_at_routes(struct cidr pool, struct plan_routes *out, struct error *err)
{
    *out = (struct plan_routes){.pool = pool};
    for (unsigned i = 0; i < ARRAY_LEN(guest_nets); i++)
        if (cidr_overlaps(pool, guest_nets[i]))
            out->guest_net_taken |= 1u << i;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || route_each(sk, look_at_route, out, err) < 0)
        return -1;
    while (out->guest_net < ARRAY_LEN(guest_nets) && out->guest_net_taken >> out->guest_net & 1)
        out->guest_net++;
    /* A host that uses all three only loses sight of four addresses. */
    if (out->guest_net == ARRAY_LEN(guest_nets))
        out->guest_net = 0;
    return 0;
}

void plan_guest(const struct plan_routes *routes, const struct dns_list *dns, struct net_lease *out)
{
    const struct cidr *net = &guest_nets[routes->guest_net];
    net_format_ipv4(net->base + 1, out->gateway);
    net_format_ipv4(net->base + 2, out->guest_addr);
    memcpy(out->dns, dns->addr, sizeof out->dns);
    out->n_dns = dns->n;
    memcpy(out->dns_search, dns->search, sizeof out->dns_search);
    memcpy(out->dns_options, dns->options, sizeof out->dns_options);
}

int net_plan(const struct net_request *req, struct net_lease *out, struct error *err)
{
    struct net_lease n = {.rates = req->rates};
    struct cidr pool;
    struct plan_routes routes;
    struct dns_list dns;
    if (cidr_parse(req->pool, &pool, err) < 0 || plan_names(req, pool, &n, err) < 0 ||
        plan_look_at_routes(pool, &routes, err) < 0)
        return -1;
    if (routes.conflict[0])
        return error_set(err, ERR_CONFIG, 0,
                         "network.pool %s overlaps the host's route %s; next: set network.pool to "
                         "private addresses that nothing here uses",
                         req->pool, routes.conflict);
    if (dns_choose(req->dns, &dns, err) < 0)
        return -1;
    plan_guest(&routes, &dns, &n);
    *out = n;
    return 0;
}
