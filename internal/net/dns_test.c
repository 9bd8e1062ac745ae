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

static void test_search_and_options(void **state)
{
    (void)state;
    struct dns_list l = parse("domain old.example\r\n"
                              "nameserver 10.1.2.3\r\n"
                              "search corp.example lab.corp.example. # ours too\r\n"
                              "options ndots:5 trust-ad\ttimeout:1 debug ; attempts:3\r\n"
                              "options rotate ndots:99 ndots: ndots:-1 ndots:2x single-request "
                              "timeout:31 attempts:5 edns0 unknown\r\n"
                              " options use-vc");
    assert_string_equal(l.search, "corp.example lab.corp.example.");
    assert_string_equal(l.options,
                        "ndots:5 timeout:1 rotate single-request attempts:5 edns0 use-vc");
    assert_string_equal(parse("search a.example\ndomain b.example\n").search, "b.example");
    assert_string_equal(parse("search a.example\nsearch\n").search, "");
    assert_string_equal(parse("search .\nsearched x\noptions\n").search, "");
    assert_string_equal(parse("#search a.example\n;options rotate\n").options, "");
    assert_string_equal(parse("search a$(b) -x.example a..b .c x_y.example \"q\" d\xc3\xa9.example "
                              "`e` f-g.example\n")
                            .search,
                        "x_y.example f-g.example");
}

/* Longer than the 256 bytes that old resolvers knew, and longer than there is room for. */
static void test_long_search(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    strbuf_adds(&text, "search");
    for (int i = 0; i < 20; i++)
        strbuf_addf(&text, " department-number-%d.corp.example", i);
    assert_string_equal(parse(text.buf).search, text.buf + strlen("search "));
    for (int i = 20; i < 200; i++)
        strbuf_addf(&text, " department-number-%d.corp.example", i);
    struct dns_list l = parse(text.buf);
    size_t len = strlen(l.search);
    assert_true(len > 1900 && len < NET_SEARCH_SIZE);
    assert_string_equal(l.search + len - strlen(".corp.example"), ".corp.example");
    _cleanup_strbuf_ struct strbuf label = STRBUF_INIT;
    for (int i = 0; i < 64; i++)
        strbuf_addc(&label, 'a');
    _cleanup_free_ char *line = xasprintf("search %s %s", label.buf, label.buf + 1);
    assert_string_equal(parse(line).search, label.buf + 1);
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
        cmocka_unit_test(test_search_and_options),
        cmocka_unit_test(test_long_search),
        cmocka_unit_test(test_unreachable_servers),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_choose_prefers_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
