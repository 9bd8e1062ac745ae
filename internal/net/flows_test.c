/* A lease's entries in the host's table of connections: they go with it, and only they do. */
#include "net/flows.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/link.h"
#include "net/nft.h"
#include "net/record.h"
#include "net/rules.h"
#include "testutil/netlab.h"

#define PORT LAB_PORT
#define OPEN LAB_REACH_MS

/* What libnl does, and then, while `opener` is set, a new connection: whoever waits for the answer
 * to a removal finds another one to remove. */
static int opener = -1;
int nl_wait_for_ack(struct nl_sock *sk);
int nl_wait_for_ack(struct nl_sock *sk)
{
    static uint16_t port = 20000;
    int (*real)(struct nl_sock *);
    *(void **)&real = dlsym(RTLD_NEXT, "nl_wait_for_ack");
    int r = real(sk);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (opener >= 0) {
        (void)inet_pton(AF_INET, LAB_OUTSIDE, &to.sin_addr);
        (void)!sendto(opener, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        port++;
    }
    return r;
}

static int world_up(void **state)
{
    assert_true(lab_enter());
    struct lab_world *w = lab_world_up();
    lab_join_by_id(&w->a, "cbx_00000000000a");
    lab_join_by_id(&w->b, "cbx_00000000000b");
    lab_keep_flows(w->lab.here);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    lab_world_down(*state);
    return 0;
}

/* A datagram's worth of connection for each of some ports, and one for the ping behind them. */
static void open_some(int ns, unsigned n)
{
    lab_scan_ports(ns, LAB_OUTSIDE, 30000, n);
}

static long flows_of(const struct lab_world *w, const struct net_lease *n)
{
    return lab_flows_of(w->lab.here, n->lease_addr);
}

/* The link of a lease whose namespace died: the kernel takes its time over it, now it is gone. */
static void delete_link(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    if (link_find(sk, n->veth, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, n->veth, &err), 0);
}

static bool has_link(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct link_info link;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    int found = link_find(sk, n->veth, &link, &err);
    assert_true(found >= 0);
    return found;
}

/* When it ends, its entries go and the others' stay; the host connects. */
static void test_a_lease_takes_its_connections_along(void **state)
{
    struct lab_world *w = *state;
    open_some(w->lab.here, 50);
    open_some(w->a.guest.ns, 500);
    open_some(w->b.guest.ns, 60);
    assert_int_equal(flows_of(w, &w->a.n), 501);
    lab_leave(&w->a);
    assert_int_equal(flows_of(w, &w->a.n), 0);
    assert_int_equal(flows_of(w, &w->b.n), 61);
    assert_true(lab_flows_of(w->lab.here, LAB_HOST) >= 51);
    lab_assert_host_connects(w);
    lab_join_by_id(&w->a, "cbx_00000000000a");
    assert_true(lab_udp_reaches(w->a.guest.ns, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL));
}

/* Where the kernel removes by address, and where each entry is looked at. */
static void test_only_the_address_is_forgotten(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_view v;
    int (*const ways[])(uint32_t, struct error *) = {flows_forget, flows_forget_each};
    assert_int_equal(net_view(&w->a.n, &v, &err), 0);
    open_some(w->lab.here, 50);
    open_some(w->b.guest.ns, 60);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        _cleanup_close_ int ssh = lab_socket(w->a.guest.ns, SOCK_STREAM, "0.0.0.0", 22);
        open_some(w->a.guest.ns, 70);
        assert_int_equal(flows_of(w, &w->a.n), 71);
        assert_true(lab_tcp_echoes(w->lab.here, ssh, w->a.n.lease_addr, 22, OPEN));
        /* An address that nobody has, and one that begins alike. */
        assert_int_equal(ways[i](v.lease_addr + 2, &err), 0);
        assert_int_equal(ways[i](0xc6120099 /* 198.18.0.153 */, &err), 0);
        assert_true(flows_of(w, &w->a.n) >= 71);
        assert_int_equal(ways[i](v.lease_addr, &err), 0);
        assert_int_equal(flows_of(w, &w->a.n), 0);
        assert_int_equal(flows_of(w, &w->b.n), 61);
        assert_true(lab_flows_of(w->lab.here, LAB_HOST) >= 51);
    }
}

/* A rule of the host's, or a helper of its kernel, sends to the lease what was for another address.
 * The lease's own address is only the answers' source, or where they go. */
static void test_what_was_translated_is_forgotten(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_view v;
    int (*const ways[])(uint32_t, struct error *) = {flows_forget, flows_forget_each};
    assert_int_equal(net_view(&w->a.n, &v, &err), 0);
    _cleanup_free_ char *rules = xasprintf(
        "table inet admins {\n"
        "chain to { type nat hook output priority -100; ip daddr 198.18.0.77 dnat ip to %s; }\n"
        "chain as { type nat hook postrouting priority 90; ip daddr 198.18.0.2 udp dport %d "
        "snat ip to %s; }\n}\n",
        w->a.n.lease_addr, PORT, w->a.n.lease_addr);
    lab_nft(w->lab.here, rules);
    lab_add_route(w->lab.here, w->a.n.veth, "198.18.0.77", w->a.n.lease_addr);
    _cleanup_close_ int ssh = lab_socket(w->a.guest.ns, SOCK_STREAM, "0.0.0.0", 22);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        assert_true(lab_tcp_echoes(w->lab.here, ssh, "198.18.0.77", 22, OPEN));
        assert_int_equal(flows_of(w, &w->a.n), 1);
        (void)lab_udp_reaches(w->lab.here, w->udp, LAB_OUTSIDE, PORT, OPEN, NULL);
        assert_int_equal(flows_of(w, &w->a.n), 2);
        assert_int_equal(ways[i](v.lease_addr, &err), 0);
        assert_int_equal(flows_of(w, &w->a.n), 0);
    }
    lab_nft(w->lab.here, "delete table inet admins");
}

