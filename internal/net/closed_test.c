/* What a guest never reaches, wherever the host runs: the services of every cloud that hand out the
 * host's secrets, the addresses of the pool that no lease has, and what goes on between the host
 * and others. Real packets, each beside a control that arrives. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/metadata.h"
#include "net/ns.h"
#include "testutil/netlab.h"

#define PORT    LAB_PORT
#define POOL    "10.213.0.0/16"
#define UNUSED  "10.213.255.250" /* addresses of the pool: no lease here has them */
#define UNUSED2 "10.213.255.252"
#define AZURE   "168.63.129.16"
#define AWS_DNS "169.254.169.253"
#define OPEN    LAB_REACH_MS
#define CLOSED  LAB_BLOCK_MS

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
    struct lab_world *w = lab_world_up();
    w->a.ns = apply(&w->a.n, "cbx_00000000000a");
    lab_guest_start(&w->a.guest, w->a.ns, &w->a.n);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    lab_world_down(*state);
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
static bool knocks_arrive(const struct lab_world *w, const char *addr)
{
    struct knocks k = knock(w->a.guest.ns, addr);
    for (int i = 0; i < 2; i++)
        assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, OPEN));
    bool arrived = waits(w->udp) || waits(w->tcp);
    CLOSE_FD(k.udp);
    CLOSE_FD(k.tcp);
    return arrived;
}

static void drain(const struct lab_world *w)
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
    struct lab_world *w = *state;
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
    struct lab_world *w = *state;
    static const char *const closed[] = {"169.254.0.1", "169.254.255.254", "192.0.0.8"};
    static const char *const open[] = {"169.253.255.255", "169.255.0.1", "168.63.129.17",
                                       "100.100.100.201", "192.0.1.1"};
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        lab_add_addr(w->lab.outside, "net0", closed[i]);
        assert_true(lab_udp_reaches(w->lab.here, w->udp, closed[i], PORT, OPEN, NULL));
        assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, closed[i], PORT, CLOSED, NULL));
    }
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        lab_add_addr(w->lab.outside, "net0", open[i]);
        assert_true(lab_udp_reaches(w->a.guest.ns, w->udp, open[i], PORT, OPEN, NULL));
    }
}

/* A name server of the guest at such an address answers names, and nothing else: on Azure it is the
 * same address that has the host's certificates. */
static void test_only_names_pass_to_a_name_server(void **state)
{
    struct lab_world *w = *state;
    static const char *const servers[] = {AZURE, AWS_DNS};
    static const uint16_t ports[] = {80, 32526, 123, 443};
    _cleanup_close_ int dns = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", 53);
    _cleanup_close_ int dns_tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", 53);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        assert_true(lab_udp_reaches(w->a.guest.ns, dns, servers[i], 53, OPEN, NULL));
        assert_true(lab_tcp_echoes(w->a.guest.ns, dns_tcp, servers[i], 53, OPEN));
        for (size_t k = 0; k < ARRAY_LEN(ports); k++) {
            _cleanup_close_ int tcp = lab_socket(w->lab.outside, SOCK_STREAM, "0.0.0.0", ports[k]);
            assert_true(lab_tcp_echoes(w->lab.here, tcp, servers[i], ports[k], OPEN));
            assert_false(lab_tcp_echoes(w->a.guest.ns, tcp, servers[i], ports[k], CLOSED));
        }
    }
    /* A service that is nobody's name server has no hole. */
    assert_true(lab_udp_reaches(w->lab.here, dns, "100.100.100.200", 53, OPEN, NULL));
    assert_false(lab_udp_reaches(w->a.guest.ns, dns, "100.100.100.200", 53, CLOSED, NULL));
}

static void sleep_rules(const struct lab_world *w, bool asleep)
{
    _cleanup_free_ char *cmd = xasprintf("add table inet %s%s", w->a.n.table,
                                         asleep ? " { flags dormant; }" : "");
    lab_nft(w->lab.here, cmd);
}

/* What has no lease is on no link of ours, so the default route would have it. The same packets
 * arrive while the rules sleep. */
