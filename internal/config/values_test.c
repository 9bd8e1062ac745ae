/* values_test.c: single values: canonical forms, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/keys.h"
#include "config/values.h"

struct row {
    const char *key, *raw;
    const char *canonical; /* NULL: refused */
    const char *why;       /* part of the complaint */
};

static const struct row rows[] = {
    {"firecracker.cpus", "1", "1", NULL},
    {"firecracker.cpus", "32", "32", NULL},
    {"firecracker.cpus", "0", NULL, "is 0, less than 1"},
    {"firecracker.cpus", "33", NULL, "is 33, more than 32"},
    {"firecracker.cpus", "-1", NULL, "is -1, less than 1"},
    {"firecracker.cpus", "1e9", NULL, "not a whole number"},
    {"firecracker.cpus", "010", NULL, "not a whole number"},
    {"firecracker.cpus", "0x10", NULL, "not a whole number"},
    {"firecracker.cpus", "4 ", NULL, "not a whole number"},
    {"firecracker.cpus", "", NULL, "is empty"},
    {"firecracker.cpus", "99999999999999999999999999", NULL, "more than 32"},

    {"firecracker.memoryMiB", "4096", "4096", NULL},
    {"firecracker.memoryMiB", "512MiB", "512", NULL},
    {"firecracker.memoryMiB", "4GiB", "4096", NULL},
    {"firecracker.memoryMiB", "1TiB", "1048576", NULL},
    {"firecracker.memoryMiB", "4G", "4096", NULL},
    {"firecracker.memoryMiB", "4GB", NULL,
     "not a size such as 512MiB or 4GiB: the units are MiB (or none), GiB and TiB"},
    {"firecracker.memoryMiB", "63", NULL, "is 63MiB, less than 64MiB"},
    {"firecracker.memoryMiB", "2TiB", NULL, "more than 1TiB"},
    {"firecracker.memoryMiB", "9223372036854775807TiB", NULL, "more than 1TiB"},
    {"firecracker.memoryMiB", "1.5GiB", NULL, "not a size"},
    {"firecracker.memoryMiB", "-1", NULL, "not a size"},
    {"firecracker.memoryMiB", "0777", NULL, "not a size"},
    {"firecracker.memoryMiB", "1_000", NULL, "not a size"},

    {"lease.ttl", "90m", "1h30m", NULL},
    {"lease.ttl", "1h30m", "1h30m", NULL},
    {"lease.ttl", "1.5h", "1h30m", NULL},
    {"lease.ttl", "2d", "48h", NULL},
    {"lease.ttl", "1500ms", "1s500ms", NULL},
    {"lease.stopTimeout", "0s", "0s", NULL},
    {"lease.stopTimeout", "500ms", "500ms", NULL},
    {"lease.ttl", "90", NULL, "not a duration"},
    {"lease.ttl", "90 m", NULL, "not a duration"},
    {"lease.ttl", "m", NULL, "not a duration"},
    {"lease.ttl", "1hm", NULL, "not a duration"},
    {"lease.ttl", "1.h", NULL, "not a duration"},
    {"lease.ttl", "5w", NULL, "not a duration"},
    {"lease.ttl", "999ms", NULL, "less than 1s"},
    {"lease.ttl", "31d", NULL, "more than 720h"},
    {"lease.ttl", "99999999999999999999d", NULL, "more than 720h"},
    {"lease.ttl", "106751991167d9223372036854775807ms", NULL, "more than 720h"},
    {"lease.ttl", "9223372036854775.999s", NULL, "more than 720h"},
    {"lease.ttl", "1h1h", NULL, "not a duration"},
    {"lease.ttl", "30m1h", NULL, "not a duration"},
    {"lease.ttl", "1.001s", "1s1ms", NULL},
    {"lease.ttl", "1.0001s", NULL, "not a duration"},
    {"lease.ttl", "1s0.5ms", NULL, "not a duration"},

    {"firecracker.deleteOnRelease", "true", "true", NULL},
    {"firecracker.deleteOnRelease", "false", "false", NULL},
    {"firecracker.deleteOnRelease", "yes", NULL, "neither true nor false"},

    {"firecracker.network", "nat", "nat", NULL},
    {"firecracker.network", "cni", "cni", NULL},
    {"firecracker.network", "NAT", NULL, "not one of: nat|cni"},
    {"qemu.accel", "", "", NULL},
    {"qemu.accel", "hvf", NULL, "not one of: kvm|tcg"},

    {"network.pool", "10.213.0.0/16", "10.213.0.0/16", NULL},
    {"network.pool", "10.213.0.1/16", NULL, "bits set behind the prefix"},
    {"network.pool", "10.0.0.0/7", NULL, "has the prefix /7"},
    {"network.pool", "10.0.0.0/31", NULL, "has the prefix /31"},
    {"network.pool", "127.0.0.0/8", NULL, "a reserved range"},
    {"network.pool", "169.254.0.0/24", NULL, "a reserved range"},
    {"network.pool", "224.0.0.0/8", NULL, "a reserved range"},
    {"network.pool", "10.213.0.0", NULL, "not an IPv4 range"},
    {"network.pool", "10.213.0.0/", NULL, "not an IPv4 range"},
    {"network.pool", "10.213.0.0/+8", NULL, "not an IPv4 range"},
    {"network.pool", "fd00::/64", NULL, "not an IPv4 range"},
    {"network.pool", "10.213.0.0/16; drop", NULL, "not an IPv4 range"},

    {"network.dns", "", "", NULL},
    {"network.dns", "1.1.1.1, 2606:4700::1111", "1.1.1.1,2606:4700::1111", NULL},
    {"network.dns", "1.1.1.1,,2.2.2.2", NULL, "empty item"},
    {"network.dns", "1.1.1.1,", NULL, "empty item"},
    {"network.dns", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4", NULL, "at most 3"},
    {"network.dns", "dns.example", NULL, "not an IP address"},

    {"run.allowEnv", "CI,NODE_OPTIONS", "CI,NODE_OPTIONS", NULL},
    {"run.allowEnv", "", "", NULL},
    {"run.allowEnv", "A=B", NULL, "not the name of an environment variable"},
    {"run.allowEnv", "1A", NULL, "not the name of an environment variable"},
    {"run.allowEnv", "*", NULL, "not the name of an environment variable"},

    {"sync.exclude", "*.o\n!keep.o", "*.o\n!keep.o", NULL},
    {"sync.exclude",
     "a\x01"
     "b",
     NULL, "control character"},

    {"firecracker.user", "crabbox", "crabbox", NULL},
    {"firecracker.user", "_a-b9", "_a-b9", NULL},
    {"firecracker.user", "a\nb", NULL, "control character"},
    {"firecracker.user", "Root", NULL, "not a user name"},
    {"firecracker.user", "a b", NULL, "not a user name"},
    {"firecracker.user", "-oProxyCommand=x", NULL, "not a user name"},
    {"firecracker.user", "a;id", NULL, "not a user name"},
    {"firecracker.user", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "not a user name"},

    {"firecracker.workRoot", "/work/crabbox", "/work/crabbox", NULL},
    {"firecracker.workRoot", "/home/dev", "/home/dev", NULL},
    {"firecracker.workRoot", "/", NULL, "the root of the guest"},
    {"firecracker.workRoot", "//", NULL, "not normalised"},
    {"firecracker.workRoot", "/etc", NULL, "in a system directory"},
    {"firecracker.workRoot", "/usr/local", NULL, "in a system directory"},
    {"firecracker.workRoot", "/home", NULL, "a system directory"},
    {"firecracker.workRoot", "/work/../etc", NULL, "not normalised"},
    {"firecracker.workRoot", "/work/..", NULL, "not normalised"},
    {"firecracker.workRoot", "/work/", NULL, "not normalised"},
    {"firecracker.workRoot", "work", NULL, "not an absolute path"},
    {"firecracker.workRoot", "/wo rk", NULL, "not a plain path"},
    {"firecracker.workRoot", "/w$(id)", NULL, "not a plain path"},
    {"firecracker.workRoot", "/usrlocal", "/usrlocal", NULL},

    {"firecracker.binary", "firecracker", "firecracker", NULL},
    {"firecracker.binary", "~/bin/fc", "/h/bin/fc", NULL},
    {"firecracker.binary", "/opt/fc", "/opt/fc", NULL},
    {"firecracker.binary", "-x", NULL, "not the name of a program"},
    {"firecracker.binary", "..", NULL, "not the name of a program"},
    {"firecracker.binary", "a b", NULL, "not the name of a program"},
    {"firecracker.binary", "bin/fc", NULL, "a relative path"},
    {"firecracker.binary", "./fc", NULL, "a relative path"},
    {"firecracker.binary", "", NULL, "is empty"},
    {"firecracker.kernel", "vmlinux", NULL, "a relative path"},
    {"firecracker.kernel", "~", "/h", NULL},
    {"firecracker.kernel", "~root/vmlinux", NULL, "only ~/ is expanded"},
    {"firecracker.kernel", "/a\x1b[2J", NULL, "control character"},
    {"firecracker.kernel", "/a\xff", NULL, "invalid UTF-8 at byte 3"},
    {"firecracker.kernel", "/a\xc0\xaf", NULL, "invalid UTF-8"},
    {"firecracker.kernel", "/a\xed\xa0\x80", NULL, "invalid UTF-8"},
    {"firecracker.kernel",
     "/\xe2\x80\xae"
     "gnp.exe",
     NULL, "control character"},
    {"firecracker.kernel", "/k\xc3\xa9rnel", "/k\xc3\xa9rnel", NULL},
    {"firecracker.kernel", "/a\xc2\xad", NULL, "control character"},
    {"firecracker.kernel", "/a\xd8\x9c", NULL, "control character"},
    {"firecracker.kernel", "/a\xf3\xa0\x81\x81", NULL, "control character"},
    {"firecracker.jailer", "", "", NULL},
    {"firecracker.cniNetwork", "net-1.a", "net-1.a", NULL},
    {"firecracker.cniNetwork", "../x", NULL, "not a name"},
};

static void test_rows(void **state)
{
    (void)state;
    const struct value_ctx ctx = {.home = "/h", .cwd = NULL};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        char why[VALUE_WHY_MAX] = "";
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        const struct config_key *key = config_key_by_name(r->key);
        assert_non_null(key);
        int rc = value_normalise(key, r->raw, &ctx, &out, why);
        if (r->canonical && (rc != 0 || !str_eq(out.buf, r->canonical)))
            fail_msg("%s \"%s\": \"%s\" (%s)", r->key, r->raw, out.buf, why);
        if (!r->canonical && (rc != -1 || !strstr(why, r->why)))
            fail_msg("%s \"%s\": rc %d, \"%s\"", r->key, r->raw, rc, why);
    }
}