/* Who is told that all entries are gone may rely on it. */
static void test_new_ones_without_end_are_an_error(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    const uint32_t host = 0xc6120001; /* LAB_HOST */
    open_some(w->lab.here, 10);
    opener = lab_socket(w->lab.here, SOCK_DGRAM, LAB_HOST, 0);
    int r = flows_forget_each(host, &err);
    CLOSE_FD(opener);
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERR_NET);
    assert_non_null(strstr(err.msg, "keep appearing"));
    assert_true(lab_flows_of(w->lab.here, LAB_HOST) > 0);
    assert_int_equal(flows_forget_each(host, &err), 0);
    assert_int_equal(lab_flows_of(w->lab.here, LAB_HOST), 0);
}

/* The lease's processes were killed, and its link with them; nothing of it is left but a record,
 * the entries, and its name in the table. */
static void test_undo_without_a_link(void **state)
{
    struct lab_world *w = *state;
    open_some(w->a.guest.ns, 40);
    open_some(w->b.guest.ns, 60);
    lab_kill(&w->a);
    delete_link(&w->a.n);
    assert_int_equal(flows_of(w, &w->a.n), 41);
    lab_undo(&w->a.n);
    assert_false(has_link(&w->a.n));
    assert_int_equal(flows_of(w, &w->a.n), 0);
    assert_int_equal(flows_of(w, &w->b.n), 61);
    lab_join_by_id(&w->a, "cbx_00000000000a");
}

/* By then another lease may have the address: what the first one left is not the second one's, and
 * the first one's undoing, however late, is not the second one's end. */
static void test_late_undo_spares_the_next_lease(void **state)
{
    struct lab_world *w = *state;
    open_some(w->a.guest.ns, 40);
    struct net_lease first = w->a.n;
    lab_kill(&w->a);
    delete_link(&first);
    (void)str_copy(w->a.n.veth_mac, sizeof w->a.n.veth_mac, "02:aa:bb:cc:dd:ee");
    w->a.ns = lab_apply(&w->a.n);
    assert_int_equal(flows_of(w, &first), 0);
    lab_guest_start(&w->a.guest, w->a.ns, &w->a.n);
    open_some(w->a.guest.ns, 30);
    assert_int_equal(flows_of(w, &w->a.n), 31);
    lab_undo(&first);
    assert_int_equal(flows_of(w, &w->a.n), 31);
    assert_true(has_link(&w->a.n));
}

/* The loser of a race for an address has its link, but not the address. */
static void test_the_loser_of_an_address_forgets_nothing(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_lease wide = w->a.n;
    wide.slot += 1 << 14;
    (void)snprintf(wide.veth, sizeof wide.veth, NET_LINK_PREFIX "%u", wide.slot);
    (void)str_copy(wide.veth_mac, sizeof wide.veth_mac, "02:aa:bb:cc:dd:ee");
    open_some(w->a.guest.ns, 30);
    assert_int_equal(flows_of(w, &w->a.n), 31);
    assert_int_equal(net_apply(&wide, &err), -1);
    assert_int_equal(err.kind, ERR_EXISTS);
    assert_int_equal(flows_of(w, &w->a.n), 31);
    lab_undo(&wide);
    assert_int_equal(flows_of(w, &w->a.n), 31);
}

/* Whether the kernel has what the rules need is asked without a trace. */
static void test_the_rules_are_tried_without_a_trace(void **state)
{
    struct lab_world *w = *state;
    struct error err = ERROR_INIT;
    struct net_found found[8];
    int before = net_scan(found, 8, &err);
    assert_int_equal(rules_try(&err), 0);
    assert_int_equal(flows_check(&err), 0);
    assert_int_equal(nft_try("add table inet crabbox_fc_00000007", "a table", &err), 0);
    assert_int_equal(net_scan(found, 8, &err), before);
    assert_int_equal(nft_try("add rule inet nobody nothing accept", "no table", &err), -1);
    assert_int_equal(err.sys, ENOENT);
    lab_assert_host_connects(w);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_a_lease_takes_its_connections_along),
        T(test_only_the_address_is_forgotten),
        T(test_what_was_translated_is_forgotten),
        T(test_new_ones_without_end_are_an_error),
        T(test_undo_without_a_link),
        T(test_late_undo_spares_the_next_lease),
        T(test_the_loser_of_an_address_forgets_nothing),
        T(test_the_rules_are_tried_without_a_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