static void test_pool_addresses_go_nowhere(void **state)
{
    struct lab_world *w = *state;
    lab_add_addr(w->lab.outside, "net0", UNUSED);
    assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, UNUSED, PORT, CLOSED, NULL));
    assert_false(lab_tcp_echoes(w->a.guest.ns, w->tcp, UNUSED, PORT, CLOSED));
    assert_false(lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, CLOSED, NULL));
    assert_false(lab_tcp_echoes(w->lab.here, w->tcp, UNUSED, PORT, CLOSED));
    sleep_rules(w, true);
    bool passed = lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, OPEN, NULL);
    sleep_rules(w, false);
    assert_true(passed);
    assert_false(lab_udp_reaches(w->lab.here, w->udp, UNUSED, PORT, CLOSED, NULL));
    /* The lease's own address is one of the pool, too. */
    _cleanup_close_ int in = lab_socket(w->a.guest.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    assert_true(lab_udp_reaches(w->lab.here, in, w->a.n.lease_addr, PORT, OPEN, NULL));
}

/* Nor does what the host is asked to pass on, nor what comes with such an address. */
static void test_outside_has_no_pool_address(void **state)
{
    struct lab_world *w = *state;
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
    struct lab_world *w = *state;
    struct net_lease next;
    _cleanup_close_ int ns = apply(&next, "cbx_00000000000b");
    CLOSE_FD(ns);
    lab_undo(&next);
    lab_add_addr(w->lab.outside, "net0", next.lease_addr);
    assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, next.lease_addr, PORT, CLOSED, NULL));
    assert_false(lab_udp_reaches(w->lab.here, w->udp, next.lease_addr, PORT, CLOSED, NULL));
    assert_true(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
}

/* A lease whose table and namespace a test may change. */
static void join_alone(struct lab_member *m)
{
    const struct net_request req = {.lease_id = "cbx_00000000000c",
                                    .pool = POOL,
                                    .dns = LAB_OUTSIDE,
                                    .state_dir = "/state/alone"};
    lab_join(m, &req);
}

/* Of the two places that check a guest's packets, only one is left: the host, or the lease. */
static void join_and_trust(const struct lab_world *w, struct lab_member *m, bool host)
{
    join_alone(m);
    const char *table = host ? "crabbox" : m->n.table;
    _cleanup_free_ char *cmd = xasprintf("flush chain inet %s admit; add rule inet %s admit accept",
                                         table, table);
    lab_nft(host ? m->ns : w->lab.here, cmd);
}

static int raw_socket(void *arg, struct error *err)
{
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, *(int *)arg);
    return fd < 0 ? error_set(err, ERR_NET, errno, "raw socket: %m") : fd;
}

static int lab_raw(int ns, int protocol)
{
    struct error err = ERROR_INIT;
    int fd = ns_run(ns, raw_socket, &protocol, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    return fd;
}

/* Sends `len` bytes of a protocol to the outside, and looks whether they come by: what goes before
 * a ping has passed or been dropped when that is answered. */
static bool raw_arrives(int ns, int protocol, const void *bytes, size_t len, int at)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    uint8_t got[2048];
    bool arrived = false;
    _cleanup_close_ int fd = lab_raw(ns, protocol);
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof to), (ssize_t)len);
    assert_true(lab_ping(ns, LAB_OUTSIDE, OPEN));
    for (ssize_t n; (n = recv(at, got, sizeof got, 0)) >= 0;) /* what else there is has 20, too */
        arrived = arrived || (got[9] == protocol && n >= 20 + 4 &&
                              memcmp(got + 22, (const uint8_t *)bytes + 2, 2) == 0);
    return arrived;
}

/* Protocols without ports: a guest's flow to a peer of the host's is the host's own flow to it, so
 * the peer's answers would go to the guest. */
static void test_only_tcp_udp_and_icmp_leave(void **state)
{
    struct lab_world *w = *state;
    static const int closed[] = {IPPROTO_IPIP, IPPROTO_GRE,   IPPROTO_IPV6,   IPPROTO_ESP,
                                 IPPROTO_SCTP, 89 /* OSPF */, 112 /* VRRP */, 253};
    static const uint8_t bytes[24] = {0x45, 7, 0x77, 0x66};
    for (int host = 0; host < 2; host++) {
        struct lab_member m;
        join_and_trust(w, &m, host);
        for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
            _cleanup_close_ int at = lab_raw(w->lab.outside, closed[i]);
            if (raw_arrives(m.guest.ns, closed[i], bytes, sizeof bytes, at))
                fail_msg("protocol %d passes %s", closed[i], host ? "the host" : "the lease");
        }
        assert_true(lab_udp_reaches(m.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
        assert_true(lab_tcp_echoes(m.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
        lab_leave(&m);
    }
    /* Last, since where the host's flow comes first the guest's has no room beside it. */
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        _cleanup_close_ int at = lab_raw(w->lab.outside, closed[i]);
        assert_true(raw_arrives(w->lab.here, closed[i], bytes, sizeof bytes, at));
    }
}

static uint32_t sum16(uint32_t sum, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)b[i] << 8 | b[i + 1];
    return sum;
}

/* A segment to the outside with the flags, and a source port and number of its own. */
static struct tcphdr segment(const char *from, uint8_t flags)
{
    static uint16_t serial;
    const uint8_t rest[4] = {0, IPPROTO_TCP, 0, sizeof(struct tcphdr)};
    struct in_addr ends[2];
    struct tcphdr t = {.th_sport = htons((uint16_t)(9000 + ++serial)),
                       .th_dport = htons(PORT + 1),
                       .th_seq = htonl(serial),
                       .th_ack = flags & TH_ACK ? htonl(1) : 0,
                       .th_off = sizeof t / 4,
                       .th_flags = flags,
                       .th_win = htons(1000)};
    assert_int_equal(inet_pton(AF_INET, from, &ends[0]), 1);
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &ends[1]), 1);
    uint32_t sum = sum16(sum16(sum16(0, ends, sizeof ends), rest, sizeof rest), &t, sizeof t);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    t.th_sum = htons((uint16_t)~sum);
    return t;
}

