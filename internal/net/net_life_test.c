/* How a lease's network comes and goes: claims that many processes race for, undo in every order
 * and after every crash, and many leases at once. What is left is counted by looking, not by
 * asking. */
#include "net/net.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "net/link.h"
#include "net/nft.h"
#include "net/ns.h"
#include "net/record.h"
#include "testutil/netlab.h"

#define POOL "10.213.0.0/16"

static struct net_request request(char id[static 32], unsigned number, const char *pool)
{
    (void)snprintf(id, 32, "cbx_%012x", number);
    return (struct net_request){
        .lease_id = id, .pool = pool, .dns = "10.0.0.53", .state_dir = "/state/one"};
}

static void plan(struct net_lease *n, unsigned number, const char *pool, unsigned attempt)
{
    char id[32];
    struct net_request req = request(id, number, pool);
    req.attempt = attempt;
    lab_plan(n, &req);
}

static int count_left(void)
{
    struct error err = ERROR_INIT;
    struct net_found found[256];
    int n = net_scan(found, ARRAY_LEN(found), &err);
    if (n < 0)
        fail_msg("%s", err.msg);
    return n;
}

static int nothing_left(void **state)
{
    (void)state;
    assert_int_equal(count_left(), 0);
    return 0;
}

static void test_apply_and_undo(void **state)
{
    (void)state;
    struct net_lease n;
    plan(&n, 1, POOL, 0);
    lab_undo(&n); /* absent is a success */
    _cleanup_close_ int ns = lab_apply(&n);
    assert_int_equal(count_left(), 2);
    lab_undo(&n);
    assert_int_equal(count_left(), 0);
    lab_undo(&n);
    struct net_lease never = {.slot = 0};
    lab_undo(&never);
}

/* A lease whose processes were all killed: only the table is left, and the record removes it. */
static void test_undo_after_the_namespace_died(void **state)
{
    (void)state;
    struct net_lease n, next;
    plan(&n, 1, POOL, 0);
    close(lab_apply(&n));
    lab_undo(&n);
    assert_int_equal(count_left(), 0);

    /* The slot may belong to another lease by then, which stays whole. */
    close(lab_apply(&n));
    struct error err = ERROR_INIT;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    struct link_info link;
    if (link_find(sk, n.veth, &link, &err) == 1)
        assert_int_equal(link_delete(sk, link.index, n.veth, &err), 0);
    next = n;
    (void)str_copy(next.veth_mac, sizeof next.veth_mac, "02:aa:bb:cc:dd:ee");
    _cleanup_close_ int ns = lab_apply(&next);
    lab_undo(&n);
    assert_int_equal(link_find(sk, next.veth, &link, &err), 1);
    assert_int_equal(count_left(), 2);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    assert_int_equal(nft_list("list ruleset", NFT_TEXT, &text, &err), 0);
    assert_non_null(strstr(text.buf, "06:aa:bb:cc:dd:ee"));
    lab_undo(&next);
}

/* A table that an earlier version of the rules made goes with its leases, by this one. */
static void test_undo_of_an_earlier_table(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease n = {.mode = NET_CNI,
                          .peers = true,
                          .lease_plen = 24,
                          .veth_mac = "02:00:00:00:00:01",
                          .tap = "tap0",
                          .guest_mac = "06:fc:00:00:00:02",
                          .lease_addr = "10.88.0.2",
                          .guest_addr = "192.0.2.2",
                          .gateway = "192.0.2.1",
                          .table = NET_TABLE_PREFIX "00000001"};
    for (int peers = 0; peers < 2; peers++) {
        n.peers = peers;
        _cleanup_free_ char *made = xasprintf(
            "table inet %s {\nset dns { type ipv4_addr; }\n"
            "set closed { type ipv4_addr; %s }\n"
            "chain lease { drop; }\n"
            "map leases { type ipv4_addr : verdict; elements = { 10.88.0.2 comment "
            "\"02:00:00:00:00:01\" : goto lease }; }\n}\n",
            n.table, peers ? "" : "elements = { 10.88.0.2 };");
        assert_int_equal(nft_run(made, "an earlier table", &err), 0);
        assert_int_equal(count_left(), 1);
        lab_undo(&n);
        assert_int_equal(count_left(), 0);
    }
}

