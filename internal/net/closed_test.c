/* What a guest never reaches, wherever the host runs: the services of every cloud that hand out the
 * host's secrets, and the addresses of the pool that no lease has. Real packets, each beside a
 * control that arrives. */
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

#include "net/metadata.h"
#include "testutil/netlab.h"

#define PORT    7070
#define POOL    "10.213.0.0/16"
#define UNUSED  "10.213.255.250" /* addresses of the pool: no lease here has them */
#define UNUSED2 "10.213.255.252"
#define AZURE   "168.63.129.16"
#define AWS_DNS "169.254.169.253"
#define OPEN    LAB_REACH_MS
#define CLOSED  LAB_BLOCK_MS

struct world {
    struct lab lab;
    struct net_lease n;
    int ns;
    struct lab_guest guest;
    int udp, tcp; /* outside */
};

static int apply(struct net_lease *n, const char *id)
{
    struct net_request req = {.lease_id = id,
                              .pool = POOL,
                              .dns = LAB_OUTSIDE "," AZURE "," AWS_DNS,
                              .state_dir = "/state/one"};
    lab_plan(n, &req);
    return lab_apply(n);
}

static int world_up(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    lab_up(&w->lab);
    w->udp = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", PORT);
    w->tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", PORT);
    w->ns = apply(&w->n, "cbx_00000000000a");
    lab_guest_start(&w->guest, w->ns, &w->n);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct world *w = *state;
    struct error err = ERROR_INIT;
    struct net_found found[8];
    lab_guest_stop(&w->guest);
    CLOSE_FD(w->ns);
    lab_undo(&w->n);
    CLOSE_FD(w->udp);
    CLOSE_FD(w->tcp);
    lab_down(&w->lab);
    assert_int_equal(net_scan(found, 8, &err), 0);
    free(w);
    return 0;
}

/* Whether something waits at a socket, now. */
static bool waits(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

struct knocks {
    int udp, tcp;
};

static struct knocks knock(int ns, const char *addr)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct knocks k = {.udp = lab_socket(ns, SOCK_DGRAM, NULL, 0), .tcp = lab_client(ns)};
    assert_int_equal(inet_pton(AF_INET, addr, &to.sin_addr), 1);
    (void)!sendto(k.udp, "knock", 5, 0, (struct sockaddr *)&to, sizeof to);
    (void)!connect(k.tcp, (struct sockaddr *)&to, sizeof to);
    return k;
}

/* Whether anything came of it. What was sent before a ping has passed or been dropped when that is
 * answered (one way, one order); a handshake has a second round. */
static bool knocks_arrive(const struct world *w, const char *addr)
{
    struct knocks k = knock(w->guest.ns, addr);
    for (int i = 0; i < 2; i++)
        assert_true(lab_ping(w->guest.ns, LAB_OUTSIDE, OPEN));
    bool arrived = waits(w->udp) || waits(w->tcp);
    CLOSE_FD(k.udp);
    CLOSE_FD(k.tcp);
    return arrived;
}

static void drain(const struct world *w)
{
    char byte;
    while (waits(w->udp) && recv(w->udp, &byte, 1, 0) >= 0)
        continue;
    while (waits(w->tcp)) {
        _cleanup_close_ int peer = accept4(w->tcp, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
    }
}

static void test_every_metadata_service_is_closed(void **state)
{
    struct world *w = *state;
    assert_true(n_metadata_services > 15);
    for (size_t i = 0; i < n_metadata_services; i++) {
        const char *addr = metadata_services[i].addr;
        lab_add_addr(w->lab.outside, "net0", addr);
        if (!lab_udp_reaches(w->lab.here, w->udp, addr, PORT, OPEN, NULL) ||
            !lab_tcp_echoes(w->lab.here, w->tcp, addr, PORT, OPEN))
            fail_msg("the host itself does not reach %s", addr);
        if (knocks_arrive(w, addr))
            fail_msg("a guest reaches %s (%s)", addr, metadata_services[i].who);
    }
    assert_true(knocks_arrive(w, LAB_OUTSIDE));
    drain(w);
}

/* Every other address of these networks too, and none beside them. */
static void test_whole_networks_are_closed(void **state)
{
    struct world *w = *state;
    static const char *const closed[] = {"169.254.0.1", "169.254.255.254", "192.0.0.8"};
    static const char *const open[] = {"169.253.255.255", "169.255.0.1", "168.63.129.17",
                                       "100.100.100.201", "192.0.1.1"};
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        lab_add_addr(w->lab.outside, "net0", closed[i]);
        assert_true(lab_udp_reaches(w->lab.here, w->udp, closed[i], PORT, OPEN, NULL));
        assert_false(lab_udp_reaches(w->guest.ns, w->udp, closed[i], PORT, CLOSED, NULL));
    }
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        lab_add_addr(w->lab.outside, "net0", open[i]);
        assert_true(lab_udp_reaches(w->guest.ns, w->udp, open[i], PORT, OPEN, NULL));
    }
}

/* A name server of the guest at such an address answers names, and nothing else: on Azure it is the
 * same address that has the host's certificates. */
