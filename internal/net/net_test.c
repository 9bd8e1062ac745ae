/* What a lease's network lets through and what it does not, tried with real packets: a guest made
 * of a kernel stack behind the lease's tap, an outside beyond the uplink, and another lease. Each
 * refusal stands beside a control that passes, so that a dead network can't look like a safe one.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/nft.h"
#include "net/record.h"
#include "testutil/netlab.h"

#define METADATA "169.254.169.254"
#define PORT     LAB_PORT
#define SERVICE  8080  /* of the host */
#define CLIENT   46007 /* of the outside */
#define IN_RANGE 27017 /* of the ports that guests get */
#define CLOSED   LAB_BLOCK_MS
#define OPEN     LAB_REACH_MS

static struct lab_member other; /* of another state directory than the world's two */

static void join(struct lab_member *m, const char *id, const char *state_dir)
{
    struct net_request req = {.lease_id = id,
                              .pool = "10.213.0.0/16",
                              .dns = LAB_HOST "," METADATA,
                              .state_dir = state_dir};
    lab_join(m, &req);
}

static int world_up(void **state)
{
    struct lab_world *w = lab_world_up();
    lab_add_addr(w->lab.outside, "net0", METADATA);
    lab_add_addr(w->lab.outside, "net0", "100.100.100.200");
    join(&w->a, "cbx_00000000000a", "/state/one");
    join(&w->b, "cbx_00000000000b", "/state/one");
    join(&other, "cbx_00000000000c", "/state/two");
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    lab_leave(&other);
    lab_world_down(*state);
    return 0;
}

static void test_guest_to_outside(void **state)
{
    struct lab_world *w = *state;
    char peer[NET_ADDR_SIZE] = "";
    assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, OPEN));
    assert_true(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, peer));
    assert_string_equal(peer, LAB_HOST);
    assert_true(lab_tcp_echoes(w->b.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
    assert_true(lab_tcp_echoes(other.guest.ns, w->tcp, LAB_OUTSIDE, PORT, OPEN));
}

/* Whoever outside connects to a service of the host reaches the host, also where a guest has
 * guessed the client's port and sent to it from the service's: to the kernel that is the answer. */
static void test_a_guest_does_not_answer_for_the_host(void **state)
{
    struct lab_world *w = *state;
    const struct lab_member *m = &w->a;
    struct sockaddr_in client = {.sin_family = AF_INET, .sin_port = htons(CLIENT)},
                       service = {.sin_family = AF_INET, .sin_port = htons(SERVICE)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &client.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET, LAB_HOST, &service.sin_addr), 1);
    /* As on a host whose rules or luck leave the guest its port; and the outside, whose client is
     * not there yet, doesn't refuse. */
    _cleanup_free_ char *keep = xasprintf(
        "flush chain inet %s postrouting\nadd rule inet %s postrouting oifname wan0 masquerade",
        m->n.table, m->n.table);
    lab_nft(w->lab.here, keep);
    lab_nft(w->lab.outside, "table inet quiet { chain in { type filter hook input priority 0; "
                            "tcp dport 46007 tcp flags syn / syn,ack drop; }; }");
    _cleanup_close_ int guest = lab_client(m->guest.ns);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(SERVICE)};
    assert_int_equal(bind(guest, (struct sockaddr *)&from, sizeof from), 0);
    (void)!connect(guest, (struct sockaddr *)&client, sizeof client);
    assert_true(lab_ping(m->guest.ns, LAB_OUTSIDE, OPEN)); /* by now it is through */
    _cleanup_close_ int fd = lab_client(w->lab.outside);
    assert_int_equal(bind(fd, (struct sockaddr *)&client, sizeof client), 0);
    (void)!connect(fd, (struct sockaddr *)&service, sizeof service);
    struct pollfd p = {.fd = guest, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, CLOSED), 0);
    lab_nft(w->lab.outside, "delete table inet quiet");
}