static void test_taken_slot(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease first, second;
    plan(&first, 1, POOL, 0);
    second = first;
    (void)str_copy(second.veth_mac, sizeof second.veth_mac, "02:aa:bb:cc:dd:ee");
    _cleanup_close_ int ns = lab_apply(&first);
    assert_int_equal(net_apply(&second, &err), -1);
    assert_int_equal(err.kind, ERR_EXISTS);
    lab_undo(&second); /* the loser's record must not hurt the winner */
    assert_int_equal(count_left(), 2);
    struct net_lease other;
    plan(&other, 1, POOL, 1);
    assert_int_not_equal(other.slot, first.slot);
    lab_undo(&first);
}

/* A link of somebody else that has our name. */
static void test_undo_spares_a_foreign_link(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease n;
    struct link_info link;
    plan(&n, 1, POOL, 0);
    _cleanup_close_ int peer = ns_new(&err);
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    struct veth_spec spec = {.name = n.veth,
                             .mac = {2, 1, 1, 1, 1, 1},
                             .peer_name = "x",
                             .peer_mac = {2, 1, 1, 1, 1, 2},
                             .peer_ns = peer};
    assert_int_equal(link_add_veth(sk, &spec, &err), 0);
    assert_int_equal(net_apply(&n, &err), -1);
    assert_int_equal(err.kind, ERR_EXISTS);
    lab_undo(&n);
    assert_int_equal(link_find(sk, n.veth, &link, &err), 1);
    assert_int_equal(link_delete(sk, link.index, n.veth, &err), 0);
}

/* Two pools that overlap give one address to two names: the route is the second claim. */
static void test_overlapping_pools(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease wide, narrow;
    plan(&narrow, 1, "10.213.128.0/24", 0);
    for (unsigned attempt = 0;; attempt++) {
        plan(&wide, 1, POOL, attempt);
        if (str_eq(wide.host_addr, narrow.host_addr))
            break;
    }
    assert_string_not_equal(wide.veth, narrow.veth);
    (void)str_copy(wide.veth_mac, sizeof wide.veth_mac, "02:aa:bb:cc:dd:ee");
    _cleanup_close_ int ns = lab_apply(&narrow);
    assert_int_equal(net_apply(&wide, &err), -1);
    assert_int_equal(err.kind, ERR_EXISTS);
    assert_int_equal(count_left(), 2);
    lab_undo(&narrow);
}

enum { RACERS = 16 };

/* What the racers share with the test. */
struct race {
    int won, lost, failed;
    char msg[256];
};