/* A canonical form is its own canonical form, and has the number it says. */
static void test_canonical_is_stable(void **state)
{
    (void)state;
    const struct value_ctx ctx = {.home = "/h", .cwd = NULL};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        char why[VALUE_WHY_MAX] = "";
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        const struct config_key *key = config_key_by_name(r->key);
        if (!r->canonical)
            continue;
        assert_int_equal(value_normalise(key, r->canonical, &ctx, &out, why), 0);
        assert_string_equal(out.buf, r->canonical);
    }
    assert_int_equal(value_number(config_key_by_name("lease.ttl"), "1h30m"), 5400000);
    assert_int_equal(value_number(config_key_by_name("lease.ttl"), "1s500ms"), 1500);
    assert_int_equal(value_number(config_key_by_name("firecracker.memoryMiB"), "4096"), 4096);
    assert_int_equal(value_number(config_key_by_name("firecracker.deleteOnRelease"), "true"), 1);
}

static void test_home(void **state)
{
    (void)state;
    char why[VALUE_WHY_MAX] = "";
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    const struct config_key *kernel = config_key_by_name("firecracker.kernel");
    const struct value_ctx none = {.home = NULL, .cwd = NULL};
    const struct value_ctx relative = {.home = "x", .cwd = NULL};
    const struct value_ctx flag = {.home = NULL, .cwd = "/w"};
    const struct value_ctx root = {.home = NULL, .cwd = "/"};
    assert_int_equal(value_normalise(kernel, "~/k", &none, &out, why), -1);
    assert_int_equal(value_normalise(kernel, "~/k", &relative, &out, why), -1);
    assert_non_null(strstr(why, "HOME"));
    assert_int_equal(value_normalise(kernel, "a/k", &flag, &out, why), 0);
    assert_string_equal(out.buf, "/w/a/k");
    strbuf_reset(&out);
    assert_int_equal(value_normalise(kernel, "k", &root, &out, why), 0);
    assert_string_equal(out.buf, "/k");
}

