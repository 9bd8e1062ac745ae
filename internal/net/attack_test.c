/* A guest that fills the kernel's tables, of connections or of neighbours, alone or with a helper
 * outside. The lease's own namespace is made to let everything through, as if the guest had talked
 * it into that: the host's limits must hold by themselves.
 *
 * Each test has a network namespace of its own, and a host table whose time stands still: what
 * comes back after a second or is forgotten after a minute takes an hour or more there, so that the
 * numbers are exact on a machine of any speed. */
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

#define PORT LAB_PORT
#define POOL "10.213.0.0/16"
#define OPEN LAB_REACH_MS
#define DNS  LAB_HOST

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
    } units[] = {{"/second", "/hour"},
                 {"/minute", "/week"},
                 {"timeout 5s", "timeout 1h"},
                 {"timeout 1m", "timeout 1h"}};
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
    assert_true(lab_enter());
    struct lab_world *w = lab_world_up();
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
    lab_world_down(*state);
    return 0;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, OPEN) == 1;
}

static void open_inside(int lease_ns)
{
    lab_nft(lease_ns, "flush chain inet crabbox admit; add rule inet crabbox admit accept; "
                      "flush chain inet crabbox output; add rule inet crabbox output accept");
}

/* As if time had gone by: every lease may open a burst again. */
static void refill(const struct lab_world *w, const char *table)
{
    _cleanup_free_ char *cmd = xasprintf("flush set inet %s rates", table);
    lab_nft(w->lab.here, cmd);
}

/* A datagram's worth of connection for each of n ports, with all the patience in the world. */
static void open_many(const struct lab_world *w, int ns, const char *to, const char *table,
                      unsigned n)
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

static void fill_lease(const struct lab_world *w, const struct lab_member *m)
{
    const struct limits l = limits_now();
    open_inside(m->ns);
    open_many(w, m->guest.ns, LAB_OUTSIDE, m->n.table, l.conns + 100);
    assert_about(lab_flows_of(w->lab.here, m->n.lease_addr), l.conns);
}

/* A guest that opens connections as fast as it can gets a burst, then so many in a unit of time. */
static void test_new_connections_are_limited(void **state)
{
    struct lab_world *w = *state;
    const unsigned burst = limits_now().burst;
    open_inside(w->a.ns);
    lab_scan_ports(w->a.guest.ns, LAB_OUTSIDE, 10000, burst + 500);
    assert_about(lab_flows_of(w->lab.here, w->a.n.lease_addr), burst);
    lab_scan_ports(w->a.guest.ns, LAB_OUTSIDE, 20000, 500);
    assert_about(lab_flows_of(w->lab.here, w->a.n.lease_addr), burst);
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    lab_assert_host_connects(w);
}

/* With all the patience in the world it stays at its number, in the host's table as it is seen from
 * outside the rules; the other lease and the host connect as before. */
static void test_open_connections_are_limited(void **state)
{
    struct lab_world *w = *state;
    fill_lease(w, &w->a);
    assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    lab_assert_host_connects(w);
}

/* A second lease of the same share gets what the first one left; a third one of another share is
 * not concerned. */
static void test_leases_of_a_share_are_limited_together(void **state)
{
    struct lab_world *w = *state;
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
    lab_assert_host_connects(w);
    lab_leave(&c);
}

/* A hostile lease, or several, use up what all leases have together. A lease of another share still
 * opens what is its share's. */
static void test_a_flood_hinders_only_its_share(void **state)
{
    struct lab_world *w = *state;
    const struct limits l = limits_now();
    assert_int_not_equal(w->b.n.slot % LIMITS_SHARES, w->a.n.slot % LIMITS_SHARES);
    open_inside(w->a.ns);
    open_inside(w->b.ns);
    open_many(w, w->a.guest.ns, LAB_OUTSIDE, w->a.n.table, l.all_burst + 100);
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_true(lab_tcp_echoes(w->b.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
    lab_scan_ports(w->b.guest.ns, LAB_OUTSIDE, 20000, l.burst);
    assert_about(lab_flows_of(w->lab.here, w->b.n.lease_addr), l.all_burst / 2 / LIMITS_SHARES);
    lab_assert_host_connects(w);
}

/* To the host itself, too: a new ping, or a question to its name server, is a connection. */
static void test_connections_to_the_host_count(void **state)
{
    struct lab_world *w = *state;
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
    struct lab_world *w = *state;
    const struct linger hard = {.l_onoff = 1};
    for (int round = 0; round < 5; round++) {
        char c;
        int ends[2];
        lab_connect(w, w->a.guest.ns, ends);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 1);
        assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        CLOSE_FD(ends[1]);
        assert_true(readable(ends[0]));
        assert_int_equal(recv(ends[0], &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        CLOSE_FD(ends[0]);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 0);
    }
}

/* The last packets of a connection are on their way when both ends have closed: whether the kernel
 * forgets it when they have passed, and knows only of the pings that are waited for. */
static bool forgotten(const struct lab_world *w)
{
    int pings = 0;
    do
        assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, OPEN));
    while (lab_flows_of(w->lab.here, w->a.n.lease_addr) > 1 && ++pings < 100);
    return pings < 100;
}