static bool segment_arrives(const struct lab_member *m, int at, uint8_t flags)
{
    const struct tcphdr t = segment(m->n.guest_addr, flags);
    return raw_arrives(m->guest.ns, IPPROTO_TCP, &t, sizeof t, at);
}

/* The kernel would take up a connection in its middle: one of the host's that it has no entry of.
 */
static void test_tcp_begins_with_a_syn(void **state)
{
    struct lab_world *w = *state;
    static const uint8_t closed[] = {TH_ACK, TH_ACK | TH_PUSH, TH_ACK | TH_FIN, TH_ACK | TH_RST,
                                     TH_RST, TH_ACK | TH_SYN,  TH_FIN,          TH_ACK | TH_URG};
    _cleanup_close_ int at = lab_raw(w->lab.outside, IPPROTO_TCP);
    for (int host = 0; host < 2; host++) {
        struct lab_member m;
        join_and_trust(w, &m, host);
        for (size_t i = 0; i < ARRAY_LEN(closed); i++)
            if (segment_arrives(&m, at, closed[i]))
                fail_msg("TCP begins with %#x at %s", closed[i], host ? "the host" : "the lease");
        assert_true(segment_arrives(&m, at, TH_SYN));
        assert_true(segment_arrives(&m, at, TH_SYN | 0xc0)); /* of a guest that uses ECN */
        lab_leave(&m);
    }
}

/* A connection of the host with the outside that the kernel has no entry of, as of before the first
 * lease. */
static void connect_unseen(const struct lab_world *w, int ends[2], uint16_t *port)
{
    struct sockaddr_in own = {.sin_port = 0};
    socklen_t len = sizeof own;
    lab_nft(w->lab.here,
            "table ip unseen {\n"
            "chain out { type filter hook output priority raw; tcp dport 7070 notrack; }\n"
            "chain in { type filter hook prerouting priority raw; tcp sport 7070 notrack; }\n}");
    lab_connect(w, w->lab.here, ends);
    assert_int_equal(getsockname(ends[0], (struct sockaddr *)&own, &len), 0);
    *port = ntohs(own.sin_port);
    lab_nft(w->lab.here, "delete table ip unseen");
}

/* As on a host whose rules or luck leave the guest its port. */
static void join_with_own_port(const struct lab_world *w, struct lab_member *m)
{
    join_alone(m);
    _cleanup_free_ char *keep = xasprintf(
        "flush chain inet %s postrouting\nadd rule inet %s postrouting oifname wan0 masquerade",
        m->n.table, m->n.table);
    lab_nft(w->lab.here, keep);
}

static void join_by_chain_with_own_port(const struct lab_world *w, struct lab_member *m)
{
    lab_join_chain(w, 0, false, m);
    lab_keep_port(m);
    lab_nft(w->lab.here, "table ip plugin { chain post { type nat hook postrouting priority "
                         "srcnat; ip saddr " LAB_CHAIN_NET " oifname wan0 masquerade; }; }");
    _cleanup_free_ char *open = xasprintf("flush chain inet %s postrouting", m->n.table);
    lab_nft(w->lab.here, open);
}

static void leave_chain(const struct lab_world *w, struct lab_member *m)
{
    lab_leave_chain(0, m);
    lab_nft(w->lab.here, "delete table ip plugin");
}

/* To a SYN on such a connection the other end answers with its sequence numbers. A guest who got
 * them could reset it: its kernel does so by itself. */
