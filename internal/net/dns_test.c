#include "net/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct dns_list parse(const char *text)
{
    struct dns_list l;
    dns_parse_resolv(text, strlen(text), &l);
    return l;
}

static void test_resolv_conf(void **state)
{
    (void)state;
    struct dns_list l = parse("# made by hand\n"
                              "search example.org\n"
                              "nameserver 10.1.2.3\n"
                              "  nameserver\t10.1.2.4  # the second\r\n"
                              "nameserver 10.1.2.3\n"
                              "options edns0\n"
                              "nameserver 192.168.1.1");
    assert_int_equal(l.n, 3);
    assert_int_equal(l.skipped, 0);
    assert_string_equal(l.addr[0], "10.1.2.3");
    assert_string_equal(l.addr[1], "10.1.2.4");
    assert_string_equal(l.addr[2], "192.168.1.1");
}

static void test_unreachable_servers(void **state)
{
    (void)state;
    struct dns_list l = parse("nameserver 127.0.0.53\n"
                              "nameserver ::1\n"
                              "nameserver fe80::1%eth0\n"
                              "nameserver 2001:4860:4860::8888\n"
                              "nameserver 0.0.0.0\n"
                              "nameserver 224.0.0.251\n"
                              "nameserver\n"
                              "nameserver \n"
                              "nameservers 10.0.0.1\n"
                              "xnameserver 10.0.0.1\n"
                              "nameserver 10.0.0.1.1\n"
                              ";nameserver 10.0.0.1\n");
    assert_int_equal(l.n, 0);
    assert_true(l.skipped >= 7);
    assert_int_equal(parse("").n, 0);
}

static void test_too_many(void **state)
{
    (void)state;
    struct dns_list l = parse("nameserver 10.0.0.1\nnameserver 10.0.0.2\n"
                              "nameserver 10.0.0.3\nnameserver 10.0.0.4\n");
    assert_int_equal(l.n, NET_DNS_MAX);
    assert_string_equal(l.addr[2], "10.0.0.3");
}

static void test_list(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct dns_list l;
    assert_int_equal(dns_parse_list("10.0.0.1, 10.0.0.2 ,10.0.0.3", &l, &err), 0);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.addr[1], "10.0.0.2");
    const char *const bad[] = {"127.0.0.53",
                               "::1",
                               "dns.example",
                               "10.0.0.1,,10.0.0.2",
                               ",",
                               " ",
                               "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4",
                               "10.0.0.1 10.0.0.2",
                               "111111111111111111111111111111111111111111111111111111111"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        error_clear(&err);
        assert_int_equal(dns_parse_list(bad[i], &l, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.msg, "network.dns"));
    }
}

static void test_choose_prefers_the_configuration(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct dns_list l;
    assert_int_equal(dns_choose("10.9.8.7", &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.addr[0], "10.9.8.7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_unreachable_servers),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_choose_prefers_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
