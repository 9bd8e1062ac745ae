/* Which way guests' packets go on hosts with more than one way: VPNs, routing rules, links
 * that don't forward. Each host is made in a namespace; a lease is made there and asks, and
 * doctor's question without a lease has to get the same answer. */
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/link.h"
#include "net/record.h"
#include "net/way.h"
#include "sys/spawn.h"
#include "testutil/netlab.h"

#define POOL   "10.213.0.0/16"
#define SERVER "192.0.2.53"

static void shell(const char *script)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    const char *const argv[] = {"sh", "-ec", script, NULL};
    spec.argv = argv;
    assert_int_equal(spawn_run(&spec, NULL, 4096, NULL, &errout, &st, NULL), 0);
    if (!st.exited || st.code != 0)
        fail_msg("%s: %s", script, errout.buf);
}

/* Two links up, a0 203.0.113.1/24 and b0 10.9.0.2/24; nothing forwards and nothing is strict. */
static int host_up(void **state)
{
    (void)state;
    assert_true(lab_enter());
    shell("for l in a b; do ip link add ${l}0 type veth peer name ${l}1; ip link set ${l}0 up; "
          "ip link set ${l}1 up; done; ip addr add 203.0.113.1/24 dev a0; "
          "ip addr add 10.9.0.2/24 dev b0; cd /proc/sys/net/ipv4/conf; "
          "for c in *; do echo 0 >$c/rp_filter; echo 0 >$c/forwarding; done");
    return 0;
}

struct host {
    const char *script;
    enum net_way_end end;
    const char *dev;
    const char *says; /* of net_way_check() or net_way_doubt(); NULL: nothing */
};

#define TO_A     "ip route add default via 203.0.113.9; "
#define FORWARDS "echo 1 >/proc/sys/net/ipv4/ip_forward; "
/* As wg-quick and OpenVPN make them. */
#define TUNNEL   "ip route add default via 10.9.0.1 dev b0 table 77; "
#define SUPPRESS "ip rule add pref 100 lookup main suppress_prefixlength 0; "
#define HALVES                                                                                     \
    "ip route add 0.0.0.0/1 via 10.9.0.1; "                                                        \
    "ip route add 128.0.0.0/1 via 10.9.0.1; "

static const struct host hosts[] = {
    {TO_A FORWARDS, NET_WAY_OUT, "a0", NULL},
    {"", NET_WAY_NONE, "", NULL},
    {FORWARDS, NET_WAY_NONE, "", NULL},
    {TO_A, NET_WAY_NOT_FORWARDED, "a0", "sysctl -w net.ipv4.conf.a0.forwarding=1"},
    {TO_A "echo 1 >/proc/sys/net/ipv4/conf/a0/forwarding; ", NET_WAY_OUT, "a0", NULL},
    {TO_A "echo 1 >/proc/sys/net/ipv4/conf/b0/forwarding; ", NET_WAY_NOT_FORWARDED, "a0",
     "on the link a0"},
    /* VPNs */
    {TO_A HALVES FORWARDS, NET_WAY_OUT, "b0", NULL},
    {TO_A HALVES "echo 1 >/proc/sys/net/ipv4/conf/a0/forwarding; ", NET_WAY_NOT_FORWARDED, "b0",
     "conf.b0.forwarding=1"},
    {TO_A TUNNEL SUPPRESS "ip rule add pref 101 lookup 77; " FORWARDS, NET_WAY_OUT, "b0", NULL},
    {TO_A TUNNEL SUPPRESS "ip rule add pref 101 lookup 77; "
                          "echo 1 >/proc/sys/net/ipv4/conf/a0/forwarding; ",
     NET_WAY_NOT_FORWARDED, "b0", "conf.b0.forwarding=1"},
    {TO_A TUNNEL FORWARDS "ip rule add pref 101 lookup 77; ", NET_WAY_HOST, "b0",
     "ip rule add pref 1 to " POOL " lookup main"},
    {TO_A TUNNEL FORWARDS "ip rule add pref 101 lookup 77; "
                          "ip rule add pref 1 to " POOL " lookup main; ",
     NET_WAY_OUT, "b0", NULL},
    /* Several defaults, rules for guests only */
    {"ip route add default via 203.0.113.9 metric 200; "
     "ip route add default via 10.9.0.1 metric 100; " FORWARDS
     "echo 0 >/proc/sys/net/ipv4/conf/a0/forwarding; ",
     NET_WAY_OUT, "b0", NULL},
    {TO_A TUNNEL "ip rule add pref 100 from " POOL " lookup 77; "
                 "echo 1 >/proc/sys/net/ipv4/conf/a0/forwarding; ",
     NET_WAY_NOT_FORWARDED, "b0", "conf.b0.forwarding=1"},
    {TUNNEL FORWARDS "ip rule add pref 100 from " POOL " lookup 77; ", NET_WAY_OUT, "b0", NULL},
    {TUNNEL FORWARDS "ip rule add pref 100 iif lo lookup 77; "
                     "ip rule add pref 99 to " POOL " lookup main; ",
     NET_WAY_REFUSED, "b0", "refuse guests"},
    {TO_A FORWARDS "ip rule add pref 100 from " POOL " prohibit; ", NET_WAY_REFUSED, "a0",
     "ip rule"},
    {TO_A FORWARDS "ip rule add pref 100 from " POOL " blackhole; ", NET_WAY_REFUSED, "a0",
     "refuse guests"},
    {TO_A FORWARDS "ip rule add pref 100 from " POOL " unreachable; ", NET_WAY_REFUSED, "a0",
     "refuse guests"},
    {FORWARDS "ip route add blackhole default; ", NET_WAY_NONE, "", NULL},
    {FORWARDS "ip route add unreachable default metric 5; ", NET_WAY_NONE, "", NULL},
    {FORWARDS "ip route add prohibit default; ip route add 64.0.0.0/2 via 10.9.0.1; ", NET_WAY_OUT,
     "b0", NULL},
    /* A strict reverse path filter follows the same rules. */
    {TO_A TUNNEL FORWARDS "ip rule add pref 100 from " POOL " lookup 77; "
                          "ip rule add pref 99 to " POOL " lookup main; "
                          "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; ",
     NET_WAY_OUT, "b0", NULL},
    {TO_A FORWARDS "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; ", NET_WAY_OUT, "a0", NULL},
    /* A DNS server on a link of its own */
    {TO_A FORWARDS "ip route add " SERVER " via 10.9.0.1; "
                   "echo 0 >/proc/sys/net/ipv4/conf/b0/forwarding; ",
     NET_WAY_NOT_FORWARDED, "b0", "no answer from " SERVER},
    {TO_A FORWARDS "ip addr add " SERVER "/32 dev b0; ", NET_WAY_OUT, "a0", NULL},
    {TO_A FORWARDS "ip route add prohibit " SERVER "; ", NET_WAY_OUT, "a0", NULL},
    /* Rules for what comes in on the uplink, as a VRF has them too */
    {TO_A TUNNEL FORWARDS "ip rule add pref 100 iif a0 lookup 77; ", NET_WAY_ASTRAY, "a0",
     "ip rule add pref 1 to " POOL " lookup main"},
    {TO_A FORWARDS "ip rule add pref 100 iif a0 to " POOL " blackhole; ", NET_WAY_ASTRAY, "a0",
     "drop it or send it elsewhere"},
    /* IPv6 alone */
    {FORWARDS "echo 0 >/proc/sys/net/ipv6/conf/a0/disable_ipv6; "
              "ip addr add 2001:db8::2/64 dev a0 nodad; ip -6 route add default via 2001:db8::1; ",
     NET_WAY_IPV6, "", "IPv6 only"},
    /* A link with a dot in its name */
    {"ip link add a0.7 type veth peer name c1; ip link set c1 up; ip link set a0.7 up; "
     "ip addr add 203.0.112.1/24 dev a0.7; ip route add default via 203.0.112.9; ",
     NET_WAY_NOT_FORWARDED, "a0.7", "net.ipv4.conf.a0/7.forwarding=1"},
};