/* Nor does the kernel count a connection that both ends have closed, and each packet of it that
 * they repeat would keep its entry: a guest with a helper outside could have any number of them. */
static void test_a_closed_connection_is_gone(void **state)
{
    struct lab_world *w = *state;
    char c;
    assert_true(forgotten(w));
    for (int round = 0; round < 100; round++) {
        int ends[2], first = round % 2;
        lab_connect(w, w->a.guest.ns, ends);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 2); /* and the ping */
        CLOSE_FD(ends[first]);
        assert_true(readable(ends[!first]));
        assert_int_equal(recv(ends[!first], &c, 1, 0), 0);
        assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 2);
        CLOSE_FD(ends[!first]);
        assert_true(forgotten(w));
    }
}

/* A connection that only one end has closed is open, and counts. */
static void test_a_half_closed_connection_is_open(void **state)
{
    struct lab_world *w = *state;
    char buf[4096] = "";
    int ends[2];
    size_t sent = 0, got = 0;
    lab_connect(w, w->a.guest.ns, ends);
    assert_int_equal(shutdown(ends[0], SHUT_WR), 0);
    assert_true(readable(ends[1]));
    assert_int_equal(recv(ends[1], buf, 1, 0), 0);
    for (ssize_t n; (n = send(ends[1], buf, sizeof buf, MSG_NOSIGNAL)) > 0;)
        sent += (size_t)n;
    assert_int_equal(lab_flows_of(w->lab.here, w->a.n.lease_addr), 1);
    CLOSE_FD(ends[1]);
    for (ssize_t n; readable(ends[0]) && (n = recv(ends[0], buf, sizeof buf, 0)) > 0;)
        got += (size_t)n;
    assert_true(sent > sizeof buf && got == sent);
    CLOSE_FD(ends[0]);
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

static unsigned share_of(const struct net_lease *n)
{
    uint32_t addr;
    assert_int_equal(net_parse_ipv4(n->lease_addr, &addr), 0);
    return (n->mode == NET_CNI ? addr : addr / 2) % LIMITS_SHARES;
}

static void empty_hops(const struct lab_world *w, const struct net_lease *n)
{
    _cleanup_free_ char *cmd = xasprintf("flush set inet %s hops%u", n->table, share_of(n));
    lab_nft(w->lab.here, cmd);
}

/* As if a lease of its share had just sent to as many addresses as the share may: the outside's is
 * not among them. */
static void fill_hops(const struct lab_world *w, const struct net_lease *n)
{
    _cleanup_strbuf_ struct strbuf cmd = STRBUF_INIT;
    empty_hops(w, n);
    strbuf_addf(&cmd, "add element inet %s hops%u { ", n->table, share_of(n));
    for (unsigned i = 0; i < LIMITS_SHARE_HOPS; i++)
        strbuf_addf(&cmd, "%s10.98.0.%u timeout 1h", i ? ", " : "", i);
    strbuf_adds(&cmd, " }");
    lab_nft(w->lab.here, cmd.buf);
}

/* Each address on a link is a neighbour that the kernel looks for, in one table for all. */
static void test_a_scan_leaves_room_for_neighbours(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    unsigned index = 0;
    assert_int_equal(link_index("wan0", &index, &err), 0);
    assert_int_equal(route_add(sk, 0x0a630000, 16, 0, index, &err), 0); /* 10.99.0.0 */
    open_inside(w->a.ns);
    assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, OPEN)); /* a hop it has */
    lab_scan_addrs(w->a.guest.ns, "10.99.1.0", 900, PORT);
    unsigned n = neighbours("10.99.");
    assert_true(n > 0 && n <= LIMITS_SHARE_HOPS);
    lab_assert_host_connects(w);
}

/* A socket of the guest that sends to the outside, and whether what it sends arrives. */
static int guest_udp(const struct lab_world *w)
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
    struct lab_world *w = *state;
    struct sockaddr_in from;
    char c;
    _cleanup_close_ int fd = guest_udp(w), fresh = guest_udp(w);
    open_inside(w->a.ns);
    assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_true(arrives(fd, w->udp, &from, OPEN));
    fill_hops(w, &w->a.n);
    assert_false(arrives(fd, w->udp, &from, LAB_BLOCK_MS));
    empty_hops(w, &w->a.n);
    assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_int_equal(sendto(w->udp, "x", 1, 0, (struct sockaddr *)&from, sizeof from), 1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, OPEN), 1);
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    fill_hops(w, &w->a.n);
    for (int i = 0; i < 20; i++)
        assert_true(arrives(fd, w->udp, &from, OPEN));
    assert_false(arrives(fresh, w->udp, &from, LAB_BLOCK_MS));
    lab_assert_host_connects(w);
}

