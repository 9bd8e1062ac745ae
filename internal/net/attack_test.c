/* A guest that fills the kernel's tables, of connections or of neighbours, alone or with a helper
 * outside. The lease's own namespace is made to let everything through, as if the guest had talked
 * it into that: the host's limits must hold by themselves.
 *
 * Each test has a network namespace of its own, and a host table whose time stands still: what
 * comes back after a second or is forgotten after a minute takes an hour there, so that the numbers
 * are exact on a machine of any speed. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/chain.h"
#include "net/limits.h"
#include "net/link.h"
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
    struct lab_member a, b;
    int udp, tcp; /* outside */
};

static void plan(struct net_lease *n, const char *id, unsigned attempt)
{
    const struct net_request req = {
        .lease_id = id, .pool = POOL, .dns = DNS, .state_dir = "/state/one", .attempt = attempt};
    lab_plan(n, &req);
}

static void join(struct lab_member *m, const char *id, unsigned attempt)
{
    plan(&m->n, id, attempt);
    m->ns = lab_apply(&m->n);
    lab_guest_start(&m->guest, m->ns, &m->n);
}

/* The rules, but for their units of time. */
static char *slowed(const char *text)
{
    static const struct {
        const char *unit, *slow;
    } units[] = {{"/second", "/hour"}, {"timeout 5s", "timeout 1h"}, {"timeout 1m", "timeout 1h"}};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    unsigned found = 0;
    while (*text) {
        size_t i = 0;
        while (i < ARRAY_LEN(units) && !str_has_prefix(text, units[i].unit))
            i++;
        if (i < ARRAY_LEN(units)) {
            found |= 1U << i;
            strbuf_adds(&out, units[i].slow);
            text += strlen(units[i].unit);
        } else {
            strbuf_add(&out, text++, 1);
        }
    }
    assert_int_equal(found, (1U << ARRAY_LEN(units)) - 1);
    return xasprintf("%s", out.buf);
}

/* As the first lease makes it; the lease that comes then finds it. */
static void make_host_table(const struct lab *lab, const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct net_view v;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    assert_int_equal(net_view(n, &v, &err), 0);
    rules_host_text(n, &v, &text);
    _cleanup_free_ char *slow = slowed(text.buf);
    lab_nft(lab->here, slow);
}

static int world_up(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    assert_true(lab_enter());
    lab_up(&w->lab);
    w->udp = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", PORT);
    w->tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", PORT);
    plan(&w->a.n, "cbx_00000000000a", 0);
    make_host_table(&w->lab, &w->a.n);
    join(&w->a, "cbx_00000000000a", 0);
    join(&w->b, "cbx_00000000000b", 0);
    lab_keep_flows(w->lab.here);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_found found[8];
    lab_leave(&w->a);
    lab_leave(&w->b);
    CLOSE_FD(w->udp);
    CLOSE_FD(w->tcp);
    lab_down(&w->lab);
    assert_int_equal(net_scan(found, 8, &err), 0);
    free(w);
    return 0;
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
static void refill(const struct world *w, const char *table)
{
    _cleanup_free_ char *cmd = xasprintf("flush set inet %s rates", table);
    lab_nft(w->lab.here, cmd);
}

/* A datagram's worth of connection for each of n ports, with all the patience in the world. */
static void open_many(const struct world *w, int ns, const char *to, const char *table, unsigned n)
{
    const unsigned burst = limits_now().burst;
    for (unsigned i = 0; i < n; i += burst) {
        refill(w, table);
        lab_scan_ports(ns, to, (uint16_t)(1024 + i), n - i < burst ? n - i : burst);
    }
    refill(w, table);
}

/* Exact but for a ping, which is behind each scan, and what only a hurried kernel gives up. */
static void assert_about(long n, long expected)
{
    if (n < expected - 4 || n > expected + 4)
        fail_msg("%ld instead of %ld", n, expected);
}

static void fill_lease(const struct world *w, const struct lab_member *m)
{
    const struct limits l = limits_now();
    open_inside(m->ns);
    open_many(w, m->guest.ns, LAB_OUTSIDE, m->n.table, l.conns + 100);
    assert_about(lab_flows_of(w->lab.here, m->n.lease_addr), l.conns);
}

static void test_the_limits_leave_half_to_the_host(void **state)
{
    (void)state;
    static const long sizes[] = {1024,    8192,    65536,    262144,   1048576,
                                 4194304, 4194305, 16777216, INT32_MAX};
    struct limits before = {.conns = 0};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct limits l = limits_for(sizes[i]);
        long most = (long)LIMITS_SHARES * l.share + l.all_burst + (long)l.all_rate * LIMITS_SWEPT_S;
        assert_true(most <= sizes[i] / 2 + 64);
        assert_true(l.conns <= l.share && l.burst <= l.all_burst && l.rate >= 1);
        /* A larger table never means less. */
        assert_true(l.conns >= before.conns && l.share >= before.share);
        assert_true(l.rate >= before.rate && l.burst >= before.burst);
        assert_true(l.all_rate >= before.all_rate && l.all_burst >= before.all_burst);
        before = l;
    }
    assert_int_equal(before.all_rate, 8738);
    assert_int_equal(before.all_burst, 262144);
    /* No limit at all, and what a machine with memory has. */
    struct limits none = limits_for(0), usual = limits_for(262144);
    assert_memory_equal(&none, &usual, sizeof none);
    assert_int_equal(usual.conns, 4096);
    assert_int_equal(usual.rate, 200);
    assert_int_equal(usual.burst, 2000);
}

