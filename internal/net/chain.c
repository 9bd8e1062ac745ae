/* chain.c: our part of a network whose link a CNI chain makes.
 *
 * net_chain_ns makes the namespace with the tap in it, still down. The chain's ADD then makes its
 * link there. net_chain_join compares that link with what the chain reported, puts our rules in
 * place, and only then brings the tap up. On the host it adds the lease to the table. net_scene
 * makes another namespace with a link that looks like the chain's, so that DEL works after the real
 * one has gone.
 */
#include "net/chain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "net/flows.h"
#include "net/link.h"
#include "net/ns.h"
#include "net/plan.h"
#include "net/record.h"
#include "net/rules.h"
#include "net/tap.h"

int net_chain_plan(const struct net_request *req, bool peers, struct net_lease *out,
                   struct error *err)
{
    struct net_lease n = {.mode = NET_CNI, .peers = peers, .rates = req->rates};
    if (plan_common(req, &n, err) < 0)
        return -1;
    *out = n;
    return 0;
}

static int prepare(void *arg, struct error *err)
{
    const struct net_lease *n = arg;
    /* A new namespace takes the first setting from the host's. The second is for the tap and for
     * the chain's link: a plugin that gives that an IPv6 address switches IPv6 on there itself, and
     * would miss the address at CHECK and DEL if it were switched off afterwards. */
    if (ns_sysctl_write("net/ipv4/ip_forward", "0", err) < 0 || ns_no_ipv6("default", err) < 0)
        return -1;
    return tap_create(n->tap, err);
}

int net_chain_ns(const struct net_lease *n, struct error *err)
{
    struct net_lease copy = *n;
    _cleanup_close_ int ns = ns_new(err);
    if (ns < 0 || ns_run(ns, prepare, &copy, err) < 0)
        return -1;
    return TAKE_FD(ns);
}

/* The chain's servers are passed over like the host's own: one on the loopback, which address
 * plugins copy from the host's resolv.conf, is none of the guest's. */
static int choose_dns(const struct net_chain_link *link, const char *configured,
                      struct dns_list *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    for (size_t i = 0; i < link->n_dns; i++)
        strbuf_addf(&lines, "nameserver %s\n", link->dns[i]);
    strbuf_addf(&lines, "search %s\noptions %s\n", link->search, link->options);
    dns_parse_resolv(lines.buf, lines.len, out);
    return (configured && *configured) || out->n == 0 ? dns_choose(configured, out, err) : 0;
}

int net_chain_address(const struct net_chain_link *link, const char *dns, struct net_lease *n,
                      struct error *err)
{
    struct cidr subnet = {.plen = link->plen};
    struct plan_routes routes;
    struct dns_list servers;
    struct net_view unused;
    /* All of it or nothing: a record with half of a network could be neither undone nor read. */
    struct net_lease next = *n;
    if (net_parse_ipv4(link->addr, &subnet.base) < 0 ||
        str_copy(next.lease_addr, sizeof next.lease_addr, link->addr) < 0 ||
        str_copy(next.host_addr, sizeof next.host_addr, link->gateway) < 0)
        return error_set(err, ERR_NET, 0, "the CNI chain gave no usable address");
    next.lease_plen = link->plen;
    if (choose_dns(link, dns, &servers, err) < 0 || plan_look_at_routes(subnet, &routes, err) < 0)
        return -1;
    plan_guest(&routes, &servers, &next);
    if (net_view(&next, &unused, err) < 0)
        return -1;
    *n = next;
    return 0;
}

struct join {
    const struct net_lease *n;
    struct net_view v;
    struct rules_near near;
};

/* What the chain said is believed once it is seen. */
static int see_link(struct nl_sock *sk, struct join *j, struct error *err)
{
    unsigned uplink;
    if (link_index(NET_CHAIN_UPLINK, &uplink, err) < 0)
        return error_prefix(err, "after the CNI chain");
    int n = addr_list(sk, uplink, j->near.own, RULES_SUBNETS_MAX, err);
    if (n < 0)
        return error_prefix(err, NET_CHAIN_UPLINK);
    j->near.n_own = (unsigned)n;
    for (int i = 0; i < n; i++)
        if (j->near.own[i].addr == j->v.lease_addr)
            return 0;
    return error_set(err, ERR_NET, 0,
                     "the CNI chain's result gives " NET_CHAIN_UPLINK
                     " the address %s, but the link "
                     "does not have it",
                     j->n->lease_addr);
}

/* Whose packets the lease takes for the host's: a socket that was only connected knows, nothing is
 * sent. */
static int see_host(struct join *j, struct error *err)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(22), .sin_addr.s_addr = htonl(j->v.lease_addr)};
    socklen_t len = sizeof a;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return error_set(err, ERR_NET, errno,
                         "the host does not reach the address %s that the CNI chain gave the lease",
                         j->n->lease_addr);
    j->near.source = ntohl(a.sin_addr.s_addr);
    return 0;
}

static int join_inside(void *arg, struct error *err)
{
    struct join *j = arg;
    const char *tap = j->n->tap;
    unsigned lo, tap_index;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || see_link(sk, j, err) < 0 || rules_add_lease(j->n, &j->near, err) < 0 ||
        link_index("lo", &lo, err) < 0 || link_index(tap, &tap_index, err) < 0 ||
        addr_add(sk, tap_index, j->v.gateway, 30, true, err) < 0 ||
        link_up(sk, lo, "lo", err) < 0 || link_up_mac(sk, tap_index, tap, NET_TAP_MAC, err) < 0)
        return -1;
    return ns_sysctl_write("net/ipv4/ip_forward", "1", err);
}

int net_chain_join(int netns_fd, const struct net_lease *n, struct error *err)
{
    struct join j = {.n = n};
    if (net_view(n, &j.v, err) < 0 || see_host(&j, err) < 0 || flows_check(err) < 0)
        return -1;
    if (rules_add_host(n, &j.v, err) == 0 && ns_run(netns_fd, join_inside, &j, err) == 0)
        return 0;
    struct error undo = ERROR_INIT;
    if (net_undo(n, &undo) < 0)
        (void)error_append(err, "; and then: %s", undo.msg);
    return -1;
}

struct scene {
    const char *const *addrs;
    size_t n;
};

static int set_scene(void *arg, struct error *err)
{
    const struct scene *s = arg;
    unsigned index;
    if (tap_create(NET_CHAIN_UPLINK, err) < 0 || link_index(NET_CHAIN_UPLINK, &index, err) < 0)
        return -1;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    for (size_t i = 0; sk && i < s->n; i++)
        if (addr_add_text(sk, index, s->addrs[i], err) < 0)
            return -1;
    return sk ? 0 : -1;
}

int net_scene(const char *const *addrs, size_t n, struct error *err)
{
    struct scene s = {.addrs = addrs, .n = n};
    _cleanup_close_ int ns = ns_new(err);
    if (ns < 0 || ns_run(ns, set_scene, &s, err) < 0)
        return -1;
    return TAKE_FD(ns);
}
