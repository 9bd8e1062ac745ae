/* net.c: how the network of one lease is made and undone.
 *
 * net_apply makes it with links of our own (chain.c does it on a CNI chain):
 * 1. Check that the host's table of connections can be read.
 * 2. Make a network namespace. It has no name, only a descriptor.
 * 3. Claim the address: make the veth pair. The name of its outer end carries the slot, and the
 *    kernel refuses a second link of that name. The inner end is made directly in the namespace.
 * 4. In the namespace, with all links still down: IPv6 off, forwarding on, the tap, the rules.
 * 5. Add the lease to the host's nft table.
 * 6. In the namespace: addresses, links up, default route.
 * 7. On the host: address and route of the outer end, link up.
 * 8. Ask the kernel which way the lease's packets go (way.h).
 * 9. Remove connections of an earlier lease with this address from the host's table of connections.
 *
 * The rules are in place before any link is up, so no packet can get around them. If a step after
 * 3. fails, net_undo runs at once. Otherwise the caller gets the descriptor and starts the VMM in
 * the namespace. The namespace lives as long as the VMM.
 *
 * net_undo knows only the record. It finds the outer link by its name and compares the MAC, which
 * is made from the lease's id, so it never removes a link of another lease. If the link went with
 * its namespace, the address may still have connections in the host's table. Then net_undo claims
 * the name again for a moment, so that no new lease gets the address meanwhile. It sets the link
 * down, ends the host's sockets that are connected to the address (sockets.h), removes the
 * connections, and then removes the link and the lease's entry in the nft table.
 * On a CNI chain there is only that entry and the connections: the chain's DEL removes the link.
 */
#include "net/net.h"

#include <errno.h>
#include <string.h>

#include "net/flows.h"
#include "net/link.h"
#include "net/ns.h"
#include "net/plan.h"
#include "net/record.h"
#include "net/rules.h"
#include "net/sockets.h"
#include "net/tap.h"
#include "net/way.h"

struct apply {
    const struct net_lease *n;
    struct net_view v;
};

/* Inside the new namespace, before anything is up: settings, the tap, the rules. */
static int prepare_lease_ns(void *arg, struct error *err)
{
    const struct apply *a = arg;
    if (ns_no_ipv6("all", err) < 0 || ns_no_ipv6("default", err) < 0 ||
        ns_sysctl_write("net/ipv4/ip_forward", "1", err) < 0 || tap_create(a->n->tap, err) < 0)
        return -1;
    return rules_add_lease(a->n, NULL, err);
}

/* Inside, with the rules in place: addresses, links up, the default route. */
static int connect_lease_ns(void *arg, struct error *err)
{
    const struct apply *a = arg;
    const char *tap = a->n->tap;
    unsigned lo, tap_index, uplink;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || link_index("lo", &lo, err) < 0 || link_index(tap, &tap_index, err) < 0 ||
        link_index(NET_UPLINK, &uplink, err) < 0)
        return -1;
    if (addr_add(sk, tap_index, a->v.gateway, 30, true, err) < 0 ||
        addr_add(sk, uplink, a->v.lease_addr, 31, true, err) < 0 ||
        link_up(sk, lo, "lo", err) < 0 || link_up_mac(sk, tap_index, tap, NET_TAP_MAC, err) < 0 ||
        link_up(sk, uplink, NET_UPLINK, err) < 0)
        return -1;
    return route_add(sk, 0, 0, a->v.host_addr, uplink, err);
}

/* The claim: the kernel lets one process have the name. */
static int claim_link(struct nl_sock *sk, const struct apply *a, int ns, struct error *err)
{
    struct veth_spec spec = {
        .name = a->n->veth, .group = a->v.group, .peer_name = NET_UPLINK, .peer_ns = ns};
    memcpy(spec.mac, a->v.veth_mac, sizeof spec.mac);
    memcpy(spec.peer_mac, a->v.uplink_mac, sizeof spec.peer_mac);
    return link_add_veth(sk, &spec, err);
}

/* The host's end. Its route is added by us, exclusively: should another pool that overlaps ours
 * have given this address to a link of another name, the kernel says so here. */
static int connect_host(struct nl_sock *sk, const struct apply *a, struct error *err)
{
    const char *veth = a->n->veth;
    unsigned index;
    char path[64];
    (void)str_format(path, sizeof path, "net/ipv4/conf/%s/forwarding", veth);
    if (ns_no_ipv6(veth, err) < 0 || ns_sysctl_write(path, "1", err) < 0 ||
        link_index(veth, &index, err) < 0 ||
        addr_add(sk, index, a->v.host_addr, 31, false, err) < 0 ||
        link_up(sk, index, veth, err) < 0)
        return -1;
    return route_add(sk, a->v.host_addr, 31, 0, index, err);
}

/* Forwarding and routing rules are the administrator's: they are asked for, never changed. */
static int check_way(struct nl_sock *sk, const struct apply *a, struct error *err)
{
    struct way_lease l = {.addr = a->v.lease_addr, .servers = a->v.dns, .n_servers = a->n->n_dns};
    struct net_way way;
    if (link_index(a->n->veth, &l.link, err) < 0 || way_ask(sk, &l, &way, err) < 0)
        return -1;
    return net_way_check(&way, a->n->pool, err);
}

