/* A guest that fills the host's table of connections, alone or with a helper outside, and what is
 * left of it when the lease has gone. The lease's own namespace is made to let everything through,
 * as if the guest had talked it into that: the host's limits must hold by themselves. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "net/chain.h"
#include "net/flows.h"
#include "net/limits.h"
#include "net/link.h"
#include "net/nft.h"
#include "net/ns.h"
#include "net/record.h"
#include "net/rules.h"
#include "testutil/netlab.h"

#define PORT 7070
#define POOL "10.213.0.0/16"
#define OPEN LAB_REACH_MS
#define DNS  LAB_HOST

struct world {
    struct lab lab;
    struct net_lease a, b; /* b only keeps the table there */
    int a_ns, b_ns;
    struct lab_guest guest, other; /* of a and b */
    int udp, tcp;                  /* outside */
};

static void plan(struct net_lease *n, const char *id, unsigned attempt)
{
    struct error err = ERROR_INIT;
    struct net_request req = {
        .lease_id = id, .pool = POOL, .dns = DNS, .state_dir = "/state/one", .attempt = attempt};
    if (net_plan(&req, n, &err) < 0)
        fail_msg("%s", err.msg);
}

static int apply(struct net_lease *n, const char *id)
{
    struct error err = ERROR_INIT;
    plan(n, id, 0);
    int ns = net_apply(n, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    return ns;
}

static void undo(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    if (net_undo(n, &err) < 0)
        fail_msg("%s", err.msg);
}

static int world_up(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    lab_up(&w->lab);
    w->udp = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", PORT);
    w->tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", PORT);
    w->a_ns = apply(&w->a, "cbx_00000000000a");
    w->b_ns = apply(&w->b, "cbx_00000000000b");
    lab_guest_start(&w->guest, w->a_ns, &w->a);
    lab_guest_start(&w->other, w->b_ns, &w->b);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_found found[8];
    lab_guest_stop(&w->guest);
    lab_guest_stop(&w->other);
    CLOSE_FD(w->a_ns);
    CLOSE_FD(w->b_ns);
    undo(&w->a);
    undo(&w->b);
    CLOSE_FD(w->udp);
    CLOSE_FD(w->tcp);
    lab_down(&w->lab);
    assert_int_equal(net_scan(found, 8, &err), 0);
    free(w);
    return 0;
}

static void undo_member(struct world *w)
{
    lab_guest_stop(&w->guest);
    CLOSE_FD(w->a_ns);
    undo(&w->a);
}

static void do_member(struct world *w)
{
    w->a_ns = apply(&w->a, "cbx_00000000000a");
    lab_guest_start(&w->guest, w->a_ns, &w->a);
}

/* The host's own way out, by new connections. */
static void assert_host_connects(const struct world *w)
{
    assert_true(lab_udp_reaches(w->lab.here, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_true(lab_tcp_echoes(w->lab.here, w->tcp, LAB_OUTSIDE, PORT, OPEN));
}

static void open_inside(int lease_ns)
{
    lab_nft(lease_ns, "flush chain inet crabbox admit; add rule inet crabbox admit accept");
}

/* As if time had gone by: every lease may open a burst again. */
static void refill(const struct world *w)
{
    _cleanup_free_ char *cmd = xasprintf("flush set inet %s rates", w->a.table);
    lab_nft(w->lab.here, cmd);
}

static void test_the_limits_leave_half_to_the_host(void **state)
{
    (void)state;
    static const long sizes[] = {1024, 8192, 65536, 262144, 1048576};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct limits l = limits_for(sizes[i]);
        long most = (long)LIMITS_SHARES * l.share + l.all_burst + (long)l.all_rate * LIMITS_SWEPT_S;
        assert_true(most <= sizes[i] / 2 + 64);
        assert_true(l.conns <= l.share && l.burst <= l.all_burst && l.rate >= 1);
    }
    /* No limit at all, and what a machine with memory has. */
    struct limits none = limits_for(0), usual = limits_for(262144);
    assert_memory_equal(&none, &usual, sizeof none);
    assert_int_equal(usual.conns, 4096);
    assert_int_equal(usual.rate, 200);
    assert_int_equal(usual.burst, 2000);
}

/* A guest that opens connections as fast as it can gets a burst, then so many a second. */
static void test_new_connections_are_limited(void **state)
{
    struct world *w = *state;
    const struct limits l = limits_now();
    struct timespec from, to;
    long before = lab_flows(w->lab.here);
    open_inside(w->a_ns);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &from), 0);
    lab_scan_ports(w->guest.ns, LAB_OUTSIDE, 10000, 20000);
    long made = lab_flows(w->lab.here) - before;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &to), 0);
    /* However long it took: no more than the burst and its time's worth. */
    assert_true(made <= (long)l.burst + (long)l.rate * (to.tv_sec - from.tv_sec + 1));
    assert_true(made >= (long)l.burst);
    assert_host_connects(w);
}

