#include "cni/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct cni_result *r, struct error *err)
{
    _cleanup_json_ cJSON *j = json_parse(text, strlen(text), "result", err);
    if (!j)
        fail_msg("%s", err->msg);
    return cni_result_parse(j, "eth0", r, err);
}

/* As the bridge plugin of 1.0.0 answers, with a second family. */
static void test_the_lease_s_interface_is_picked(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct cni_result r;
    assert_int_equal(
        parse("{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"x\"},"
              "{\"name\":\"veth1\"},{\"name\":\"eth0\",\"sandbox\":\"/proc/1/ns/net\"},"
              "{\"name\":\"eth1\",\"sandbox\":\"/proc/1/ns/net\"}],\"ips\":["
              "{\"interface\":0,\"address\":\"192.0.2.9/24\"},"
              "{\"interface\":3,\"address\":\"192.0.2.8/24\"},"
              "{\"interface\":2,\"address\":\"fd00::2/64\",\"gateway\":\"fd00::1\"},"
              "{\"interface\":2,\"address\":\"10.88.0.2/24\",\"gateway\":\"10.88.0.1\"},"
              "{\"interface\":2,\"address\":\"10.88.0.3/24\",\"gateway\":\"10.88.0.4\"}],"
              "\"dns\":{\"nameservers\":[\"fd00::53\",\"10.88.0.53\",7,\"a\",\"1.1.1.1\"],"
              "\"search\":[\"box.example\",7,\"a\\nnameserver "
              "6.6.6.6\",\"b\"],\"options\":[\"ndots:2\"]}}",
              &r, &err),
        0);
    assert_string_equal(r.addr, "10.88.0.2");
    assert_int_equal(r.plen, 24);
    assert_string_equal(r.gateway, "10.88.0.1");
    assert_int_equal(r.n_all, 3);
    assert_string_equal(r.all[0], "fd00::2/64");
    assert_string_equal(r.all[2], "10.88.0.3/24");
    assert_int_equal(r.n_dns, 2);
    assert_string_equal(r.dns[1], "1.1.1.1");
    assert_string_equal(r.search, " box.example b");
    assert_string_equal(r.options, " ndots:2");
}

/* 0.3.x had a "version" beside each address, and "interface" was often left out. */
static void test_older_results(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct cni_result r;
    assert_int_equal(parse("{\"cniVersion\":\"0.3.1\",\"ips\":[{\"version\":\"4\",\"address\":"
                           "\"10.1.0.5/32\"}]}",
                           &r, &err),
                     0);
    assert_string_equal(r.addr, "10.1.0.5");
    assert_int_equal(r.plen, 32);
    assert_string_equal(r.gateway, "");
}

static void test_an_answer_without_addresses(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct cni_result r;
    assert_int_equal(parse("{}", &r, &err), 0);
    assert_string_equal(r.addr, "");
    assert_int_equal(r.n_all, 0);
}

static void test_what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{\"ips\":{}}",
        "{\"ips\":[{}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/0\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/+8\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1; drop/24\"}]}",
        "{\"ips\":[{\"address\":\"fd00::1/129\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"gateway\":\"there\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":-1}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":\"0\"}]}",
        "{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":1}],\"interfaces\":[{}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = ERROR_INIT;
        struct cni_result r;
        if (parse(bad[i], &r, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERR_NET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lease_s_interface_is_picked),
        cmocka_unit_test(test_older_results),
        cmocka_unit_test(test_an_answer_without_addresses),
        cmocka_unit_test(test_what_is_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
