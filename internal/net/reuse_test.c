/* An address passes to the next lease: the host's clients of the first one don't know that. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/flows.h"
#include "net/link.h"
#include "net/ns.h"
#include "net/record.h"
#include "sys/spawn.h"
#include "testutil/netlab.h"

#define SERVICE 8080

static int world_up(void **state)
{
    assert_true(lab_enter());
    *state = lab_world_up();
    return 0;
}

static int world_down(void **state)
{
    lab_world_down(*state);
    return 0;
}

/* The host's client of the guest's service, with either family; gives the guest's end. */
static int connect_to(const struct lab_member *m, int listener, int client, bool mapped)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(SERVICE)};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(SERVICE)};
    _cleanup_free_ char *text = xasprintf("::ffff:%s", m->n.lease_addr);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(inet_pton(AF_INET, m->n.lease_addr, &to.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET6, text, &to6.sin6_addr), 1);
    int r = mapped ? connect(client, (struct sockaddr *)&to6, sizeof to6)
                   : connect(client, (struct sockaddr *)&to, sizeof to);
    assert_true(r == 0 || errno == EINPROGRESS);
    if (listener < 0)
        return -1;
    assert_int_equal(poll(&p, 1, LAB_REACH_MS), 1);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(peer >= 0);
    p = (struct pollfd){.fd = client, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, LAB_REACH_MS), 1);
    return peer;
}

/* And then the guest says nothing more, not even goodbye. */
static void connect_and_mute(const struct lab_member *m, int client)
{
    _cleanup_close_ int listener = lab_socket(m->guest.ns, SOCK_STREAM, "0.0.0.0", SERVICE);
    _cleanup_close_ int peer = connect_to(m, listener, client, false);
    lab_nft(m->guest.ns, "table inet mute { chain out { type filter hook output priority 0; "
                         "policy drop; }; }");
}

static int error_of(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
    return e;
}

/* Whether any TCP reached the guest, as its own kernel sees it. */
static bool reached(int packets)
{
    uint8_t frame[2048];
    bool any = false;
    for (ssize_t n; (n = recv(packets, frame, sizeof frame, 0)) >= 0;)
        any = any || (n >= 34 && frame[12] == 8 && frame[13] == 0 && frame[23] == IPPROTO_TCP);
    return any;
}

/* What the client sends next is not for `next`, and the reset tells it so. */
static void assert_is_reset(const struct lab_world *w, const struct lab_member *next, int client)
{
    _cleanup_close_ int packets = lab_packet_socket(next->guest.ns, "eth0");
    struct pollfd p = {.fd = client, .events = POLLIN};
    assert_int_equal(send(client, "secret", 6, MSG_NOSIGNAL), 6);
    assert_int_equal(poll(&p, 1, LAB_REACH_MS), 1);
    assert_int_equal(error_of(client), ECONNRESET);
    /* Behind everything else on that way. */
    assert_true(lab_ping(w->lab.here, next->n.lease_addr, LAB_REACH_MS));
    assert_false(reached(packets));
    _cleanup_close_ int listener = lab_socket(next->guest.ns, SOCK_STREAM, "0.0.0.0", SERVICE);
    assert_true(lab_tcp_echoes(w->lab.here, listener, next->n.lease_addr, SERVICE, LAB_REACH_MS));
    assert_true(reached(packets));
}

/* Its VMM was killed, and nobody has undone it when the next lease gets the address. */
static void test_a_connection_to_the_first_lease_is_reset(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct link_info link;
    lab_join_by_id(&w->a, "cbx_00000000000a");
    struct net_lease first = w->a.n;
    _cleanup_close_ int client = lab_client(w->lab.here);
    connect_and_mute(&w->a, client);
    lab_kill(&w->a);
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    if (link_find(sk, first.veth, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, first.veth, &err), 0);
    (void)str_copy(w->a.n.veth_mac, sizeof w->a.n.veth_mac, "02:aa:bb:cc:dd:ee");
    w->a.ns = lab_apply(&w->a.n);
    lab_guest_start(&w->a.guest, w->a.ns, &w->a.n);
    assert_is_reset(w, &w->a, client);
    lab_undo(&first);
}

