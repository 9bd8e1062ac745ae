#include "net/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/record.h"

static void test_pool_text(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct cidr c;
    assert_int_equal(cidr_parse("10.213.0.0/16", &c, &err), 0);
    assert_int_equal(c.base, 0x0ad50000);
    assert_int_equal(c.plen, 16);
    const char *const bad[] = {
        "",
        "10.213.0.0",
        "10.213.0.0/",
        "10.213.0.0/7",
        "10.213.0.0/31",
        "10.0.0/8",
        "10.213.0.0/1x",
        "10.213.0.0/ 16",
        "10.213.0.0/-1",
        "0.0.0.0/8",
        "127.0.0.0/8",
        "224.0.0.0/8",
        "169.254.0.0/16",
        "fd00::/16",
        "10.213.0.0/16/16",
        "10.0.0.0/99999999999999999999",
        "1111111111111111111111111111111111111111111111111111/8",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        error_clear(&err);
        assert_int_equal(cidr_parse(bad[i], &c, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.msg, "network.pool"));
    }
    error_clear(&err);
    assert_int_equal(cidr_parse("10.213.7.0/16", &c, &err), -1);
    assert_non_null(strstr(err.msg, "did you mean 10.213.0.0/16?"));
}

static void test_overlap(void **state)
{
    (void)state;
    const struct cidr pool = {0x0ad50000, 16};
    assert_true(cidr_overlaps(pool, (struct cidr){0x0a000000, 8}));
    assert_true(cidr_overlaps((struct cidr){0x0a000000, 8}, pool));
    assert_true(cidr_overlaps(pool, (struct cidr){0x0ad5ffff, 32}));
    assert_true(cidr_overlaps(pool, pool));
    assert_false(cidr_overlaps(pool, (struct cidr){0x0ad60000, 32}));
    assert_false(cidr_overlaps(pool, (struct cidr){0x0ad40000, 16}));
    assert_true(cidr_overlaps(pool, (struct cidr){0, 0}));
}

/* Every attempt is another slot, all of them in the pool, none of them the first. */
static void test_slots(void **state)
{
    (void)state;
    const struct cidr pool = {0x0ad50000, 24};
    bool seen[128] = {false};
    assert_int_equal(pool_slots(pool), 127);
    for (unsigned i = 0; i < pool_slots(pool); i++) {
        uint32_t slot = pool_slot(pool, "cbx_0123456789ab", i);
        assert_in_range(slot, 1, 127);
        assert_false(seen[slot]);
        seen[slot] = true;
    }
    assert_int_equal(pool_slots((struct cidr){0, 30}), 1);
    assert_int_equal(pool_slot((struct cidr){0, 30}, "x", 0), 1);
}

static struct net_request request(const char *id, const char *state_dir)
{
    return (struct net_request){.lease_id = id, .pool = "10.213.0.0/16", .state_dir = state_dir};
}

static void test_names(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    const struct cidr pool = {0x0ad50000, 16};
    struct net_lease n = {.slot = 0}, m = {.slot = 0};
    struct net_request req = request("cbx_ffffffffffff", "/state/one");
    assert_int_equal(plan_names(&req, pool, &n, &err), 0);
    assert_string_equal(n.veth_mac, "fa:ff:ff:ff:ff:ff");
    assert_true(net_is_our_link_name(n.veth));
    assert_true(net_is_our_table_name(n.table));
    req = request("cbx_fffffffffffe", "/state/two");
    assert_int_equal(plan_names(&req, pool, &m, &err), 0);
    assert_string_not_equal(n.table, m.table);
    assert_string_not_equal(n.veth_mac, m.veth_mac);
    assert_string_equal(n.guest_mac, m.guest_mac);
    /* The rules name the pool, so another pool has another table. */
    assert_string_equal(n.pool, "10.213.0.0/16");
    req = request("cbx_ffffffffffff", "/state/one");
    req.pool = "10.214.0.0/16";
    assert_int_equal(plan_names(&req, (struct cidr){0x0ad60000, 16}, &m, &err), 0);
    assert_string_not_equal(n.table, m.table);

    const char *const bad[] = {
        "", "cbx_", "cbx_0123456789a", "cbx_0123456789abc", "cbx_0123456789aG", "0123456789ab"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        req = request(bad[i], "/state");
        assert_int_equal(plan_names(&req, pool, &n, &err), -1);
    }
    req = request("cbx_0123456789ab", "/state");
    req.attempt = pool_slots(pool);
    error_clear(&err);
    assert_int_equal(plan_names(&req, pool, &n, &err), -1);
    assert_non_null(strstr(err.msg, "are taken"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_text),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