/* And its port is neither where services are, nor one that it chose. */
static void test_a_guest_does_not_choose_its_port_outside(void **state)
{
    struct lab_world *w = *state;
    unsigned kept = 0;
    for (int i = 0; i < 20; i++) {
        char got[8];
        const uint16_t port = (uint16_t)(PORT + 1 + i);
        struct sockaddr_in to = {.sin_family = AF_INET}, from;
        socklen_t len = sizeof from;
        assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
        _cleanup_close_ int at = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", port);
        _cleanup_close_ int fd = lab_socket(w->b.guest.ns, SOCK_DGRAM, "0.0.0.0", IN_RANGE);
        to.sin_port = htons(port);
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
        struct pollfd p = {.fd = at, .events = POLLIN};
        assert_int_equal(poll(&p, 1, OPEN), 1);
        assert_int_equal(recvfrom(at, got, sizeof got, 0, (struct sockaddr *)&from, &len), 1);
        assert_true(ntohs(from.sin_port) >= 20000 && ntohs(from.sin_port) <= 29999);
        kept += from.sin_port == htons(IN_RANGE);
    }
    assert_true(kept < 5);
}

/* The way that SSH takes. */
static void test_host_to_guest(void **state)
{
    struct lab_world *w = *state;
    struct lab_member *all[] = {&w->a, &w->b, &other};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        _cleanup_close_ int listener = lab_socket(all[i]->guest.ns, SOCK_STREAM, "0.0.0.0", 22);
        assert_true(lab_tcp_echoes(w->lab.here, listener, all[i]->n.lease_addr, 22, OPEN));
        assert_true(lab_ping(w->lab.here, all[i]->n.lease_addr, OPEN));
    }
}

static void no_path(struct lab_world *w, struct lab_member *from, struct lab_member *to)
{
    _cleanup_close_ int udp = lab_socket(to->guest.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    _cleanup_close_ int tcp = lab_socket(to->guest.ns, SOCK_STREAM, "0.0.0.0", PORT);
    const char *addr = to->n.lease_addr;
    assert_true(lab_udp_reaches(w->lab.here, udp, addr, PORT, OPEN, NULL));
    assert_false(lab_udp_reaches(from->guest.ns, udp, addr, PORT, CLOSED, NULL));
    assert_false(lab_tcp_echoes(from->guest.ns, tcp, addr, PORT, CLOSED));
    assert_false(lab_ping(from->guest.ns, addr, CLOSED));
    assert_true(lab_tcp_echoes(w->lab.here, tcp, addr, PORT, OPEN));
}

static void test_no_path_between_leases(void **state)
{
    struct lab_world *w = *state;
    no_path(w, &w->a, &w->b);
    no_path(w, &w->b, &w->a);
}

static void test_no_path_between_state_dirs(void **state)
{
    struct lab_world *w = *state;
    assert_string_not_equal(w->a.n.table, other.n.table);
    no_path(w, &w->a, &other);
    no_path(w, &other, &w->a);
}

static void test_metadata_is_blocked(void **state)
{
    struct lab_world *w = *state;
    const char *const addrs[] = {METADATA, "100.100.100.200"};
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        assert_true(lab_tcp_echoes(w->lab.here, w->tcp, addrs[i], PORT, OPEN));
        assert_false(lab_tcp_echoes(w->a.guest.ns, w->tcp, addrs[i], PORT, CLOSED));
        assert_false(lab_udp_reaches(w->a.guest.ns, w->udp, addrs[i], PORT, CLOSED, NULL));
        assert_false(lab_ping(w->a.guest.ns, addrs[i], CLOSED));
    }
    /* Some clouds serve DNS on that address: that alone passes, where it is configured. */
    _cleanup_close_ int dns = lab_socket(w->lab.outside, SOCK_DGRAM, "0.0.0.0", 53);
    assert_true(lab_udp_reaches(w->a.guest.ns, dns, METADATA, 53, OPEN, NULL));
    assert_false(lab_udp_reaches(w->a.guest.ns, dns, "100.100.100.200", 53, CLOSED, NULL));
}