/* A guest that opens connections as fast as it can gets a burst, then so many in a unit of time. */
static void test_new_connections_are_limited(void **state)
{
    struct world *w = *state;
    const unsigned burst = limits_now().burst;
    open_inside(w->a.ns);
    lab_scan_ports(w->a.guest.ns, LAB_OUTSIDE, 10000, burst + 500);
    assert_about(lab_flows_of(w->lab.here, w->a.n.lease_addr), burst);
    lab_scan_ports(w->a.guest.ns, LAB_OUTSIDE, 20000, 500);
    assert_about(lab_flows_of(w->lab.here, w->a.n.lease_addr), burst);
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_host_connects(w);
}

/* With all the patience in the world it stays at its number, in the host's table as it is seen from
 * outside the rules; the other lease and the host connect as before. */
static void test_open_connections_are_limited(void **state)
{
    struct world *w = *state;
    fill_lease(w, &w->a);
    assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_host_connects(w);
}

/* A second lease of the same share gets what the first one left; a third one of another share is
 * not concerned. */
static void test_leases_of_a_share_are_limited_together(void **state)
{
    struct world *w = *state;
    const struct limits l = limits_now();
    struct lab_member c;
    unsigned attempt = 0;
    do
        plan(&c.n, "cbx_00000000000c", attempt++);
    while (c.n.slot % LIMITS_SHARES != w->a.n.slot % LIMITS_SHARES || c.n.slot == w->a.n.slot);
    assert_int_not_equal(w->b.n.slot % LIMITS_SHARES, w->a.n.slot % LIMITS_SHARES);
    fill_lease(w, &w->a);
    join(&c, "cbx_00000000000c", attempt - 1);
    open_inside(c.ns);
    open_many(w, c.guest.ns, LAB_OUTSIDE, c.n.table, l.share - l.conns + 100);
    assert_about(lab_flows_of(w->lab.here, c.n.lease_addr), l.share - l.conns);
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_host_connects(w);
    lab_leave(&c);
}

/* To the host itself, too: a new ping, or a question to its name server, is a connection. */
static void test_connections_to_the_host_count(void **state)
{
    struct world *w = *state;
    _cleanup_close_ int dns = lab_socket(w->lab.here, SOCK_DGRAM, DNS, 53);
    assert_true(lab_udp_reaches(w->a.guest.ns, dns, DNS, 53, OPEN, NULL));
    fill_lease(w, &w->a);
    assert_false(lab_udp_reaches(w->a.guest.ns, dns, DNS, 53, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->b.guest.ns, dns, DNS, 53, OPEN, NULL));
}

/* The helper outside resets a connection. The kernel no longer counts it then, and an exchange that
 * looks like a new handshake would bring it back: so it must be gone. */