/* With all the patience in the world it stays at its number, in the host's table as it is seen from
 * outside the rules; the other lease and the host connect as before. */
static void test_open_connections_are_limited(void **state)
{
    struct world *w = *state;
    const struct limits l = limits_now();
    long before = lab_flows(w->lab.here);
    open_inside(w->a_ns);
    for (unsigned tried = 0; tried < l.conns + l.burst / 2; tried += l.burst) {
        refill(w);
        lab_scan_ports(w->guest.ns, LAB_OUTSIDE, (uint16_t)(1024 + tried), l.burst);
    }
    long now = lab_flows(w->lab.here);
    /* What an earlier test's scan opened is among them. */
    assert_true(now <= (long)l.conns + 32);
    assert_true(now >= (long)l.conns && now >= before);
    refill(w);
    assert_false(lab_udp_reaches(w->guest.ns, w->udp, LAB_OUTSIDE, PORT, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->other.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_host_connects(w);
}

/* A second lease of the same share has what the first one left; a third one of another share is not
 * concerned. */
static void test_leases_of_a_share_are_limited_together(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    const struct limits l = limits_now();
    struct net_lease c;
    struct lab_guest guest;
    unsigned attempt = 0;
    do
        plan(&c, "cbx_00000000000c", attempt++);
    while (c.slot % LIMITS_SHARES != w->a.slot % LIMITS_SHARES || c.slot == w->a.slot);
    assert_int_not_equal(w->b.slot % LIMITS_SHARES, w->a.slot % LIMITS_SHARES);
    _cleanup_close_ int ns = net_apply(&c, &err);
    assert_true(ns >= 0);
    lab_guest_start(&guest, ns, &c);
    open_inside(ns);
    for (unsigned tried = 0; tried < l.share - l.conns + l.burst; tried += l.burst) {
        refill(w);
        lab_scan_ports(guest.ns, LAB_OUTSIDE, (uint16_t)(1024 + tried), l.burst);
    }
    long now = lab_flows(w->lab.here);
    assert_true(now >= (long)l.share && now <= (long)l.share + 64);
    refill(w);
    assert_true(lab_udp_reaches(w->other.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_host_connects(w);
    lab_guest_stop(&guest);
    CLOSE_FD(ns);
    undo(&c);
    assert_true(lab_flows(w->lab.here) <= (long)l.conns + 64);
}

/* Whether the kernel has what the rules need is asked without a trace. */
static void test_the_rules_are_tried_without_a_trace(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_found found[8];
    int before = net_scan(found, 8, &err);
    assert_int_equal(rules_try(&err), 0);
    assert_int_equal(flows_check(&err), 0);
    assert_int_equal(nft_try("add table inet crabbox_fc_00000007", "a table", &err), 0);
    assert_int_equal(net_scan(found, 8, &err), before);
    assert_int_equal(nft_try("add rule inet nobody nothing accept", "no table", &err), -1);
    assert_int_equal(err.sys, ENOENT);
    assert_host_connects(w);
}

/* To the host itself, too: a new ping, or a question to its name server, is a connection. */
static void test_connections_to_the_host_count(void **state)
{
    struct world *w = *state;
    _cleanup_close_ int dns = lab_socket(w->lab.here, SOCK_DGRAM, DNS, 53);
    refill(w);
    /* The lease of the test before has its number. */
    assert_false(lab_udp_reaches(w->guest.ns, dns, DNS, 53, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->other.ns, dns, DNS, 53, OPEN, NULL));
}

/* When it ends, its entries go and the others' stay; the host connects. */
static void test_a_lease_takes_its_connections_along(void **state)
{
    struct world *w = *state;
    assert_true(lab_flows(w->lab.here) >= (long)limits_now().conns);
    undo_member(w);
    /* Of the host and of b: a handful. */
    long left = lab_flows(w->lab.here);
    assert_true(left > 0 && left < 64);
    assert_host_connects(w);
    do_member(w);
    assert_true(lab_udp_reaches(w->guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
}

/* The helper outside resets a connection. The kernel no longer counts it then, and an exchange that
 * looks like a new handshake would bring it back: so it must be gone. */
static void test_a_reset_connection_is_gone(void **state)
{
    struct world *w = *state;
    const struct linger hard = {.l_onoff = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    long before = lab_flows(w->lab.here);
    for (int round = 0; round < 5; round++) {
        char c;
        _cleanup_close_ int fd = lab_client(w->guest.ns);
        assert_true(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
        struct pollfd p = {.fd = w->tcp, .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        _cleanup_close_ int peer = accept4(w->tcp, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        assert_int_equal(lab_flows(w->lab.here), before + 1);
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        CLOSE_FD(peer);
        p = (struct pollfd){.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(recv(fd, &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(lab_flows(w->lab.here), before);
    }
}

/* A datagram's worth of connection for each of some ports, from the host or the guest. */
static void open_some(struct world *w, int ns, unsigned n)
{
    refill(w);
    lab_scan_ports(ns, LAB_OUTSIDE, 30000, n);
}

/* Where the kernel removes by address, and where each entry is looked at. */
static void test_only_the_address_is_forgotten(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_view v;
    int (*const ways[])(uint32_t, struct error *) = {flows_forget, flows_forget_each};
    assert_int_equal(net_view(&w->a, &v, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        _cleanup_close_ int ssh = lab_socket(w->guest.ns, SOCK_STREAM, "0.0.0.0", 22);
        open_some(w, w->lab.here, 50);
        open_some(w, w->other.ns, 60);
        assert_int_equal(ways[i](v.lease_addr, &err), 0);
        long others = lab_flows(w->lab.here);
        assert_true(others >= 110);
        open_some(w, w->guest.ns, 70);
        assert_true(lab_tcp_echoes(w->lab.here, ssh, w->a.lease_addr, 22, OPEN));
        assert_true(lab_flows(w->lab.here) >= others + 71);
        assert_int_equal(ways[i](v.lease_addr, &err), 0);
        assert_int_equal(lab_flows(w->lab.here), others);
        /* An address that nobody has, and one that begins alike. */
        assert_int_equal(ways[i](v.lease_addr + 2, &err), 0);
        assert_int_equal(ways[i](0xc6120099 /* 198.18.0.153 */, &err), 0);
        assert_int_equal(lab_flows(w->lab.here), others);
    }
}

/* The lease's processes were killed, and its link with them; nothing of it is left but a record,
 * the entries, and its name in the table. */
static void test_undo_without_a_link(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    undo_member(w);
    long others = lab_flows(w->lab.here);
    do_member(w);
    open_some(w, w->guest.ns, 40);
    lab_guest_stop(&w->guest);
    CLOSE_FD(w->a_ns);
    /* The kernel takes its time over it: now it is gone for sure. */
    if (link_find(sk, w->a.veth, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, w->a.veth, &err), 0);
    assert_true(lab_flows(w->lab.here) >= others + 40);
    undo(&w->a);
    assert_int_equal(link_find(sk, w->a.veth, &link, &err), 0);
    assert_int_equal(lab_flows(w->lab.here), others);
    do_member(w);
}

/* By then another lease may have the address: what the first one left is not the second one's, and
 * the first one's undoing, however late, is not the second one's end. */
static void test_late_undo_spares_the_next_lease(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    undo_member(w);
    long others = lab_flows(w->lab.here);
    do_member(w);
    open_some(w, w->guest.ns, 40);
    struct net_lease first = w->a;
    lab_guest_stop(&w->guest);
    CLOSE_FD(w->a_ns);
    if (link_find(sk, first.veth, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, first.veth, &err), 0);
    (void)str_copy(w->a.veth_mac, sizeof w->a.veth_mac, "02:aa:bb:cc:dd:ee");
    w->a_ns = net_apply(&w->a, &err);
    assert_true(w->a_ns >= 0);
    assert_int_equal(lab_flows(w->lab.here), others);
    lab_guest_start(&w->guest, w->a_ns, &w->a);
    open_some(w, w->guest.ns, 30);
    long both = lab_flows(w->lab.here);
    assert_true(both >= others + 30);
    undo(&first);
    assert_int_equal(lab_flows(w->lab.here), both);
    assert_int_equal(link_find(sk, w->a.veth, &link, &err), 1);
    undo_member(w);
    do_member(w);
}

/* The loser of a race for an address has its link, but not the address. */
static void test_the_loser_of_an_address_forgets_nothing(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_lease wide = w->a;
    wide.slot += 1 << 14;
    (void)snprintf(wide.veth, sizeof wide.veth, NET_LINK_PREFIX "%u", wide.slot);
    (void)str_copy(wide.veth_mac, sizeof wide.veth_mac, "02:aa:bb:cc:dd:ee");
    open_some(w, w->guest.ns, 30);
    long before = lab_flows(w->lab.here);
    assert_int_equal(net_apply(&wide, &err), -1);
    assert_int_equal(err.kind, ERR_EXISTS);
    assert_int_equal(lab_flows(w->lab.here), before);
    undo(&wide);
    assert_int_equal(lab_flows(w->lab.here), before);
}

/* Each address on a link is a neighbour that the kernel looks for, in one table for all. */
static void test_a_scan_leaves_room_for_neighbours(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct timespec from, to;
    char line[256];
    unsigned n = 0;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    unsigned index = 0;
    assert_int_equal(link_index("wan0", &index, &err), 0);
    assert_int_equal(route_add(sk, 0x0a630000, 16, 0, index, &err), 0); /* 10.99.0.0 */
    open_inside(w->a_ns);
    refill(w);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &from), 0);
    lab_scan_addrs(w->guest.ns, "10.99.1.0", 900, PORT);
    _cleanup_fclose_ FILE *f = fopen("/proc/thread-self/net/arp", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        n += str_has_prefix(line, "10.99.");
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &to), 0);
    assert_true(n > 0);
    assert_true(n <= LIMITS_HOPS * (1 + (unsigned)(to.tv_sec - from.tv_sec + 1) / LIMITS_HOPS_S));
    assert_host_connects(w);
}

#define CHAIN_HOST  "10.88.0.1"
#define CHAIN_LEASE "10.88.0.2"

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

/* A lease with peers whose link a chain made: here a pair of links, as the plugin ptp makes it. */
static int join_chain(struct net_lease *n, struct error *err)
{
    const struct net_request req = {
        .lease_id = "cbx_00000000000d", .pool = POOL, .state_dir = "/state/one"};
    const struct net_chain_link link = {.addr = CHAIN_LEASE, .plen = 24, .gateway = CHAIN_HOST};
    struct end here = {"box0", CHAIN_HOST, NULL};
    struct end there = {NET_CHAIN_UPLINK, CHAIN_LEASE, CHAIN_HOST};
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    _cleanup_close_ int ns = -1;
    if (!sk || net_chain_plan(&req, true, n, err) < 0 || (ns = net_chain_ns(n, err)) < 0)
        return -1;
    struct veth_spec spec = {.name = here.link,
                             .mac = {2, 0, 0, 0, 2, 1},
                             .peer_name = there.link,
                             .peer_mac = {2, 0, 0, 0, 2, 2},
                             .peer_ns = ns};
    if (link_add_veth(sk, &spec, err) < 0 || set_up_end(&here, err) < 0 ||
        ns_run(ns, set_up_end, &there, err) < 0 || net_chain_address(&link, DNS, n, err) < 0 ||
        net_chain_join(ns, n, err) < 0)
        return -1;
    return TAKE_FD(ns);
}

/* The helper outside can open connections to such a lease: they count as the lease's own. */
static void test_connections_to_a_lease_with_peers_count(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    const struct limits l = limits_now();
    struct net_lease c;
    long before = lab_flows(w->lab.here);
    _cleanup_close_ int ns = join_chain(&c, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    lab_add_route(w->lab.outside, "net0", CHAIN_LEASE, LAB_HOST);
    _cleanup_free_ char *fill = xasprintf("flush set inet %s rates", c.table);
    for (unsigned tried = 0; tried < l.conns + l.burst / 2; tried += l.burst) {
        lab_nft(w->lab.here, fill);
        lab_scan_ports(w->lab.outside, CHAIN_LEASE, (uint16_t)(1024 + tried), l.burst);
    }
    long now = lab_flows(w->lab.here) - before;
    assert_true(now >= (long)l.conns && now <= (long)l.conns + 32);
    undo(&c);
    assert_true(lab_flows(w->lab.here) <= before + 32);
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    struct link_info link;
    if (link_find(sk, "box0", &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, "box0", &err), 0);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limits_leave_half_to_the_host),
        cmocka_unit_test(test_new_connections_are_limited),
        cmocka_unit_test(test_open_connections_are_limited),
        cmocka_unit_test(test_leases_of_a_share_are_limited_together),
        cmocka_unit_test(test_connections_to_the_host_count),
        cmocka_unit_test(test_a_lease_takes_its_connections_along),
        cmocka_unit_test(test_a_reset_connection_is_gone),
        cmocka_unit_test(test_only_the_address_is_forgotten),
        cmocka_unit_test(test_undo_without_a_link),
        cmocka_unit_test(test_late_undo_spares_the_next_lease),
        cmocka_unit_test(test_the_loser_of_an_address_forgets_nothing),
        cmocka_unit_test(test_connections_to_a_lease_with_peers_count),
        cmocka_unit_test(test_a_scan_leaves_room_for_neighbours),
        cmocka_unit_test(test_the_rules_are_tried_without_a_trace),
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