static void test_host_services_are_closed(void **state)
{
    struct lab_world *w = *state;
    _cleanup_close_ int udp = lab_socket(w->lab.here, SOCK_DGRAM, "0.0.0.0", PORT);
    _cleanup_close_ int tcp = lab_socket(w->lab.here, SOCK_STREAM, "0.0.0.0", PORT);
    _cleanup_close_ int dns = lab_socket(w->lab.here, SOCK_DGRAM, "0.0.0.0", 53);
    const char *const addrs[] = {LAB_HOST, w->a.n.host_addr, w->b.n.host_addr};
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        assert_true(lab_udp_reaches(w->lab.here, udp, addrs[i], PORT, OPEN, NULL));
        assert_false(lab_udp_reaches(w->a.guest.ns, udp, addrs[i], PORT, CLOSED, NULL));
        assert_false(lab_tcp_echoes(w->a.guest.ns, tcp, addrs[i], PORT, CLOSED));
    }
    assert_true(lab_udp_reaches(w->a.guest.ns, dns, LAB_HOST, 53, OPEN, NULL));
    assert_false(lab_udp_reaches(w->a.guest.ns, dns, w->a.n.host_addr, 53, CLOSED, NULL));
    assert_true(lab_ping(w->a.guest.ns, LAB_HOST, OPEN));
    /* Nor is the lease's own namespace a place to knock at. */
    _cleanup_close_ int inner = lab_socket(w->a.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    assert_false(lab_udp_reaches(w->a.guest.ns, inner, w->a.n.gateway, PORT, CLOSED, NULL));
    assert_true(lab_ping(w->a.guest.ns, w->a.n.gateway, OPEN));
}

static void test_outside_reaches_no_guest(void **state)
{
    struct lab_world *w = *state;
    _cleanup_close_ int udp = lab_socket(w->a.guest.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    lab_add_route(w->lab.outside, "net0", w->a.n.lease_addr, LAB_HOST);
    assert_true(lab_udp_reaches(w->lab.here, udp, w->a.n.lease_addr, PORT, OPEN, NULL));
    assert_false(lab_udp_reaches(w->lab.outside, udp, w->a.n.lease_addr, PORT, CLOSED, NULL));
    assert_true(lab_ping(w->lab.outside, LAB_HOST, OPEN));
}

/* An IPv4 UDP frame with no payload but its checksum right, so that only its addresses decide. */
static size_t make_frame(uint8_t *f, const char *src_mac, const char *src, const char *dst,
                         uint16_t port)
{
    unsigned m[6] = {0};
    uint32_t s, d, sum = 0;
    assert_int_equal(sscanf(src_mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]),
                     6);
    assert_true(net_parse_ipv4(src, &s) == 0 && net_parse_ipv4(dst, &d) == 0);
    const uint8_t head[12] = {0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0};
    const uint8_t udp[8] = {
        (uint8_t)(port >> 8), (uint8_t)port, (uint8_t)(port >> 8), (uint8_t)port, 0, 8, 0, 0};
    const uint32_t addrs[2] = {htonl(s), htonl(d)};
    uint8_t ip[28];
    memcpy(ip, head, 12);
    memcpy(ip + 12, addrs, 8);
    memcpy(ip + 20, udp, 8);
    const uint8_t gateway[6] = {0x06, 0xfc, 0, 0, 0, 1};
    memset(f, 0, 60);
    memcpy(f, gateway, 6);
    for (int i = 0; i < 6; i++)
        f[6 + i] = (uint8_t)m[i];
    f[12] = ETH_P_IP >> 8;
    memcpy(f + 14, ip, sizeof ip);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    f[24] = (uint8_t)(sum >> 8);
    f[25] = (uint8_t)sum;
    return 60;
}

/* Sends a raw frame out of the guest; true when it shows up on the host's end of the lease. */
static bool frame_passes(struct lab_world *w, const struct lab_member *m, const uint8_t *frame,
                         size_t len, int wait_ms)
{
    uint8_t got[2048];
    _cleanup_close_ int in = lab_packet_socket(w->lab.here, m->n.veth);
    _cleanup_close_ int out = lab_packet_socket(m->guest.ns, "eth0");
    assert_int_equal(send(out, frame, len, 0), (ssize_t)len);
    struct deadline d = deadline_in_ms(wait_ms);
    struct pollfd p = {.fd = in, .events = POLLIN};
    while (poll(&p, 1, deadline_poll_ms(&d)) == 1) {
        ssize_t n = recv(in, got, sizeof got, 0);
        /* Past NAT, destination and ports are what is left of it. */
        if (n >= 42 && memcmp(got + 30, frame + 30, 8) == 0 && got[12] == frame[12])
            return true;
    }
    return false;
}