static struct race *race_new(void)
{
    void *p = mmap(NULL, sizeof(struct race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

/* Runs fn in a child process for each racer, all started by the closing of one pipe. */
static void run_race(int (*fn)(struct race *r, unsigned i, int said, int end), struct race *r)
{
    int go[2], end[2], said[2];
    pid_t pids[RACERS];
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(end), 0);
    assert_int_equal(pipe(said), 0);
    for (unsigned i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char c;
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)close(go[1]);
            (void)close(end[1]);
            (void)close(said[0]);
            (void)!read(go[0], &c, 1);
            _exit(fn(r, i, said[1], end[0]));
        }
        assert_true(pids[i] > 0);
    }
    (void)close(go[0]);
    (void)close(go[1]);
    (void)close(end[0]);
    (void)close(said[1]);
    /* Winners hold on until everybody has tried. */
    struct pollfd p = {.fd = said[0], .events = POLLIN};
    unsigned n = 0;
    while (n < RACERS && poll(&p, 1, 60000) == 1) {
        char heard[RACERS];
        ssize_t got = read(said[0], heard, sizeof heard);
        if (got <= 0)
            break;
        n += (unsigned)got;
    }
    (void)close(said[0]);
    (void)close(end[1]);
    for (unsigned i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

static int race_failed(struct race *r, const struct error *err)
{
    (void)snprintf(r->msg, sizeof r->msg, "%.250s", err->msg);
    (void)__atomic_add_fetch(&r->failed, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* Everybody wants the same slot. Nothing in here may end by cmocka's own jump: it is a child. */
static int claim_one_slot(struct race *r, unsigned i, int said, int end)
{
    struct error err = ERROR_INIT;
    struct net_lease n;
    char c, id[32];
    struct net_request req = request(id, 1, POOL);
    if (net_plan(&req, &n, &err) < 0)
        return race_failed(r, &err);
    (void)snprintf(n.veth_mac, sizeof n.veth_mac, "02:00:00:00:00:%02x", i + 1);
    int ns = net_apply(&n, &err);
    if (ns < 0 && err.kind != ERR_EXISTS)
        return race_failed(r, &err);
    (void)__atomic_add_fetch(ns >= 0 ? &r->won : &r->lost, 1, __ATOMIC_SEQ_CST);
    (void)!write(said, "x", 1);
    (void)!read(end, &c, 1);
    return net_undo(&n, &err) < 0 ? race_failed(r, &err) : 0;
}

static void test_one_winner(void **state)
{
    (void)state;
    struct race *r = race_new();
    run_race(claim_one_slot, r);
    if (r->failed)
        fail_msg("%s", r->msg);
    assert_int_equal(r->won, 1);
    assert_int_equal(r->lost, RACERS - 1);
    (void)munmap(r, sizeof *r);
}

/* Everybody comes and goes, so that the table is made and removed under everybody's feet; whoever
 * is in must find itself in it. */
static int come_and_go(struct race *r, unsigned i, int said, int end)
{
    struct error err = ERROR_INIT;
    char id[32];
    struct net_request req = request(id, 100 + i, POOL);
    for (unsigned round = 0; round < 4; round++) {
        struct net_lease n;
        char own[64];
        if (net_plan(&req, &n, &err) < 0)
            return race_failed(r, &err);
        _cleanup_close_ int ns = net_apply(&n, &err);
        if (ns < 0)
            return race_failed(r, &err);
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        (void)snprintf(own, sizeof own, "\"%s\" .", n.veth);
        if (nft_list("list ruleset", NFT_TEXT, &text, &err) < 0)
            return race_failed(r, &err);
        if (!strstr(text.buf, own) || !strstr(text.buf, "masquerade")) {
            (void)error_set(&err, ERR_NET, 0, "%s is not in the table", n.veth);
            return race_failed(r, &err);
        }
        if (net_undo(&n, &err) < 0)
            return race_failed(r, &err);
    }
    (void)__atomic_add_fetch(&r->won, 1, __ATOMIC_SEQ_CST);
    (void)end;
    return write(said, "x", 1) != 1;
}

static void test_table_comes_and_goes(void **state)
{
    (void)state;
    struct race *r = race_new();
    run_race(come_and_go, r);
    if (r->failed)
        fail_msg("%s", r->msg);
    assert_int_equal(r->won, RACERS);
    (void)munmap(r, sizeof *r);
}

/* Killed at many moments of net_apply: the record alone cleans up. */
static void test_killed_in_the_middle(void **state)
{
    (void)state;
    int died_early = 0;
    struct net_lease n;
    plan(&n, 1, POOL, 0);
    for (int us = 0; us < 12000; us += 400) {
        int p[2];
        char c;
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(p[0]);
            (void)!write(p[1], "s", 1);
            int ns = net_apply(&n, NULL);
            (void)!write(p[1], ns >= 0 ? "y" : "n", 1);
            (void)pause();
            _exit(0);
        }
        (void)close(p[1]);
        assert_int_equal(read(p[0], &c, 1), 1);
        struct pollfd fd = {.fd = p[0], .events = POLLIN};
        struct timespec t = {.tv_nsec = us * 1000L};
        if (ppoll(&fd, 1, &t, NULL) == 0)
            died_early++;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)close(p[0]);
        lab_undo(&n);
        assert_int_equal(count_left(), 0);
    }
    assert_true(died_early > 2);
}

enum { MANY = 64 };

static void test_many_leases(void **state)
{
    (void)state;
    static struct net_lease n[MANY];
    int ns[MANY];
    int64_t t = clock_boot_us();
    for (unsigned i = 0; i < MANY; i++) {
        struct error err = ERROR_INIT;
        unsigned attempt = 0;
        do
            plan(&n[i], 1000 + i, "10.213.0.0/24", attempt++);
        while ((ns[i] = net_apply(&n[i], &err)) < 0 && err.kind == ERR_EXISTS);
        if (ns[i] < 0)
            fail_msg("lease %u: %s", i, err.msg);
    }
    int64_t made = clock_boot_us();
    assert_int_equal(count_left(), MANY + 1);
    for (unsigned i = 0; i < MANY; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(n[i].lease_addr, n[k].lease_addr);
    int64_t undo_from = clock_boot_us();
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(count_left(), MANY + 1 - (int)i);
        lab_undo(&n[i]);
        CLOSE_FD(ns[i]);
    }
    print_message("%d leases: %lld us each to make, %lld us each to undo\n", MANY,
                  (long long)(made - t) / MANY, (long long)(clock_boot_us() - undo_from) / MANY);
}

static void test_full_pool(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char id[32];
    struct net_request req = request(id, 1, "10.213.0.0/29");
    struct net_lease n;
    int ns[3];
    struct net_lease made[3];
    for (req.attempt = 0; req.attempt < 3; req.attempt++) {
        assert_int_equal(net_plan(&req, &made[req.attempt], &err), 0);
        ns[req.attempt] = lab_apply(&made[req.attempt]);
    }
    assert_int_equal(net_plan(&req, &n, &err), -1);
    assert_non_null(strstr(err.msg, "network.pool"));
    for (int i = 0; i < 3; i++) {
        lab_undo(&made[i]);
        CLOSE_FD(ns[i]);
    }
}

static void test_pool_conflict_and_forwarding(void **state)
{
    (void)state;
    struct lab lab;
    struct error err = ERROR_INIT;
    struct net_host_state look;
    char id[32];
    struct net_lease n;
    lab_up(&lab);
    struct net_request req = request(id, 1, "198.18.0.0/15");
    assert_int_equal(net_plan(&req, &n, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "198.18.0.0/30 dev wan0"));
    assert_non_null(strstr(err.msg, "network.pool"));
    assert_int_equal(net_host_look("198.18.0.0/15", &look, &err), 0);
    assert_true(look.pool_conflict);
    assert_int_equal(look.nft, NET_OK);
    assert_int_equal(look.tun, NET_OK);
    assert_false(look.forward_drop);

    lab_sysctl(lab.here, "net/ipv4/conf/wan0/forwarding", "0");
    plan(&n, 1, POOL, 0);
    error_clear(&err);
    assert_int_equal(net_apply(&n, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "sysctl -w net.ipv4.conf.wan0.forwarding=1"));
    assert_int_equal(count_left(), 0);

    assert_int_equal(nft_run("table ip foreign { chain f { type filter hook forward priority 0; "
                             "policy drop; }; }",
                             "a stranger's table", &err),
                     0);
    assert_int_equal(net_host_look(POOL, &look, &err), 0);
    assert_false(look.pool_conflict);
    assert_true(look.forward_drop);
    assert_string_equal(look.forward_owner, "ip foreign");
    assert_int_equal(nft_run("delete table ip foreign", "a stranger's table", &err), 0);
    lab_down(&lab);
}

/* Without rights the message says which, and nothing is left half made. */
static void test_without_rights(void **state)
{
    (void)state;
    struct net_lease n;
    plan(&n, 1, POOL, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct error err = ERROR_INIT;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        _exit(net_apply(&n, &err) == -1 && err.kind == ERR_ENV && strstr(err.msg, "root") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, nothing_left, nothing_left)
    const struct CMUnitTest tests[] = {
        T(test_apply_and_undo),
        T(test_undo_after_the_namespace_died),
        T(test_undo_of_an_earlier_table),
        T(test_taken_slot),
        T(test_undo_spares_a_foreign_link),
        T(test_overlapping_pools),
        T(test_one_winner),
        T(test_table_comes_and_goes),
        T(test_killed_in_the_middle),
        T(test_many_leases),
        T(test_full_pool),
        T(test_pool_conflict_and_forwarding),
        T(test_without_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