static void test_only_names_pass_to_a_name_server(void **state)
{
    struct world *w = *state;
    static const char *const servers[] = {AZURE, AWS_DNS};
    static const uint16_t ports[] = {80, 32526, 123, 443};
    _cleanup_close_ int dns = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", 53);
    _cleanup_close_ int dns_tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", 53);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        assert_true(lab_udp_reaches(w->guest.ns, dns, servers[i], 53, OPEN, NULL));
        assert_true(lab_tcp_echoes(w->guest.ns, dns_tcp, servers[i], 53, OPEN));
        for (size_t k = 0; k < ARRAY_LEN(ports); k++) {
            _cleanup_close_ int tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", ports[k]);
            assert_true(lab_tcp_echoes(w->lab.here, tcp, servers[i], ports[k], OPEN));
            assert_false(lab_tcp_echoes(w->guest.ns, tcp, servers[i], ports[k], CLOSED));
        }
    }
    /* A service that is nobody's name server has no hole. */
    assert_true(lab_udp_reaches(w->lab.here, dns, "100.100.100.200", 53, OPEN, NULL));
    assert_false(lab_udp_reaches(w->guest.ns, dns, "100.100.100.200", 53, CLOSED, NULL));
}

static void sleep_rules(const struct world *w, bool asleep)
{
    _cleanup_free_ char *cmd = xasprintf("add table inet %s%s", w->n.table,
                                         asleep ? " { flags dormant; }" : "");
    lab_nft(w->lab.here, cmd);
}

/* What has no lease is on no link of ours, so the default route would have it. The same packets
 * arrive while the rules sleep. */
static void test_pool_addresses_go_nowhere(void **state)
{
    struct world *w = *state;
    lab_add_addr(w->lab.outside, "net0", UNUSED);
    assert_false(lab_udp_reaches(w->guest.ns, w->udp, UNUSED, PORT, CLOSED, NULL));
    assert_false(lab_tcp_echoes(w->guest.ns, w->tcp, UNUSED, PORT, CLOSED));
    assert_false(lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, CLOSED, NULL));
    assert_false(lab_tcp_echoes(w->lab.here, w->tcp, UNUSED, PORT, CLOSED));
    sleep_rules(w, true);
    bool passed = lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, OPEN, NULL);
    sleep_rules(w, false);
    assert_true(passed);
    assert_false(lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, CLOSED, NULL));
    /* The lease's own address is one of the pool, too. */
    _cleanup_close_ int in = lab_socket(w->guest.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    assert_true(lab_udp_reaches(w->lab.here, in, w->n.lease_addr, PORT, OPEN, NULL));
}

/* Nor does what the host is asked to pass on, nor what comes with such an address. */
static void test_outside_has_no_pool_address(void **state)
{
    struct world *w = *state;
    _cleanup_close_ int here = lab_socket(w->lab.here, SOCK_DGRAM, "0.0.0.0", PORT);
    /* There and back again: the host has two links to the outside's kind of network. */
    lab_sysctl(w->lab.here, "net/ipv4/conf/all/rp_filter", "0");
    lab_sysctl(w->lab.here, "net/ipv4/conf/wan0/rp_filter", "0");
    lab_sysctl(w->lab.here, "net/ipv4/conf/wan0/send_redirects", "0");
    lab_sysctl(w->lab.here, "net/ipv4/conf/all/send_redirects", "0");
    lab_add_addr(w->lab.outside, "net0", UNUSED2);
    assert_true(lab_udp_reaches(w->lab.outside, here, LAB_HOST, PORT, OPEN, NULL));
    assert_false(lab_udp_from(w->lab.outside, UNUSED2, here, LAB_HOST, PORT, CLOSED));
    sleep_rules(w, true);
    bool passed = lab_udp_from(w->lab.outside, UNUSED2, here, LAB_HOST, PORT, OPEN);
    sleep_rules(w, false);
    assert_true(passed);
}

/* After its end a lease's address is one without a lease, while there is another lease. */
static void test_a_lease_s_address_closes_with_it(void **state)
{
    struct world *w = *state;
    struct net_lease next;
    _cleanup_close_ int ns = apply(&next, "cbx_00000000000b");
    CLOSE_FD(ns);
    lab_undo(&next);
    lab_add_addr(w->lab.outside, "net0", next.lease_addr);
    assert_false(lab_udp_reaches(w->guest.ns, w->udp, next.lease_addr, PORT, CLOSED, NULL));
    assert_false(lab_udp_reaches(w->lab.here, w->udp, next.lease_addr, PORT, CLOSED, NULL));
    assert_true(lab_udp_reaches(w->guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_metadata_service_is_closed),
        cmocka_unit_test(test_whole_networks_are_closed),
        cmocka_unit_test(test_only_names_pass_to_a_name_server),
        cmocka_unit_test(test_pool_addresses_go_nowhere),
        cmocka_unit_test(test_outside_has_no_pool_address),
        cmocka_unit_test(test_a_lease_s_address_closes_with_it),
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
