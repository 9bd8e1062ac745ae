#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/chain.h"
#include "net/link.h"
#include "net/ns.h"
#include "net/record.h"
#include "testutil/netlab.h"

struct lab_world *lab_world_up(void)
{
    struct lab_world *w = xcalloc(1, sizeof *w);
    lab_up(&w->lab);
    w->udp = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", LAB_PORT);
    w->tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", LAB_PORT);
    w->a.ns = w->b.ns = -1;
    return w;
}

void lab_world_down(struct lab_world *w)
{
    struct error err = ERROR_INIT;
    struct net_found found[8];
    if (w->a.ns >= 0)
        lab_leave(&w->a);
    if (w->b.ns >= 0)
        lab_leave(&w->b);
    CLOSE_FD(w->udp);
    CLOSE_FD(w->tcp);
    lab_down(&w->lab);
    assert_int_equal(net_scan(found, 8, &err), 0);
    free(w);
}

void lab_assert_host_connects(const struct lab_world *w)
{
    assert_true(lab_udp_reaches(w->lab.here, w->udp, LAB_OUTSIDE, LAB_PORT, LAB_REACH_MS, NULL));
    assert_true(lab_tcp_echoes(w->lab.here, w->tcp, LAB_OUTSIDE, LAB_PORT, LAB_REACH_MS));
}

void lab_connect(const struct lab_world *w, int ns, int ends[2])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(LAB_PORT)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    ends[0] = lab_client(ns);
    assert_true(connect(ends[0], (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
    struct pollfd p = {.fd = w->tcp, .events = POLLIN};
    assert_int_equal(poll(&p, 1, LAB_REACH_MS), 1);
    ends[1] = accept4(w->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(ends[1] >= 0);
}

/* ---- a chain ---- */

struct end {
    const char *link, *addr, *gateway;
};

static int set_up_end(void *arg, struct error *err)
{
    const struct end *e = arg;
    uint32_t addr, gateway;
    unsigned index;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || net_parse_ipv4(e->addr, &addr) < 0 || link_index(e->link, &index, err) < 0 ||
        addr_add(sk, index, addr, 24, true, err) < 0 || link_up(sk, index, e->link, err) < 0)
        return -1;
    return e->gateway && net_parse_ipv4(e->gateway, &gateway) == 0
               ? route_add(sk, 0, 0, gateway, index, err)
               : 0;
}

/* The names of the chain's link number i. */
struct chain_names {
    char link[16], host[NET_ADDR_SIZE], lease[NET_ADDR_SIZE], id[24];
};

static struct chain_names chain_names(unsigned i)
{
    struct chain_names c;
    (void)str_format(c.link, sizeof c.link, "box%u", i);
    (void)str_format(c.host, sizeof c.host, "10.88.%u.1", i);
    (void)str_format(c.lease, sizeof c.lease, "10.88.%u.2", i);
    (void)str_format(c.id, sizeof c.id, "cbx_0000000000d%u", i);
    return c;
}

static int try_chain(unsigned i, bool peers, struct net_lease *n, struct error *err)
{
    const struct chain_names c = chain_names(i);
    const struct net_request req = {
        .lease_id = c.id, .pool = "10.213.0.0/16", .state_dir = "/state/one"};
    const struct net_chain_link link = {
        .addr = c.lease, .plen = 24, .gateway = c.host, .search = "", .options = ""};
    struct end here = {c.link, c.host, NULL};
    struct end there = {NET_CHAIN_UPLINK, c.lease, c.host};
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    _cleanup_close_ int ns = -1;
    if (!sk || net_chain_plan(&req, peers, n, err) < 0 || (ns = net_chain_ns(n, err)) < 0)
        return -1;
    struct veth_spec spec = {.name = here.link,
                             .mac = {2, 0, 0, (uint8_t)i, 2, 1},
                             .peer_name = there.link,
                             .peer_mac = {2, 0, 0, (uint8_t)i, 2, 2},
                             .peer_ns = ns};
    if (link_add_veth(sk, &spec, err) < 0 || set_up_end(&here, err) < 0 ||
        ns_run(ns, set_up_end, &there, err) < 0 || net_chain_address(&link, LAB_HOST, n, err) < 0 ||
        net_chain_join(ns, n, err) < 0)
        return -1;
    return TAKE_FD(ns);
}

int lab_chain_join(unsigned i, bool peers, struct net_lease *n)
{
    struct error err = ERROR_INIT;
    int ns = try_chain(i, peers, n, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    return ns;
}

void lab_chain_leave(unsigned i, const struct net_lease *n)
{
    const struct chain_names c = chain_names(i);
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    lab_undo(n);
    if (link_find(sk, c.link, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, c.link, &err), 0);
}

void lab_join_chain(const struct lab_world *w, unsigned i, bool peers, struct lab_member *m)
{
    char path[64];
    m->ns = lab_chain_join(i, peers, &m->n);
    lab_guest_start(&m->guest, m->ns, &m->n);
    (void)str_format(path, sizeof path, "net/ipv4/conf/%s/forwarding", chain_names(i).link);
    lab_sysctl(w->lab.here, path, "1");
}

void lab_leave_chain(unsigned i, struct lab_member *m)
{
    lab_kill(m);
    lab_chain_leave(i, &m->n);
}

void lab_keep_port(const struct lab_member *m)
{
    _cleanup_free_ char *keep = xasprintf("flush chain inet crabbox postrouting; add rule inet "
                                          "crabbox postrouting oifname eth0 snat ip to %s",
                                          m->n.lease_addr);
    lab_nft(m->ns, keep);
}
