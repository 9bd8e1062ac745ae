/* A VMM that its guest has taken over. It has no capability in the lease's namespace, but opens
 * sockets there and gives them any address that the namespace has. */
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

#define PORT       LAB_PORT
#define OPEN       LAB_REACH_MS
#define CLOSED     LAB_BLOCK_MS
#define CHAIN_HOST "10.88.0.1" /* the host's end of a chain's link */

static int world_up(void **state)
{
    struct lab_world *w = lab_enter() ? lab_world_up() : NULL;
    *state = w;
    return w ? 0 : -1;
}

static int world_down(void **state)
{
    lab_world_down(*state);
    return 0;
}

static void join_pair(struct lab_member *m)
{
    lab_join_by_id(m, "cbx_00000000000a");
}

static void open_output(const struct lab_member *m)
{
    lab_nft(m->ns, "flush chain inet crabbox output; add rule inet crabbox output accept");
}

/* Whether a datagram from one of the namespace's addresses gets out. */
static bool leaves(const struct lab_world *w, const struct lab_member *m, const char *from,
                   int wait_ms)
{
    return lab_udp_from(m->ns, from, w->udp, LAB_OUTSIDE, PORT, wait_ms);
}

/* The same to the host's end of the lease's link. */
static bool reaches_host(const struct lab_world *w, const struct lab_member *m, const char *from,
                         int wait_ms)
{
    _cleanup_close_ int service = lab_socket(w->lab.here, SOCK_DGRAM, "0.0.0.0", PORT);
    return lab_udp_from(m->ns, from, service, m->n.host_addr, PORT, wait_ms);
}

static void assert_sends_nothing(const struct lab_world *w, const struct lab_member *m)
{
    const char *const own[] = {"0.0.0.0", m->n.lease_addr, m->n.gateway};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        assert_false(leaves(w, m, own[i], CLOSED));
        assert_false(reaches_host(w, m, own[i], CLOSED));
    }
    assert_false(lab_tcp_echoes(m->ns, w->tcp, LAB_OUTSIDE, PORT, CLOSED));
    assert_false(lab_ping(m->ns, LAB_OUTSIDE, CLOSED));
    assert_true(lab_udp_reaches(m->guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
}

/* Were it able to send, it would have no other address than the lease's. */
static void assert_has_one_address(const struct lab_world *w, const struct lab_member *m)
{
    open_output(m);
    assert_true(leaves(w, m, m->n.lease_addr, OPEN));
    assert_false(leaves(w, m, m->n.gateway, CLOSED));
    assert_false(reaches_host(w, m, m->n.gateway, CLOSED));
}

static void test_with_links_of_our_own(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m;
    join_pair(&m);
    assert_sends_nothing(w, &m);
    assert_has_one_address(w, &m);
    lab_leave(&m);
}

/* The host knows such a lease by its address alone, and another one would pass all its rules. */
static void test_on_a_chain(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m;
    for (int peers = 0; peers < 2; peers++) {
        lab_join_chain(w, 0, peers, &m);
        assert_string_equal(m.n.host_addr, CHAIN_HOST);
        assert_sends_nothing(w, &m);
        assert_has_one_address(w, &m);
        /* Without both rules the host hears it. */
        lab_nft(m.ns, "flush chain inet crabbox leave");
        lab_sysctl(w->lab.here, "net/ipv4/conf/all/rp_filter", "0");
        lab_sysctl(w->lab.here, "net/ipv4/conf/box0/rp_filter", "0");
        assert_true(reaches_host(w, &m, m.n.gateway, OPEN));
        lab_leave_chain(0, &m);
    }
}

/* To all nodes on the chain's link, which needs no neighbour. */
static bool hears6(const struct lab_member *m, int service, int wait_ms)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    char c;
    assert_int_equal(inet_pton(AF_INET6, "ff02::1", &to.sin6_addr), 1);
    _cleanup_close_ int fd = lab_socket6(m->ns, PORT);
    /* The namespace has lo, the tap and the chain's link, in the order in which they were made. */
    for (uint32_t i = 1; i < 10; i++) {
        to.sin6_scope_id = i;
        (void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
    }
    struct pollfd p = {.fd = service, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1 && recv(service, &c, 1, 0) == 1;
}

/* The chain's link has IPv6 only where a plugin switches it on, and nothing leaves by it then. */
static void test_no_ipv6_on_a_chain(void **state)
{
    struct lab_world *w = *state;
    struct lab_member m;
    lab_join_chain(w, 0, false, &m);
    assert_true(lab_has_ipv6(w->lab.here, "wan0"));
    assert_false(lab_has_ipv6(m.ns, "eth0"));
    assert_false(lab_has_ipv6(m.ns, m.n.tap));
    lab_sysctl(m.ns, "net/ipv6/conf/eth0/disable_ipv6", "0");
    lab_add_addr6(m.ns, "eth0", "fd00:88::2");
    lab_add_addr6(w->lab.here, "box0", "fd00:88::1");
    _cleanup_close_ int service = lab_socket6(w->lab.here, PORT);
    assert_false(hears6(&m, service, CLOSED));
    open_output(&m);
    assert_true(hears6(&m, service, OPEN));
    lab_leave_chain(0, &m);
}

/* What the namespace says to its guest of a packet that goes no further. */
static void test_the_guest_is_told_of_errors(void **state)
{
    (void)state;
    struct lab_member m;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int one = 1, error = 0;
    socklen_t len = sizeof error;
    join_pair(&m);
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    _cleanup_close_ int fd = lab_socket(m.guest.ns, SOCK_DGRAM, NULL, 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TTL, &one, sizeof one), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    struct pollfd p = {.fd = fd, .events = POLLERR};
    assert_int_equal(poll(&p, 1, OPEN), 1);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    assert_int_equal(error, EHOSTUNREACH);
    lab_leave(&m);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_with_links_of_our_own),
        T(test_on_a_chain),
        T(test_no_ipv6_on_a_chain),
        T(test_the_guest_is_told_of_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