static void test_long_path(void **state)
{
    (void)state;
    char raw[5000], why[VALUE_WHY_MAX] = "";
    const struct value_ctx ctx = {.home = NULL, .cwd = NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    memset(raw, 'a', sizeof raw - 1);
    raw[0] = '/';
    raw[sizeof raw - 1] = '\0';
    assert_int_equal(
        value_normalise(config_key_by_name("firecracker.kernel"), raw, &ctx, &out, why), -1);
    assert_non_null(strstr(why, "longer than 4095 bytes"));
}

/* What a list costs, for each file of a tree, each variable, has an end. */
static void test_lists_are_bounded(void **state)
{
    (void)state;
    static const char *const names[] = {"sync.exclude", "run.allowEnv"};
    const struct value_ctx ctx = {.home = NULL, .cwd = NULL};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char why[VALUE_WHY_MAX];
        const struct config_key *key = config_key_by_name(names[i]);
        _cleanup_strbuf_ struct strbuf raw = STRBUF_INIT, out = STRBUF_INIT;
        for (int n = 0; n < 1023; n++)
            strbuf_addf(&raw, "A%c", key->separator);
        strbuf_adds(&raw, "A");
        assert_int_equal(value_normalise(key, raw.buf, &ctx, &out, why), 0);
        strbuf_addf(&raw, "%cB", key->separator);
        assert_int_equal(value_normalise(key, raw.buf, &ctx, &out, why), -1);
        if (!strstr(why, "too many (at most 1024)"))
            fail_msg("%s", why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_canonical_is_stable),
        cmocka_unit_test(test_home),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
