/* What of a chain's answer goes into the record of a lease. Touches nothing. */
#include "net/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/record.h"

static const char servers[][NET_ADDR_SIZE] = {"127.0.0.53", "10.0.0.53", "224.0.0.1"};

static struct net_lease planned(void)
{
    const struct net_request req = {
        .lease_id = "cbx_00000000000a", .pool = "10.213.0.0/16", .state_dir = "/state"};
    struct error err = ERROR_INIT;
    struct net_lease n;
    assert_int_equal(net_chain_plan(&req, false, &n, &err), 0);
    return n;
}

static struct net_chain_link link_with(size_t n_dns)
{
    return (struct net_chain_link){.addr = "10.88.0.2",
                                   .plen = 24,
                                   .gateway = "10.88.0.1",
                                   .dns = servers,
                                   .n_dns = n_dns,
                                   .search = " box.example",
                                   .options = " ndots:2 trust-ad"};
}

static void test_servers_that_a_guest_reaches(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease n = planned();
    struct net_chain_link all = link_with(3);
    assert_int_equal(net_chain_address(&all, "", &n, &err), 0);
    assert_int_equal(n.n_dns, 1);
    assert_string_equal(n.dns[0], "10.0.0.53");
    assert_string_equal(n.dns_search, "box.example");
    assert_string_equal(n.dns_options, "ndots:2");
    n = planned();
    assert_int_equal(net_chain_address(&all, "10.9.9.9", &n, &err), 0);
    assert_string_equal(n.dns[0], "10.9.9.9");
}

/* Half of a network can be neither undone nor read again. */
static void test_all_or_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *addr, *gateway, *dns;
        unsigned plen;
    } bad[] = {
        {"fd00::2", "", "10.9.9.9", 24},
        {"10.88.0.2", "gw", "10.9.9.9", 24},
        {"10.88.0.2", "10.88.0.1", "::1", 24},
        {"10.88.0.2", "10.88.0.1", "10.9.9.9", 33},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        struct net_lease n = planned(), before = n;
        const struct net_chain_link link = {.addr = bad[i].addr,
                                            .plen = bad[i].plen,
                                            .gateway = bad[i].gateway,
                                            .search = "",
                                            .options = ""};
        assert_int_equal(net_chain_address(&link, bad[i].dns, &n, &err), -1);
        assert_memory_equal(&n, &before, sizeof n);
        assert_false(net_is_planned(&n));
        assert_int_equal(net_undo(&n, &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_that_a_guest_reaches),
        cmocka_unit_test(test_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