static void judge(const struct host *h, const struct net_way *w, const char *whose)
{
    struct error err = ERROR_INIT;
    if (w->end != h->end || !str_eq(w->dev, h->dev))
        fail_msg("%s: %s answers %d by \"%s\" for %s, not %d by \"%s\"", h->script, whose, w->end,
                 w->dev, w->to, h->end, h->dev);
    int bad = net_way_check(w, POOL, &err) < 0 || net_way_doubt(w, POOL, &err) < 0;
    assert_int_equal(bad, h->says != NULL);
    if (!h->says)
        return;
    assert_non_null(strstr(err.msg, "; next: "));
    if (!strstr(err.msg, h->says))
        fail_msg("%s: \"%s\" does not say %s", h->script, err.msg, h->says);
}

static bool refuses(enum net_way_end end)
{
    return end == NET_WAY_HOST || end == NET_WAY_NOT_FORWARDED;
}

/* What net_apply says is what doctor says. */
static void lease_on(const struct host *h)
{
    struct net_way w;
    struct net_lease n;
    struct error err = ERROR_INIT, said = ERROR_INIT;
    const struct net_request req = {
        .lease_id = "cbx_00000000000a", .pool = POOL, .dns = SERVER, .state_dir = "/state/one"};
    lab_plan(&n, &req);
    _cleanup_close_ int ns = net_apply(&n, &err);
    if (net_way_look(POOL, SERVER, &w, &said) < 0)
        fail_msg("%s: %s", h->script, said.msg);
    judge(h, &w, "doctor");
    assert_int_equal(ns < 0, refuses(h->end));
    if (ns < 0) {
        assert_int_equal(net_way_check(&w, POOL, &said), -1);
        assert_string_equal(err.msg, said.msg);
        return;
    }
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    const uint32_t server = 0xc0000235;
    struct way_lease l = {.servers = &server, .n_servers = 1};
    assert_int_equal(link_index(n.veth, &l.link, &err), 0);
    assert_int_equal(net_parse_ipv4(n.lease_addr, &l.addr), 0);
    assert_int_equal(way_ask(sk, &l, &w, &err), 0);
    judge(h, &w, "a lease");
    lab_undo(&n);
}

static void test_hosts(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct net_found left[2];
        assert_int_equal(host_up(state), 0);
        shell(hosts[i].script[0] ? hosts[i].script : ":");
        lease_on(&hosts[i]);
        assert_int_equal(net_scan(left, 2, NULL), 0);
        assert_int_equal(if_nametoindex("cbx0"), 0);
    }
}

/* Two may look at the same time, and a small pool may be full. */
static void test_a_slot_that_is_taken(void **state)
{
    struct net_way w;
    struct error err = ERROR_INIT;
    assert_int_equal(host_up(state), 0);
    shell(TO_A FORWARDS "ip link add cbx0 type bridge; ip link add cbx1 type bridge; ");
    assert_int_equal(net_way_look(POOL, SERVER, &w, &err), 0);
    assert_int_equal(w.end, NET_WAY_OUT);
    shell("ip link add cbx2 type bridge; ip link add cbx3 type bridge; ");
    assert_int_equal(net_way_look("10.213.0.0/29", SERVER, &w, &err), -1);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts),
                                       cmocka_unit_test(test_a_slot_that_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