static void test_spoofed_frames_are_dropped(void **state)
{
    struct lab_world *w = *state;
    const struct net_lease *n = &w->a.n;
    uint8_t f[64];
    size_t len = make_frame(f, n->guest_mac, n->guest_addr, LAB_OUTSIDE, PORT);
    assert_true(frame_passes(w, &w->a, f, len, OPEN));
    len = make_frame(f, n->guest_mac, "192.0.2.3", LAB_OUTSIDE, PORT);
    assert_false(frame_passes(w, &w->a, f, len, CLOSED));
    len = make_frame(f, n->guest_mac, w->b.n.lease_addr, LAB_OUTSIDE, PORT);
    assert_false(frame_passes(w, &w->a, f, len, CLOSED));
    len = make_frame(f, n->guest_mac, LAB_OUTSIDE, LAB_OUTSIDE, PORT);
    assert_false(frame_passes(w, &w->a, f, len, CLOSED));
    len = make_frame(f, "02:00:00:00:00:99", n->guest_addr, LAB_OUTSIDE, PORT);
    assert_false(frame_passes(w, &w->a, f, len, CLOSED));
    len = make_frame(f, n->guest_mac, n->guest_addr, LAB_OUTSIDE, PORT);
    assert_true(frame_passes(w, &w->a, f, len, OPEN));
}

