#include "net/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct net_lease good = {
    .slot = 7,
    .veth = "cbx7",
    .veth_mac = "02:11:22:33:44:55",
    .tap = "tap0",
    .guest_mac = "06:fc:00:00:00:02",
    .host_addr = "10.213.0.14",
    .lease_addr = "10.213.0.15",
    .guest_addr = "192.0.2.2",
    .gateway = "192.0.2.1",
    .pool = "10.213.0.0/16",
    .table = "crabbox_fc_0a1b2c3d",
    .dns = {"10.0.0.53", "10.0.0.54"},
    .n_dns = 2,
    .dns_search = "corp.example lab.example",
    .dns_options = "ndots:2 rotate",
};

static const struct net_lease chain = {
    .mode = NET_CNI,
    .lease_plen = 24,
    .tap = "tap0",
    .guest_mac = "06:fc:00:00:00:02",
    .host_addr = "10.88.0.1",
    .lease_addr = "10.88.0.2",
    .guest_addr = "192.0.2.2",
    .gateway = "192.0.2.1",
    .table = "crabbox_fc_0a1b2c3d",
};

/* As it comes back from disk: json_add_i64 writes text that only a parser reads. */
static cJSON *to_parsed_json(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *j = net_lease_to_json(n);
    _cleanup_free_ char *text = json_print(j, false);
    cJSON *parsed = json_parse(text, strlen(text), "test", &err);
    assert_non_null(parsed);
    return parsed;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease back;
    _cleanup_json_ cJSON *again = to_parsed_json(&good);
    assert_int_equal(net_lease_from_json(again, &back, &err), 0);
    assert_memory_equal(&back, &good, sizeof good);

    /* A lease that was never planned has a record too. */
    const struct net_lease empty = {.slot = 0};
    _cleanup_json_ cJSON *e = to_parsed_json(&empty);
    assert_int_equal(net_lease_from_json(e, &back, &err), 0);
    assert_memory_equal(&back, &empty, sizeof empty);
}

/* A record of before there was a pool in it is read, and its lease undone. */
static void test_record_without_a_pool(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease back, old = good;
    struct net_view v;
    memset(old.pool, 0, sizeof old.pool);
    _cleanup_json_ cJSON *j = to_parsed_json(&good);
    cJSON_DeleteItemFromObjectCaseSensitive(j, "pool");
    assert_int_equal(net_lease_from_json(j, &back, &err), 0);
    assert_memory_equal(&back, &old, sizeof old);
    assert_int_equal(net_view(&back, &v, &err), 0);
}

/* A lease on a chain: with all of it, and while the chain has not given an address yet. */
static void test_round_trip_of_a_chain(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_lease back, planned = {.mode = NET_CNI, .peers = true, .tap = "tap0"};
    _cleanup_json_ cJSON *j = to_parsed_json(&chain);
    assert_int_equal(net_lease_from_json(j, &back, &err), 0);
    assert_memory_equal(&back, &chain, sizeof chain);
    assert_true(net_is_planned(&back));
    _cleanup_json_ cJSON *p = to_parsed_json(&planned);
    assert_int_equal(net_lease_from_json(p, &back, &err), 0);
    assert_memory_equal(&back, &planned, sizeof planned);
    assert_false(net_is_planned(&back));
}

static void test_wrong_fields_of_a_chain(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"mode", "bridge"},        {"veth", "cbx7"},       {"lease_addr", "10.88.0.2 drop"},
        {"lease_addr", "fd00::2"}, {"host_addr", "gw"},    {"guest_addr", "192.0.2.3"},
        {"table", "filter"},       {"guest_mac", "06:fc"}, {"veth_mac", "02:aa\" }"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        struct net_lease back;
        _cleanup_json_ cJSON *j = to_parsed_json(&chain);
        (void)cJSON_ReplaceItemInObjectCaseSensitive(j, bad[i].key,
                                                     cJSON_CreateString(bad[i].value));
        if (net_lease_from_json(j, &back, &err) == 0)
            fail_msg("%s accepted as \"%s\"", bad[i].key, bad[i].value);
        assert_int_equal(err.kind, ERR_STATE);
    }
}

