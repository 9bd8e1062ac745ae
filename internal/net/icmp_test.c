/* What a guest says by ICMP about connections of its own, and who hears it. */
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/ns.h"
#include "testutil/netlab.h"

#define FROM 4000
#define TO   4001

static int world_up(void **state)
{
    *state = lab_world_up();
    return 0;
}

static int world_down(void **state)
{
    lab_world_down(*state);
    return 0;
}

static int raw_icmp(void *arg, struct error *err)
{
    (void)arg;
    (void)err;
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
}

static uint16_t checksum(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* An error about an answer from `outside` to the guest. */
struct said {
    struct icmphdr icmp;
    struct iphdr ip;
    struct udphdr udp;
};

static struct said about(const char *guest, const char *outside, uint8_t type, uint8_t code)
{
    struct said s = {
        .icmp = {.type = type, .code = code},
        .ip = {.version = 4, .ihl = 5, .ttl = 60, .protocol = IPPROTO_UDP, .tot_len = htons(1400)},
        .udp = {.source = htons(TO), .dest = htons(FROM), .len = htons(1380)}};
    assert_int_equal(inet_pton(AF_INET, outside, &s.ip.saddr), 1);
    assert_int_equal(inet_pton(AF_INET, guest, &s.ip.daddr), 1);
    if (code == ICMP_FRAG_NEEDED)
        s.icmp.un.frag.mtu = htons(600);
    s.ip.check = checksum(&s.ip, sizeof s.ip);
    s.icmp.checksum = checksum(&s, sizeof s);
    return s;
}

static void open_flow(int guest_ns, const char *to)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(TO)};
    _cleanup_close_ int s = lab_socket(guest_ns, SOCK_DGRAM, "0.0.0.0", FROM);
    assert_int_equal(inet_pton(AF_INET, to, &at.sin_addr), 1);
    assert_int_equal(sendto(s, "x", 1, 0, (struct sockaddr *)&at, sizeof at), 1);
    assert_true(lab_ping(guest_ns, LAB_OUTSIDE, LAB_REACH_MS)); /* it has got there */
}

static bool arrives(int from, int at, const char *to, const struct said *s)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    uint8_t got[256];
    assert_int_equal(inet_pton(AF_INET, to, &there.sin_addr), 1);
    assert_int_equal(sendto(from, s, sizeof *s, 0, (struct sockaddr *)&there, sizeof there),
                     sizeof *s);
    struct pollfd p = {.fd = at, .events = POLLIN};
    bool expected = s->icmp.type == ICMP_DEST_UNREACH && s->icmp.code == ICMP_PORT_UNREACH;
    while (poll(&p, 1, expected ? LAB_REACH_MS : LAB_BLOCK_MS) == 1)
        if (recv(at, got, sizeof got, 0) >= 28 && got[20] == s->icmp.type &&
            got[21] == s->icmp.code)
            return true;
    return false;
}

static void try_errors(const struct lab_world *w, struct lab_member *m)
{
    static const struct {
        uint8_t type, code;
        bool arrives;
    } errors[] = {{ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, true},
                  {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, false},
                  {ICMP_REDIRECT, ICMP_REDIR_HOST, false},
                  {ICMP_SOURCE_QUENCH, 0, false}};
    struct error err = ERROR_INIT;
    _cleanup_close_ int from = ns_run(m->guest.ns, raw_icmp, NULL, &err);
    _cleanup_close_ int at = ns_run(w->lab.outside, raw_icmp, NULL, &err);
    assert_true(from >= 0 && at >= 0);
    open_flow(m->guest.ns, LAB_OUTSIDE);
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct said s = about(m->n.guest_addr, LAB_OUTSIDE, errors[i].type, errors[i].code);
        if (arrives(from, at, LAB_OUTSIDE, &s) != errors[i].arrives)
            fail_msg("ICMP %d/%d of a guest %s", errors[i].type, errors[i].code,
                     errors[i].arrives ? "is dropped" : "gets outside");
    }
}

/* "Fragmentation needed" would count for all of the host's connections to that server. */
static void test_a_guest_tells_no_one_about_routes(void **state)
{
    struct lab_world *w = *state;
    lab_join_by_id(&w->a, "cbx_0000000000a1");
    try_errors(w, &w->a);
}

static void test_nor_from_a_chain(void **state)
{
    struct lab_world *w = *state;
    struct lab_member c;
    lab_join_chain(w, 0, false, &c);
    lab_add_route(w->lab.outside, "net0", LAB_CHAIN_LEASE, LAB_HOST);
    try_errors(w, &c);
    lab_leave_chain(0, &c);
}

/* As if the guest had talked its namespace into letting everything through. */
static void test_the_host_trusts_no_namespace(void **state)
{
    struct lab_world *w = *state;
    lab_join_by_id(&w->a, "cbx_0000000000a1");
    lab_nft(w->a.ns, "flush chain inet crabbox forward; "
                     "add rule inet crabbox forward accept");
    try_errors(w, &w->a);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {T(test_a_guest_tells_no_one_about_routes),
                                       T(test_nor_from_a_chain),
                                       T(test_the_host_trusts_no_namespace)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
