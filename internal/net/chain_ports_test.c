/* The ports that guests on a chain have at the host, where a plugin masquerades in its own way: no
 * port of a service of the host, and no packet lost where two want the same one. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "testutil/netlab.h"

#define PORT     LAB_PORT
#define ELSE     "198.51.100.7" /* another address of the outside's */
#define HOST_TOO "198.51.100.9" /* another address of the host's */
#define OPEN     LAB_REACH_MS
#define CLOSED   LAB_BLOCK_MS
#define QUIET    25001
#define FLOWS    12

static int world_up(void **state)
{
    struct lab_world *w = lab_enter() ? lab_world_up() : NULL;
    if (!w)
        return -1;
    lab_add_addr(w->lab.outside, "net0", ELSE);
    lab_add_route(w->lab.here, "wan0", ELSE, LAB_OUTSIDE);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    lab_world_down(*state);
    return 0;
}

/* What a plugin adds, in place of what another has. */
static void plugin(const struct lab_world *w, const char *rule)
{
    _cleanup_free_ char *table = xasprintf(
        "table ip plugin\ndelete table ip plugin\ntable ip plugin { chain post { type "
        "nat hook postrouting priority srcnat; ip saddr " LAB_CHAIN_NET " oifname wan0 %s; }; }",
        rule);
    lab_nft(w->lab.here, table);
}

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static struct sockaddr_in at(const char *addr, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, addr, &a.sin_addr), 1);
    return a;
}

/* A datagram of the guest's port arrives, and the answer to it: from which port, or 0. */
static uint16_t answered(const struct lab_world *w, const struct lab_member *m, const char *addr,
                         uint16_t port, int wait_ms)
{
    struct sockaddr_in to = at(addr, PORT), from;
    socklen_t len = sizeof from;
    char c;
    _cleanup_close_ int fd = lab_socket(m->guest.ns, SOCK_DGRAM, m->n.guest_addr, port);
    assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    if (!readable(w->udp, wait_ms))
        return 0;
    assert_int_equal(recvfrom(w->udp, &c, 1, 0, (struct sockaddr *)&from, &len), 1);
    assert_int_equal(sendto(w->udp, "y", 1, 0, (struct sockaddr *)&from, len), 1);
    assert_true(readable(fd, OPEN));
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    return ntohs(from.sin_port);
}

static bool in_range(uint16_t port)
{
    return port >= 20000 && port <= 29999;
}

/* Where a guest had the port of a service of the host, it would be given what a client whose
 * address and port it knows sends to that service: as between two ends of a tunnel. */
static void test_a_guest_has_no_port_of_the_host(void **state)
{
    struct lab_world *w = *state;
    enum { SERVICE = 51820 };
    struct lab_member m;
    struct sockaddr_in to = at(LAB_HOST, SERVICE);
    char c;
    lab_join_chain(w, 0, false, &m);
    plugin(w, "masquerade");
    _cleanup_close_ int service = lab_socket(w->lab.here, SOCK_DGRAM, LAB_HOST, SERVICE);
    assert_true(in_range(answered(w, &m, LAB_OUTSIDE, SERVICE, OPEN)));
    assert_int_equal(sendto(w->udp, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    assert_true(readable(service, OPEN));
    assert_int_equal(recv(service, &c, 1, 0), 1);
    /* Where the namespace keeps the port, the host doesn't. */
    lab_keep_port(&m);
    assert_int_equal(answered(w, &m, LAB_OUTSIDE, SERVICE + 1, CLOSED), 0);
    assert_int_equal(answered(w, &m, LAB_OUTSIDE, QUIET, OPEN), QUIET);
    lab_leave_chain(0, &m);
}

/* Two leases with the same ports, to the same address and port. The plugin's rule gives the second
 * any other: once, then the host knows better. */
static void test_a_clash_loses_nothing(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m[2];
    unsigned strange = 0;
    for (unsigned i = 0; i < 2; i++) {
        lab_join_chain(w, i, i == 1, &m[i]);
        lab_keep_port(&m[i]);
    }
    plugin(w, "masquerade");
    for (uint16_t p = QUIET; p < QUIET + FLOWS; p++) {
        assert_int_equal(answered(w, &m[0], LAB_OUTSIDE, p, OPEN), p);
        uint16_t other = answered(w, &m[1], LAB_OUTSIDE, p, OPEN);
        assert_int_not_equal(other, 0);
        assert_int_not_equal(other, p);
        strange += !in_range(other);
    }
    assert_true(strange <= 1);
    lab_leave_chain(1, &m[1]);
    lab_leave_chain(0, &m[0]);
}

/* The same where every port is drawn from all that there are, as with iptables' --random-fully. */
static void test_random_ports_lose_nothing(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m;
    for (int peers = 0; peers < 2; peers++) {
        unsigned strange = 0;
        lab_join_chain(w, 0, peers, &m);
        plugin(w, "masquerade fully-random");
        for (uint16_t p = QUIET; p < QUIET + FLOWS; p++) {
            uint16_t port = answered(w, &m, LAB_OUTSIDE, p, OPEN);
            assert_int_not_equal(port, 0);
            assert_true(lab_tcp_echoes(m.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
            strange += !in_range(port);
        }
        assert_true(strange <= 1);
        lab_leave_chain(0, &m);
    }
}

static void assert_leaves_as(const struct lab_world *w, const struct lab_member *m,
                             const char *addr, const char *as)
{
    char peer[NET_ADDR_SIZE];
    for (int i = 0; i < FLOWS; i++) {
        assert_true(lab_udp_reaches(m->guest.ns, w->udp, addr, PORT, OPEN, peer));
        assert_string_equal(peer, as);
    }
}

/* Whether there is another address in front of the lease's, and which, the plugin has decided. */
static void test_the_plugin_decides_who_is_masqueraded(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m;
    lab_join_chain(w, 0, false, &m);
    lab_add_route(w->lab.outside, "net0", LAB_CHAIN_LEASE, LAB_HOST);
    assert_leaves_as(w, &m, LAB_OUTSIDE, LAB_CHAIN_LEASE);
    plugin(w, "ip daddr " LAB_OUTSIDE " masquerade fully-random");
    assert_leaves_as(w, &m, LAB_OUTSIDE, LAB_HOST);
    assert_leaves_as(w, &m, ELSE, LAB_CHAIN_LEASE);
    lab_add_addr(w->lab.here, "wan0", HOST_TOO);
    plugin(w, "ip daddr " ELSE " snat to " HOST_TOO " fully-random");
    assert_leaves_as(w, &m, ELSE, HOST_TOO);
    lab_leave_chain(0, &m);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_a_guest_has_no_port_of_the_host),
        T(test_a_clash_loses_nothing),
        T(test_random_ports_lose_nothing),
        T(test_the_plugin_decides_who_is_masqueraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