/* Whether a frame that the lease's namespace itself sends (a VMM that was taken over) gets out. */
static bool uplink_frame_passes(const struct lab_member *m, const char *src_mac, const char *src,
                                const char *dst, uint16_t port, int server, int wait_ms)
{
    uint8_t f[64], got[64];
    unsigned mac[6];
    size_t len = make_frame(f, src_mac, src, dst, port);
    assert_int_equal(sscanf(m->n.veth_mac, "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3],
                            &mac[4], &mac[5]),
                     6);
    for (int i = 0; i < 6; i++)
        f[i] = (uint8_t)mac[i];
    while (recv(server, got, sizeof got, 0) >= 0)
        continue;
    _cleanup_close_ int out = lab_packet_socket(m->ns, "up0");
    assert_int_equal(send(out, f, len, 0), (ssize_t)len);
    struct pollfd p = {.fd = server, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

static void test_host_trusts_no_lease_namespace(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    const struct net_lease *n = &w->a.n;
    struct net_view v;
    char mac[NET_MAC_SIZE];
    assert_int_equal(net_view(n, &v, &err), 0);
    net_format_mac(v.uplink_mac, mac);
    _cleanup_close_ int b = lab_socket(w->b.guest.ns, SOCK_DGRAM, "0.0.0.0", PORT);
    _cleanup_close_ int dns = lab_socket(w->lab.here, SOCK_DGRAM, LAB_HOST, 53);
    int out = w->udp;
    assert_true(uplink_frame_passes(&w->a, mac, n->lease_addr, LAB_OUTSIDE, PORT, out, OPEN));
    assert_false(
        uplink_frame_passes(&w->a, mac, w->b.n.lease_addr, LAB_OUTSIDE, PORT, out, CLOSED));
    assert_false(uplink_frame_passes(&w->a, mac, "10.9.9.9", LAB_OUTSIDE, PORT, out, CLOSED));
    assert_false(uplink_frame_passes(&w->a, "02:00:00:00:00:99", n->lease_addr, LAB_OUTSIDE, PORT,
                                     out, CLOSED));
    assert_false(uplink_frame_passes(&w->a, mac, n->lease_addr, METADATA, PORT, out, CLOSED));
    assert_false(
        uplink_frame_passes(&w->a, mac, n->lease_addr, w->b.n.lease_addr, PORT, b, CLOSED));
    assert_true(uplink_frame_passes(&w->a, mac, n->lease_addr, LAB_HOST, 53, dns, OPEN));
    assert_false(uplink_frame_passes(&w->a, mac, "10.9.9.9", LAB_HOST, 53, dns, CLOSED));
    assert_true(uplink_frame_passes(&w->a, mac, n->lease_addr, LAB_OUTSIDE, PORT, out, OPEN));
}

/* A packet of no connection (its checksum is wrong) is not masqueraded: it stays inside, or it
 * would carry the lease's address out. */
static void test_host_passes_only_connections(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_view v;
    uint8_t f[64], got[2048];
    char mac[NET_MAC_SIZE];
    bool seen[2] = {false, false};
    assert_int_equal(net_view(&w->a.n, &v, &err), 0);
    net_format_mac(v.uplink_mac, mac);
    _cleanup_close_ int in = lab_packet_socket(w->lab.outside, "net0");
    _cleanup_close_ int out = lab_packet_socket(w->a.ns, "up0");
    for (int good = 0; good < 2; good++) {
        size_t len = make_frame(f, mac, w->a.n.lease_addr, LAB_OUTSIDE, (uint16_t)(PORT + good));
        memcpy(f, v.veth_mac, 6);
        if (!good)
            f[40] = f[41] = 0x55;
        assert_int_equal(send(out, f, len, 0), (ssize_t)len);
    }
    /* The second is behind the first. */
    struct deadline d = deadline_in_ms(OPEN);
    struct pollfd p = {.fd = in, .events = POLLIN};
    while (!seen[1] && poll(&p, 1, deadline_poll_ms(&d)) == 1)
        for (int n = 0; n < 2 && recv(in, got, sizeof got, 0) >= 42; n++)
            for (int i = 0; i < 2; i++)
                seen[i] = seen[i] || (got[23] == 17 && got[36] == (PORT + i) >> 8 &&
                                      got[37] == ((PORT + i) & 255));
    assert_true(seen[1]);
    assert_false(seen[0]);
}

static void test_no_ipv6_way_out(void **state)
{
    struct lab_world *w = *state;
    uint8_t f[64];
    size_t len = make_frame(f, w->a.n.guest_mac, w->a.n.guest_addr, LAB_OUTSIDE, PORT);
    /* To all nodes of the link: a namespace with IPv6 would answer or pass it on. */
    const uint8_t to_all[6] = {0x33, 0x33, 0, 0, 0, 1};
    memcpy(f, to_all, sizeof to_all);
    f[12] = ETH_P_IPV6 >> 8;
    f[13] = ETH_P_IPV6 & 255;
    f[14] = 0x60;
    assert_false(frame_passes(w, &w->a, f, len, CLOSED));
    assert_false(lab_has_ipv6(w->lab.here, w->a.n.veth));
    assert_false(lab_has_ipv6(w->a.ns, "up0"));
    assert_false(lab_has_ipv6(w->a.ns, w->a.n.tap));
    assert_true(lab_has_ipv6(w->lab.here, "wan0"));
}

/* An IPv6 frame from the lease's namespace to an address, as UDP to PORT. The checksum covers the
 * addresses, so it is summed up for real. */
static void make_frame6(uint8_t *f, const struct net_view *v, const char *src, const char *dst)
{
    const uint8_t head[8] = {0x60, 0, 0, 0, 0, 8, 17, 64};
    const uint8_t udp[8] = {PORT >> 8, PORT & 255, PORT >> 8, PORT & 255, 0, 8, 0, 0};
    uint32_t sum = 17 + 8;
    memset(f, 0, 62);
    memcpy(f, v->veth_mac, 6);
    memcpy(f + 6, v->uplink_mac, 6);
    f[12] = ETH_P_IPV6 >> 8;
    f[13] = ETH_P_IPV6 & 255;
    memcpy(f + 14, head, sizeof head);
    assert_int_equal(inet_pton(AF_INET6, src, f + 22), 1);
    assert_int_equal(inet_pton(AF_INET6, dst, f + 38), 1);
    memcpy(f + 54, udp, sizeof udp);
    for (int i = 22; i < 62; i += 2)
        sum += (uint32_t)f[i] << 8 | f[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    f[60] = (uint8_t)(~sum >> 8);
    f[61] = (uint8_t)~sum;
}

static bool frame6_passes(const struct lab_member *m, const char *dst, int server, int wait_ms)
{
    struct error err = ERROR_INIT;
    struct net_view v;
    uint8_t f[64], got[64];
    assert_int_equal(net_view(&m->n, &v, &err), 0);
    make_frame6(f, &v, "fd00:213::2", dst);
    while (recv(server, got, sizeof got, 0) >= 0)
        continue;
    _cleanup_close_ int out = lab_packet_socket(m->ns, "up0");
    assert_int_equal(send(out, f, 62, 0), 62);
    struct pollfd p = {.fd = server, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

/* An administrator who turns IPv6 on everywhere, leases included, and forwards it. */
static void test_ipv6_turned_on_later(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    char path[64];
    lab_add_addr6(w->lab.here, "wan0", "fd00:198::1");
    lab_add_addr6(w->lab.outside, "net0", "fd00:198::2");
    lab_sysctl(w->lab.here, "net/ipv6/conf/all/forwarding", "1");
    (void)snprintf(path, sizeof path, "net/ipv6/conf/%s/disable_ipv6", w->a.n.veth);
    lab_sysctl(w->lab.here, path, "0");
    lab_add_addr6(w->lab.here, w->a.n.veth, "fd00:213::1"); /* so that the way back exists */
    _cleanup_close_ int outside = lab_socket6(w->lab.outside, PORT);
    _cleanup_close_ int here = lab_socket6(w->lab.here, PORT);
    assert_false(frame6_passes(&w->a, "fd00:198::2", outside, CLOSED));
    assert_false(frame6_passes(&w->a, "fd00:198::1", here, CLOSED));
    /* The same frames pass when the rules are away: it is they that hold. */
    _cleanup_strbuf_ struct strbuf flush = STRBUF_INIT;
    strbuf_addf(&flush, "add table inet %s { flags dormant; }", w->a.n.table);
    assert_int_equal(nft_run(flush.buf, "rules asleep", &err), 0);
    bool passed_out = frame6_passes(&w->a, "fd00:198::2", outside, OPEN);
    bool passed_in = frame6_passes(&w->a, "fd00:198::1", here, OPEN);
    strbuf_reset(&flush);
    strbuf_addf(&flush, "add table inet %s", w->a.n.table);
    assert_int_equal(nft_run(flush.buf, "rules awake", &err), 0);
    assert_true(passed_out);
    assert_true(passed_in);
    assert_false(frame6_passes(&w->a, "fd00:198::2", outside, CLOSED));
}

/* A narrower way out: the host says so, and the message finds the guest through both translations.
 */
static void test_path_mtu(void **state)
{
    struct lab_world *w = *state;
    static uint8_t big[1460];
    int df = IP_PMTUDISC_DO;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    assert_int_equal(inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr), 1);
    lab_mtu(w->lab.here, "wan0", 1300);
    _cleanup_close_ int fd = lab_socket(w->a.guest.ns, SOCK_DGRAM, NULL, 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &df, sizeof df), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, big, sizeof big, 0), sizeof big);
    struct pollfd p = {.fd = fd, .events = POLLERR};
    assert_int_equal(poll(&p, 1, OPEN), 1);
    int mtu = 0;
    socklen_t size = sizeof mtu;
    assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size), 0);
    assert_int_equal(mtu, 1300);
    lab_mtu(w->lab.here, "wan0", 1500);
}