/* So is one of TCP, in both directions. */
static void test_an_established_connection_is_not_hindered(void **state)
{
    struct lab_world *w = *state;
    char c;
    int ends[2];
    lab_connect(w, w->a.guest.ns, ends);
    fill_hops(w, &w->a.n);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(send(ends[i % 2], "x", 1, MSG_NOSIGNAL), 1);
        assert_true(readable(ends[!(i % 2)]));
        assert_int_equal(recv(ends[!(i % 2)], &c, 1, 0), 1);
    }
    CLOSE_FD(ends[0]);
    CLOSE_FD(ends[1]);
}

/* Nor is another share's lease, which may open new ones. */
static void test_a_scan_hinders_only_its_share(void **state)
{
    struct lab_world *w = *state;
    assert_int_not_equal(w->b.n.slot % LIMITS_SHARES, w->a.n.slot % LIMITS_SHARES);
    fill_hops(w, &w->a.n);
    assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, LAB_BLOCK_MS, NULL));
    assert_true(lab_udp_reaches(w->b.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
    assert_true(lab_tcp_echoes(w->b.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
}

/* The helper outside can open connections to such a lease: they count as the lease's own. */
static void test_connections_to_a_lease_with_peers_count(void **state)
{
    struct lab_world *w = *state;
    const struct limits l = limits_now();
    struct net_lease c;
    _cleanup_close_ int ns = lab_chain_join(0, true, &c);
    lab_add_route(w->lab.outside, "net0", LAB_CHAIN_LEASE, LAB_HOST);
    open_many(w, w->lab.outside, LAB_CHAIN_LEASE, c.table, l.conns + 100);
    assert_about(lab_flows_of(w->lab.here, LAB_CHAIN_LEASE), l.conns);
    lab_chain_leave(0, &c);
    assert_int_equal(lab_flows_of(w->lab.here, LAB_CHAIN_LEASE), 0);
}

/* What all leases have together is for both directions. */
static void test_both_directions_count_together(void **state)
{
    struct lab_world *w = *state;
    struct lab_member c, d;
    lab_join_chain(w, 0, true, &c);
    _cleanup_free_ char *fast = xasprintf("delete table inet %s", c.n.table);
    lab_nft(w->lab.here, fast);
    make_host_table(&w->lab, &c.n);
    lab_join_chain(w, 1, true, &d);
    lab_add_route(w->lab.outside, "net0", LAB_CHAIN_LEASE, LAB_HOST);
    lab_add_route(w->lab.outside, "net0", d.n.lease_addr, LAB_HOST);
    open_inside(c.ns);
    open_inside(d.ns);
    assert_true(lab_ping(d.guest.ns, LAB_OUTSIDE, OPEN));
    open_many(w, w->lab.outside, LAB_CHAIN_LEASE, c.n.table, limits_now().all_burst + 100);
    lab_scan_ports(d.guest.ns, LAB_OUTSIDE, 20000, 500);
    assert_about(lab_flows_of(w->lab.here, d.n.lease_addr), 1); /* the ping */
    lab_leave_chain(1, &d);
    lab_leave_chain(0, &c);
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
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_lease c;
    _cleanup_close_ int ns = lab_chain_join(0, true, &c);
    open_inside(ns);
    lab_add_route(w->lab.outside, "net0", LAB_CHAIN_LEASE, LAB_HOST);
    _cleanup_close_ int from = ns_run(ns, raw_icmp, NULL, &err);
    _cleanup_close_ int at = ns_run(w->lab.outside, raw_icmp, NULL, &err);
    assert_true(from >= 0 && at >= 0);
    lab_sysctl(w->lab.here, "net/ipv4/conf/box0/forwarding", "1");
    assert_true(answer_arrives(from, at, OPEN));
    assert_int_equal(lab_flows_of(w->lab.here, LAB_CHAIN_LEASE), 0);
    fill_hops(w, &c);
    assert_false(answer_arrives(from, at, LAB_BLOCK_MS));
    lab_chain_leave(0, &c);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_new_connections_are_limited),
        T(test_open_connections_are_limited),
        T(test_leases_of_a_share_are_limited_together),
        T(test_a_flood_hinders_only_its_share),
        T(test_connections_to_the_host_count),
        T(test_a_reset_connection_is_gone),
        T(test_a_closed_connection_is_gone),
        T(test_a_half_closed_connection_is_open),
        T(test_connections_to_a_lease_with_peers_count),
        T(test_both_directions_count_together),
        T(test_a_scan_leaves_room_for_neighbours),
        T(test_known_flows_without_an_answer_are_hops),
        T(test_an_established_connection_is_not_hindered),
        T(test_a_scan_hinders_only_its_share),
        T(test_packets_of_no_connection_are_hops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