static void test_sockets_end_with_the_lease(void **state)
{
    struct lab_world *w = *state;
    lab_join_by_id(&w->a, "cbx_00000000000a");
    lab_join_by_id(&w->b, "cbx_00000000000b");
    _cleanup_close_ int at_b = lab_socket(w->b.guest.ns, SOCK_STREAM, "0.0.0.0", SERVICE);
    _cleanup_close_ int stays = lab_client(w->lab.here);
    _cleanup_close_ int peer = connect_to(&w->b, at_b, stays, false);
    int ends[3] = {lab_client(w->lab.here),
                   socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                   socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    _cleanup_close_ int at_a = lab_socket(w->a.guest.ns, SOCK_STREAM, "0.0.0.0", SERVICE);
    _cleanup_close_ int one = connect_to(&w->a, at_a, ends[1], true);
    (void)connect_to(&w->a, -1, ends[2], false);
    CLOSE_FD(at_a);
    connect_and_mute(&w->a, ends[0]);
    lab_leave(&w->a);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        assert_int_equal(error_of(ends[i]), ECONNABORTED);
        (void)close(ends[i]);
    }
    char byte;
    assert_int_equal(error_of(stays), 0);
    assert_int_equal(send(stays, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(peer, &byte, 1, 0), 1);
}

static bool has_metrics(const char *addr)
{
    const char *const argv[] = {"ip", "tcp_metrics", "show", addr, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    spec.argv = argv;
    assert_int_equal(spawn_run(&spec, NULL, 4096, &out, NULL, &st, &err), 0);
    return strstr(out.buf, addr) != NULL; /* it fails where there is none */
}

/* How fast the first lease took what it was sent is nothing to the next one. */
static void test_metrics_go_with_the_lease(void **state)
{
    struct lab_world *w = *state;
    lab_join_by_id(&w->a, "cbx_00000000000a");
    _cleanup_free_ char *addr = xstrdup(w->a.n.lease_addr);
    _cleanup_close_ int listener = lab_socket(w->a.guest.ns, SOCK_STREAM, "0.0.0.0", SERVICE);
    char byte;
    int client = lab_client(w->lab.here);
    int peer = connect_to(&w->a, listener, client, false);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(peer, &byte, 1, 0), 1);
    (void)close(client); /* which waits for the peer's end, and keeps the metrics */
    assert_int_equal(recv(peer, &byte, 1, 0), 0);
    (void)close(peer);
    assert_true(lab_ping(w->a.guest.ns, w->a.n.gateway, LAB_REACH_MS)); /* behind its FIN */
    assert_true(has_metrics(addr));
    lab_leave(&w->a);
    assert_false(has_metrics(addr));
}

static int forget_in_lease(void *arg, struct error *err)
{
    const struct lab_member *m = arg;
    uint32_t addr;
    return net_parse_ipv4(m->n.lease_addr, &addr) < 0 ? -1 : flows_forget(addr, err);
}

/* A client beyond the host can't be told by its socket. The lease's namespace is as new to it as
 * the next one's. */
static void test_a_connection_over_a_chain_is_reset(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    for (int peers = 0; peers < 2; peers++) {
        struct lab_member m;
        lab_join_chain(w, 0, peers, &m);
        _cleanup_close_ int client = lab_client(w->lab.here);
        connect_and_mute(&m, client);
        assert_int_equal(ns_run(m.ns, forget_in_lease, &m, &err), 0);
        lab_nft(m.guest.ns, "delete table inet mute");
        assert_is_reset(w, &m, client);
        lab_leave_chain(0, &m);
    }
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_a_connection_to_the_first_lease_is_reset),
        T(test_sockets_end_with_the_lease),
        T(test_metrics_go_with_the_lease),
        T(test_a_connection_over_a_chain_is_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