static void test_view(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_view v;
    assert_int_equal(net_view(&good, &v, &err), 0);
    assert_int_equal(v.group, 0x0a1b2c3d);
    assert_int_equal(v.host_addr, 0x0ad5000e);
    assert_int_equal(v.gateway, 0xc0000201);
    assert_int_equal(v.uplink_mac[0], v.veth_mac[0] ^ 4);
    assert_memory_equal(v.uplink_mac + 1, v.veth_mac + 1, 5);
}

/* One field of the good record replaced: none of these may reach a rule or a link name. */
static void test_wrong_fields(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"veth", "cbx8"},
        {"veth", "eth0"},
        {"veth", "cbx7\" drop; }"},
        {"veth_mac", "02:11:22:33:44"},
        {"veth_mac", "02:11:22:33:44:5g"},
        {"veth_mac", "02-11-22-33-44-55"},
        {"veth_mac", "01:11:22:33:44:55"},
        {"veth_mac", "00:11:22:33:44:55"},
        {"veth_mac", "02:11:22:33:44:55:66"},
        {"tap", "lo"},
        {"tap", "up0"},
        {"tap", ""},
        {"tap", "a b"},
        {"tap", "x\"; drop"},
        {"tap", "tap"},
        {"guest_mac", ""},
        {"host_addr", "10.213.0.15"},
        {"host_addr", "localhost"},
        {"lease_addr", "10.213.0.16"},
        {"lease_addr", "10.213.0.15; drop"},
        {"guest_addr", "192.0.2.3"},
        {"gateway", "192.0.2.2"},
        {"table", "filter"},
        {"table", "crabbox_fc_"},
        {"table", "crabbox_fc_0a1b2c3"},
        {"table", "crabbox_fc_0A1B2C3D"},
        {"table", "crabbox_fc_0a1b2c3d; flush ruleset"},
        {"pool", "10.213.0.0"},
        {"pool", "10.213.0.0/"},
        {"pool", "10.213.0.0/0"},
        {"pool", "0.0.0.0/33"},
        {"pool", "/16"},
        {"pool", "10.213.0.0/16 drop"},
        {"pool", "10.213.0.0/16000000000000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        struct net_lease out;
        _cleanup_json_ cJSON *j = to_parsed_json(&good);
        cJSON_ReplaceItemInObjectCaseSensitive(j, bad[i].key, cJSON_CreateString(bad[i].value));
        if (net_lease_from_json(j, &out, &err) == 0)
            fail_msg("%s \"%s\" was accepted", bad[i].key, bad[i].value);
        assert_int_equal(err.kind, ERR_STATE);
        assert_non_null(strstr(err.msg, bad[i].key));
    }
}

static void test_wrong_types(void **state)
{
    (void)state;
    static const char *const keys[] = {"slot",      "veth",      "veth_mac",   "tap",
                                       "guest_mac", "host_addr", "lease_addr", "gateway",
                                       "table",     "dns",       "guest_addr"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct error err = ERROR_INIT;
        struct net_lease out;
        _cleanup_json_ cJSON *j = to_parsed_json(&good);
        cJSON_ReplaceItemInObjectCaseSensitive(j, keys[i], cJSON_CreateTrue());
        assert_int_equal(net_lease_from_json(j, &out, &err), -1);
        cJSON_DeleteItemFromObjectCaseSensitive(j, keys[i]);
        error_clear(&err);
        assert_int_equal(net_lease_from_json(j, &out, &err), -1);
        assert_non_null(strstr(err.msg, keys[i]));
    }
    struct error err = ERROR_INIT;
    struct net_lease out;
    assert_int_equal(net_lease_from_json(NULL, &out, &err), -1);
    _cleanup_json_ cJSON *j = to_parsed_json(&good);
    cJSON *dns = cJSON_GetObjectItemCaseSensitive(j, "dns");
    (void)cJSON_AddItemToArray(dns, cJSON_CreateString("not an address"));
    assert_int_equal(net_lease_from_json(j, &out, &err), -1);
    (void)cJSON_AddItemToArray(dns, cJSON_CreateString("10.0.0.56"));
    assert_int_equal(net_lease_from_json(j, &out, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_record_without_a_pool),
        cmocka_unit_test(test_round_trip_of_a_chain),
        cmocka_unit_test(test_wrong_fields_of_a_chain),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_wrong_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