static void test_watch_sees_only_the_guest(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_lease n = w->a.n;
    _cleanup_close_ int fd = net_watch_guest(w->a.ns, &n, &err);
    assert_true(fd >= 0);
    (void)str_copy(n.guest_mac, sizeof n.guest_mac, "02:00:00:00:00:99");
    _cleanup_close_ int stranger = net_watch_guest(w->a.ns, &n, &err);
    assert_true(stranger >= 0);
    assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, OPEN));
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = stranger, .events = POLLIN}};
    assert_int_equal(poll(p, 2, OPEN), 1);
    assert_true(p[0].revents & POLLIN);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_to_outside),
        cmocka_unit_test(test_host_to_guest),
        cmocka_unit_test(test_a_guest_does_not_choose_its_port_outside),
        cmocka_unit_test(test_no_path_between_leases),
        cmocka_unit_test(test_no_path_between_state_dirs),
        cmocka_unit_test(test_metadata_is_blocked),
        cmocka_unit_test(test_host_services_are_closed),
        cmocka_unit_test(test_outside_reaches_no_guest),
        cmocka_unit_test(test_spoofed_frames_are_dropped),
        cmocka_unit_test(test_host_trusts_no_lease_namespace),
        cmocka_unit_test(test_host_passes_only_connections),
        cmocka_unit_test(test_no_ipv6_way_out),
        cmocka_unit_test(test_ipv6_turned_on_later),
        cmocka_unit_test(test_path_mtu),
        cmocka_unit_test(test_watch_sees_only_the_guest),
        cmocka_unit_test(test_a_guest_does_not_answer_for_the_host), /* changes the rules */
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