/* After the claim: everything here is undone by net_undo. What an earlier holder of the address has
 * left, whose namespace died and who was not undone yet, is not this lease's to live with. */
static int build(struct nl_sock *sk, struct apply *a, int ns, struct error *err)
{
    if (rules_add_host(a->n, &a->v, err) < 0)
        return -1;
    if (ns_run(ns, connect_lease_ns, a, err) < 0)
        return -1;
    if (connect_host(sk, a, err) < 0 || check_way(sk, a, err) < 0)
        return -1;
    return flows_forget(a->v.lease_addr, err);
}

int net_apply(const struct net_lease *n, struct error *err)
{
    struct apply a = {.n = n};
    if (net_view(n, &a.v, err) < 0)
        return -1;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || flows_check(err) < 0)
        return -1;
    _cleanup_close_ int ns = ns_new(err);
    if (ns < 0 || claim_link(sk, &a, ns, err) < 0)
        return -1;
    if (ns_run(ns, prepare_lease_ns, &a, err) < 0 || build(sk, &a, ns, err) < 0) {
        struct error undo = ERROR_INIT;
        if (net_undo(n, &undo) < 0)
            (void)error_append(err, "; and then: %s", undo.msg);
        return -1;
    }
    return TAKE_FD(ns);
}

/* Nobody else has the address yet, and the lease can't use it any more. The sockets go first: the
 * kernel may say goodbye for them. */
static int forget(uint32_t addr, struct error *err)
{
    sockets_end(addr);
    sockets_forget_metrics(addr);
    return flows_forget(addr, err);
}

/* On a chain it is the entry in the table that says whose the address is. */
static int leave_chain(const struct net_lease *n, const struct net_view *v, struct error *err)
{
    int in = rules_has_host(n, v, err);
    if (in < 0 || (in > 0 && forget(v->lease_addr, err) < 0))
        return -1;
    return rules_remove_host(n, v, err);
}

/* A lease that lost the race for an address to one with another link's name (pools that overlap)
 * has nothing at that address. */
static int is_of_another(const struct route_info *r, void *arg)
{
    const struct apply *a = arg;
    return r->dst == a->v.host_addr && r->plen == 31 && r->dev[0] && !r->gone &&
           !str_eq(r->dev, a->n->veth);
}

/* The link's name is the claim on the address. Where the link died with its namespace the name is
 * claimed once more, for as long as the removal takes: somebody who was quicker has removed the
 * entries already. `*index` is the link, or 0; `*keep` holds a stand-in's namespace. */
static int hold_claim(struct nl_sock *sk, const struct apply *a, unsigned *index, int *keep,
                      struct error *err)
{
    struct error e = ERROR_INIT;
    struct link_info link;
    int found = link_find(sk, a->n->veth, &link, err);
    if (found < 0)
        return -1;
    *index = 0;
    if (found) {
        /* By index, after the MAC was seen on that index: the name may pass to another. */
        if (memcmp(link.mac, a->v.veth_mac, MAC_LEN) == 0)
            *index = link.index;
        return *index ? 1 : 0;
    }
    if (!flows_any())
        return 0;
    *keep = ns_new(err);
    if (*keep < 0)
        return -1;
    if (claim_link(sk, a, *keep, &e) == 0)
        return link_index(a->n->veth, index, err) < 0 ? -1 : 1;
    if (e.kind == ERR_EXISTS)
        return 0;
    if (err)
        *err = e;
    return -1;
}

/* Down first: after that nothing of the lease can make an entry, and nobody else has its address.
 */
static int forget_flows(struct nl_sock *sk, struct apply *a, unsigned index, struct error *err)
{
    int other = route_each(sk, is_of_another, a, err);
    if (other < 0 || link_down(sk, index, a->n->veth, err) < 0)
        return -1;
    return other ? 0 : forget(a->v.lease_addr, err);
}

static int leave_host_table(void *arg, struct error *err)
{
    const struct apply *a = arg;
    return rules_remove_host(a->n, &a->v, err);
}

int net_undo(const struct net_lease *n, struct error *err)
{
    struct apply a = {.n = n};
    unsigned index = 0;
    _cleanup_close_ int keep = -1;
    if (!net_is_planned(n))
        return 0;
    if (net_view(n, &a.v, err) < 0)
        return -1;
    if (n->mode == NET_CNI)
        return leave_chain(n, &a.v, err);
    if (n->mode == NET_PASTA)
        return 0; /* all of it goes with its namespace; pasta_end ends that program */
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk)
        return -1;
    int held = hold_claim(sk, &a, &index, &keep, err);
    if (held < 0 || (held && forget_flows(sk, &a, index, err) < 0))
        return -1;
    /* Both wait for the kernel to let go, so they wait together. */
    struct ns_task rules;
    ns_start(&rules, NS_HERE, leave_host_table, &a);
    int r = index ? link_delete(sk, index, n->veth, err) : 0;
    return ns_join(&rules, r < 0 ? NULL : err) < 0 ? -1 : r;
}

static int watch(void *arg, struct error *err)
{
    const struct apply *a = arg;
    return tap_watch(a->n->tap, a->v.guest_mac, err);
}

int net_watch_guest(int netns_fd, const struct net_lease *n, struct error *err)
{
    struct apply a = {.n = n};
    if (net_view(n, &a.v, err) < 0)
        return -1;
    return ns_run(netns_fd, watch, &a, err);
}