static void connect_with_port(const struct lab_member *m, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)},
                       from = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    _cleanup_close_ int guest = lab_client(m->guest.ns);
    assert_int_equal(bind(guest, (struct sockaddr *)&from, sizeof from), 0);
    (void)!connect(guest, (struct sockaddr *)&to, sizeof to);
    for (int i = 0; i < 3; i++)
        assert_true(lab_ping(m->guest.ns, LAB_OUTSIDE, OPEN));
}

static void join_either(const struct lab_world *w, struct lab_member *m, bool chain)
{
    if (chain)
        join_by_chain_with_own_port(w, m);
    else
        join_with_own_port(w, m);
}

static void leave_either(const struct lab_world *w, struct lab_member *m, bool chain)
{
    if (chain)
        leave_chain(w, m);
    else
        lab_leave(m);
}

/* Also with one of the ports that guests get. */
static void test_a_guest_does_not_reset_the_hosts_connection(void **state)
{
    struct lab_world *w = *state;
    for (int i = 0; i < 4; i++) {
        struct lab_member m;
        uint16_t port;
        char c;
        int ends[2];
        join_either(w, &m, i % 2);
        lab_sysctl(w->lab.here, "net/ipv4/ip_local_port_range",
                   i < 2 ? "32768 60999" : "20000 29999");
        connect_unseen(w, ends, &port);
        connect_with_port(&m, port);
        assert_int_equal(recv(ends[1], &c, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        /* Its entries go with it: the connection is the host's as before. */
        leave_either(w, &m, i % 2);
        lab_sysctl(w->lab.here, "net/ipv4/ip_local_port_range", "32768 60999");
        assert_int_equal(send(ends[0], "x", 1, MSG_NOSIGNAL), 1);
        struct pollfd p = {.fd = ends[1], .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(recv(ends[1], &c, 1, 0), 1);
        CLOSE_FD(ends[0]);
        CLOSE_FD(ends[1]);
    }
}

/* A connection that the guest has ended for the host, but not for the other end. */
static void lose_a_reset(const struct lab_world *w, const struct lab_member *m, int ends[2])
{
    const struct linger hard = {.l_onoff = 1};
    lab_connect(w, m->guest.ns, ends);
    lab_nft(w->lab.outside, "table ip lossy { chain in { type filter hook input priority 0; "
                            "tcp flags & rst == rst drop; }; }");
    assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    CLOSE_FD(ends[0]);
    assert_true(lab_ping(m->guest.ns, LAB_OUTSIDE, OPEN)); /* it is behind the reset */
    lab_nft(w->lab.outside, "delete table ip lossy");
}

/* Whoever has its port next connects all the same. That end answers the first SYN with what it has,
 * and the guest's kernel repeats it after a second. */
static void test_a_port_is_free_when_the_host_says_so(void **state)
{
    struct lab_world *w = *state;
    for (int chain = 0; chain < 2; chain++) {
        struct lab_member m;
        char c;
        int ends[2];
        join_either(w, &m, chain);
        lab_sysctl(m.guest.ns, "net/ipv4/ip_local_port_range", "25001 25001");
        lose_a_reset(w, &m, ends);
        assert_int_equal(recv(ends[1], &c, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        assert_true(lab_tcp_echoes(m.guest.ns, w->tcp, LAB_OUTSIDE, PORT, 5 * OPEN));
        assert_int_equal(recv(ends[1], &c, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        CLOSE_FD(ends[1]);
        leave_either(w, &m, chain);
    }
}

/* A refusal is no answer to a guest's SYN of another's connection, and passes both ways. */
static void test_a_refusal_passes(void **state)
{
    struct lab_world *w = *state;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT + 2)};
    const char *const addrs[] = {LAB_OUTSIDE, w->a.n.lease_addr};
    const int from[] = {w->a.guest.ns, w->lab.here};
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        int error = 0;
        socklen_t len = sizeof error;
        _cleanup_close_ int fd = lab_client(from[i]);
        assert_int_equal(inet_pton(AF_INET, addrs[i], &to.sin_addr), 1);
        (void)!connect(fd, (struct sockaddr *)&to, sizeof to);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
        assert_int_equal(error, ECONNREFUSED);
    }
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
        cmocka_unit_test(test_only_tcp_udp_and_icmp_leave),
        cmocka_unit_test(test_tcp_begins_with_a_syn),
        cmocka_unit_test(test_a_guest_does_not_reset_the_hosts_connection),
        cmocka_unit_test(test_a_port_is_free_when_the_host_says_so),
        cmocka_unit_test(test_a_refusal_passes),
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