static void test_a_reset_connection_is_gone(void **state)
{
    struct world *w = *state;
    const struct linger hard = {.l_onoff = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    for (int round = 0; round < 5; round++) {
        char c;
        _cleanup_close_ int fd = lab_client(w->a.guest.ns);
        assert_true(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
        struct pollfd p = {.fd = w->tcp, .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        _cleanup_close_ int peer = accept4(w->tcp, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 1);
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        CLOSE_FD(peer);
        p = (struct pollfd){.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(recv(fd, &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 0);
    }
}

static unsigned neighbours(const char *prefix)
{
    char line[256];
    unsigned n = 0;
    _cleanup_fclose_ FILE *f = fopen("/proc/thread-self/net/arp", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        n += str_has_prefix(line, prefix);
    return n;
}

/* As if some lease had just sent to as many addresses as all may: the outside's is not among them.
 */
static void fill_hops(const struct world *w, const char *table)
{
    _cleanup_strbuf_ struct strbuf cmd = STRBUF_INIT;
    strbuf_addf(&cmd, "flush set inet %s hops\nadd element inet %s hops { ", table, table);
    for (unsigned i = 0; i < LIMITS_HOPS; i++)
        strbuf_addf(&cmd, "%s10.98.%u.%u timeout 1h", i ? ", " : "", i / 250, i % 250);
    strbuf_adds(&cmd, " }");
    lab_nft(w->lab.here, cmd.buf);
}

static void empty_hops(const struct world *w, const char *table)
{
    _cleanup_free_ char *cmd = xasprintf("flush set inet %s hops", table);
    lab_nft(w->lab.here, cmd);
}

/* Each address on a link is a neighbour that the kernel looks for, in one table for all. */
static void test_a_scan_leaves_room_for_neighbours(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    unsigned index = 0;
    assert_int_equal(link_index("wan0", &index, &err), 0);
    assert_int_equal(route_add(sk, 0x0a630000, 16, 0, index, &err), 0); /* 10.99.0.0 */
    open_inside(w->a.ns);
    lab_scan_addrs(w->a.guest.ns, "10.99.1.0", 900, PORT);
    unsigned n = neighbours("10.99.");
    assert_true(n > 0 && n <= LIMITS_HOPS);
    assert_host_connects(w);
}

/* A socket of the guest that sends to the outside, and whether what it sends arrives. */
static int guest_udp(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    int fd = lab_socket(w->a.guest.ns, SOCK_DGRAM, NULL, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool arrives(int fd, int server, struct sockaddr_in *from, int wait_ms)
{
    static char serial;
    char c = ++serial, got;
    assert_int_equal(send(fd, &c, 1, 0), 1);
    struct pollfd p = {.fd = server, .events = POLLIN};
    while (poll(&p, 1, wait_ms) == 1) {
        socklen_t len = sizeof *from;
        if (recvfrom(server, &got, 1, 0, (struct sockaddr *)from, &len) == 1 && got == c)
            return true;
    }
    return false;
}

/* A flow that was never answered may go to where nobody is: each of its packets is a hop, however
 * long the kernel has known it. One that was answered is let alone. */
static void test_known_flows_without_an_answer_are_hops(void **state)
{
    struct world *w = *state;
    const char *table = w->a.n.table;
    struct sockaddr_in from;
    char c;
    _cleanup_close_ int fd = guest_udp(w), fresh = guest_udp(w);
    open_inside(w->a.ns);
    assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_true(arrives(fd, w->udp, &from, OPEN));
    fill_hops(w, table);
    assert_false(arrives(fd, w->udp, &from, LAB_BLOCK_MS));
    empty_hops(w, table);
    assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_int_equal(sendto(w->udp, "x", 1, 0, (struct sockaddr *)&from, sizeof from), 1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, OPEN), 1);
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    fill_hops(w, table);
    for (int i = 0; i < 20; i++)
        assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_false(arrives(fresh, w->udp, &from, LAB_BLOCK_MS));
    assert_host_connects(w);
}

/* So is one of TCP, in both directions. */
static void test_an_established_connection_is_not_hindered(void **state)
{
    struct world *w = *state;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    char c;
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    _cleanup_close_ int fd = lab_client(w->a.guest.ns);
    assert_true(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
    struct pollfd p = {.fd = w->tcp, .events = POLLIN};
    assert_int_equal(poll(&p, 1, OPEN), 1);
    _cleanup_close_ int peer = accept4(w->tcp, NULL, NULL, SOCK_CLOEXEC);
    assert_true(peer >= 0);
    fill_hops(w, w->a.n.table);
    const int ends[] = {fd, peer};
    for (int i = 0; i < 20; i++) {
        p = (struct pollfd){.fd = ends[!(i % 2)], .events = POLLIN};
        assert_int_equal(send(ends[i % 2], "x", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(recv(p.fd, &c, 1, 0), 1);
    }
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
static int try_chain(struct net_lease *n, struct error *err)
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

static int join_chain(const struct world *w, struct net_lease *n)
{
    struct error err = ERROR_INIT;
    int ns = try_chain(n, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    lab_add_route(w->lab.outside, "net0", CHAIN_LEASE, LAB_HOST);
    return ns;
}

static void leave_chain(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    lab_undo(n);
    if (link_find(sk, "box0", &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, "box0", &err), 0);
}

/* The helper outside can open connections to such a lease: they count as the lease's own. */
static void test_connections_to_a_lease_with_peers_count(void **state)
{
    struct world *w = *state;
    const struct limits l = limits_now();
    struct net_lease c;
    _cleanup_close_ int ns = join_chain(w, &c);
    open_many(w, w->lab.outside, CHAIN_LEASE, c.table, l.conns + 100);
    assert_about(lab_flows_of(w->lab.here, CHAIN_LEASE), l.conns);
    leave_chain(&c);
    assert_int_equal(lab_flows_of(w->lab.here, CHAIN_LEASE), 0);
}

static int raw_icmp(void *arg, struct error *err)
{
    (void)arg;
    (void)err;
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
}

/* An answer that nobody asked for. */
static bool answer_arrives(int from, int at, int wait_ms)
{
    static uint16_t serial;
    struct icmphdr echo = {.type = ICMP_ECHOREPLY, .un.echo = {.id = ++serial}};
    struct sockaddr_in to = {.sin_family = AF_INET};
    uint8_t got[128];
    echo.checksum = (uint16_t)~echo.un.echo.id;
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    assert_int_equal(sendto(from, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to),
                     sizeof echo);
    struct pollfd p = {.fd = at, .events = POLLIN};
    while (poll(&p, 1, wait_ms) == 1)
        if (recv(at, got, sizeof got, 0) >= 28 && got[20] == ICMP_ECHOREPLY &&
            memcmp(got + 24, &echo.un.echo.id, 2) == 0)
            return true;
    return false;
}

/* What belongs to no connection leaves no entry, but it has a neighbour looked for all the same. */
static void test_packets_of_no_connection_are_hops(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_lease c;
    _cleanup_close_ int ns = join_chain(w, &c);
    _cleanup_close_ int from = ns_run(ns, raw_icmp, NULL, &err);
    _cleanup_close_ int at = ns_run(w->lab.outside, raw_icmp, NULL, &err);
    assert_true(from >= 0 && at >= 0);
    lab_sysctl(w->lab.here, "net/ipv4/conf/box0/forwarding", "1");
    assert_true(answer_arrives(from, at, OPEN));
    assert_int_equal(lab_flows_of(w->lab.here, CHAIN_LEASE), 0);
    fill_hops(w, c.table);
    assert_false(answer_arrives(from, at, LAB_BLOCK_MS));
    leave_chain(&c);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limits_leave_half_to_the_host),
        T(test_new_connections_are_limited),
        T(test_open_connections_are_limited),
        T(test_leases_of_a_share_are_limited_together),
        T(test_connections_to_the_host_count),
        T(test_a_reset_connection_is_gone),
        T(test_connections_to_a_lease_with_peers_count),
        T(test_a_scan_leaves_room_for_neighbours),
        T(test_known_flows_without_an_answer_are_hops),
        T(test_an_established_connection_is_not_hindered),
        T(test_packets_of_no_connection_are_hops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
