/* yaml_test.c: the strict reader: what each file sets, or the place and words of its error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "config/yaml.h"
#include "sys/deadline.h"

struct row {
    const char *text;
    const char *expect; /* entries as "key=value@line:column " …, or "!" and part of the error */
};

static const struct row rows[] = {
    {"", ""},
    {"# only a comment\n", ""},
    {"---\n", ""},
    {"vmm: qemu\n", "vmm=qemu@1:1 "},
    {"\xef\xbb\xbfvmm: qemu\r\n", "vmm=qemu@1:1 "},
    {"firecracker:\n  cpus: 2\n  memoryMiB: 4GiB\n", "firecracker.cpus=2@2:3 "
                                                     "firecracker.memoryMiB=4096@3:3 "},
    {"firecracker: {cpus: 2, user: \"a\"}\n", "firecracker.cpus=2@1:15 firecracker.user=a@1:24 "},
    {"\"vmm\": 'qemu'\n", "vmm=qemu@1:1 "},
    {"firecracker:\n  deleteOnRelease: false\n", "firecracker.deleteOnRelease=false@2:3 "},
    {"firecracker:\n  jailer: \"\"\n", "firecracker.jailer=@2:3 "},
    {"firecracker:\n  kernel: ~/vmlinux\n", "firecracker.kernel=/h/vmlinux@2:3 "},
    {"run:\n  allowEnv: [CI, HOME]\n", "run.allowEnv=CI,HOME@2:3 "},
    {"run:\n  allowEnv:\n    - CI\n    - HOME\n", "run.allowEnv=CI,HOME@2:3 "},
    {"run:\n  allowEnv: CI, HOME\n", "run.allowEnv=CI,HOME@2:3 "},
    {"run:\n  allowEnv: []\n", "run.allowEnv=@2:3 "},
    {"lease:\n  ttl: \"90m\"\n", "lease.ttl=1h30m@2:3 "},
    {"firecracker: {}\n", ""},

    /* names */
    {"vm: qemu\n", "!t.yaml:1:1: unknown key \"vm\"; did you mean \"vmm\"?"},
    {"firecracker:\n  cpu: 2\n", "!t.yaml:2:3: unknown key \"cpu\" in \"firecracker\"; did you "
                                 "mean \"cpus\"?"},
    {"firecracker:\n  memoryMib: 2\n", "!did you mean \"memoryMiB\"?"},
    {"firecraker:\n  cpus: 2\n", "!1:1: unknown key \"firecraker\"; did you mean \"firecracker\"?"},
    {"cpus: 2\n", "!1:1: unknown key \"cpus\"; \"cpus\" belongs in the block \"firecracker:\""},
    {"firecracker.cpus: 2\n", "!belongs in the block \"firecracker:\""},
    {"firecracker:\n  vmm: qemu\n", "!it belongs at the top level"},
    {"zzzzzzzz: 2\n", "!unknown key \"zzzzzzzz\"; docs/CONFIG.md lists"},
    {"a\\\x1b: 1\n", "!1:3: byte 0x1b"},
    {"\"\\e[2J\": 1\n", "!unknown key \"\\x1b[2J\""},
    {"\"\\0\": 1\n", "!1:1: a key contains a NUL byte"},
    {"firecracker.: 2\n", "!unknown key"},
    {": 2\n", "!not valid YAML"},
    {"? [a]\n: 2\n", "!a key is a list"},
    {"? {a: b}\n: 2\n", "!a key is a mapping"},

    /* twice */
    {"vmm: qemu\nvmm: qemu\n", "!t.yaml:2:1: \"vmm\" is set twice, first in line 1"},
    {"firecracker: {cpus: 1, cpus: 2}\n", "!1:24: \"firecracker.cpus\" is set twice"},
    {"qemu:\n  accel: kvm\nqemu:\n  binary: q\n", "!3:1: the block \"qemu\" appears twice"},

    /* types */
    {"firecracker:\n  cpus: \"2\"\n", "!2:9: \"firecracker.cpus\" is a string, not a whole number"},
    {"firecracker:\n  cpus: two\n", "!2:9: \"firecracker.cpus\" is \"two\", not a whole number"},
    {"firecracker:\n  cpus: 1e9\n", "!2:9: \"firecracker.cpus\" is \"1e9\""},
    {"firecracker:\n  cpus: 1000000000\n",
     "!2:9: \"firecracker.cpus\" is 1000000000, more than 32"},
    {"firecracker:\n  cpus:\n", "!\"firecracker.cpus\" has no value"},
    {"firecracker:\n  cpus: null\n", "!2:9: \"firecracker.cpus\" has no value"},
    {"firecracker:\n  cpus: [2]\n", "!2:9: \"firecracker.cpus\" is a list"},
    {"firecracker:\n  cpus: {a: 2}\n", "!2:9: \"firecracker.cpus\" is a mapping"},
    {"firecracker:\n  cpus: true\n", "!not a whole number"},
    {"firecracker:\n  deleteOnRelease: yes\n", "!neither true nor false"},
    {"firecracker:\n  deleteOnRelease: \"true\"\n", "!is a string, not true or false"},
    {"firecracker:\n  user: 123\n", "!2:9: \"firecracker.user\" is a number, not a string"},
    {"firecracker:\n  user: on\n", "!is a boolean, not a string"},
    {"firecracker:\n  user: ~\n", "!has no value"},
    {"firecracker:\n  user: NULL\n", "!has no value"},
    {"firecracker:\n  user: y\n", "!is a boolean, not a string; put it in quotes"},
    {"firecracker:\n  user: \"y\"\n", "firecracker.user=y@2:3 "},
    {"firecracker:\n  cniNetwork: 1e3\n", "!2:15: \"firecracker.cniNetwork\" is a number"},
    {"firecracker:\n  cniNetwork: 1_000\n", "!is a number"},
    {"firecracker:\n  cniNetwork: 0x1F\n", "!is a number"},
    {"firecracker:\n  cniNetwork: 0o17\n", "!is a number"},
    {"firecracker:\n  cniNetwork: 2026-01-31\n", "!is a date, not a string; put it in quotes"},
    {"firecracker:\n  cniNetwork: 2026-01-31a\n", "firecracker.cniNetwork=2026-01-31a@2:3 "},
    {"firecracker:\n  cniNetwork: 1e3a\n", "firecracker.cniNetwork=1e3a@2:3 "},
    {"sync:\n  exclude: [.inf, b]\n", "!2:13: \"sync.exclude\" is a number, not a list"},
    {"sync:\n  exclude: [1:30]\n", "!is a number"},
    {"firecracker:\n  memoryMiB: 0777\n", "!not a size"},
    {"firecracker:\n  cpus: 1:30\n", "!not a whole number"},
    {"firecracker:\n  cpus: 1_0\n", "!not a whole number"},
    {"firecracker:\n  cpus: 0o4\n", "!not a whole number"},
    {"firecracker:\n  jailer:\n", "!has no value; write \"\" for none"},
    {"firecracker:\n  user: \"a\\nb\"\n", "!2:9: \"firecracker.user\" has a control character"},
    {"firecracker:\n  user: |\n    a\n", "!is block text"},
    {"firecracker:\n  workRoot: /\n", "!2:13: \"firecracker.workRoot\" is \"/\", the root"},
    {"firecracker:\n  kernel: vmlinux\n", "!a relative path"},
    {"lease:\n  ttl: 90\n",
     "!\"lease.ttl\" is a number without a unit, not a duration such as 90m"},
    {"lease:\n  ttl: 999h\n", "!more than 720h"},
    {"network:\n  pool: 10.0.0.0/33\n", "!not an IPv4 range"},
    {"run:\n  allowEnv: [[CI]]\n", "!a list item is a list"},
    {"run:\n  allowEnv: [{a: b}]\n", "!a list item is a mapping"},
    {"run:\n  allowEnv: [\"A,B\"]\n", "!2:14: an item of \"run.allowEnv\" contains a comma"},
    {"run:\n  allowEnv: [\"\"]\n", "!has an empty item"},
    {"sync:\n  exclude: [\"a\\nb\"]\n", "!contains a line break"},
    {"firecracker: 3\n", "!1:14: \"firecracker\" is not a block of keys"},
    {"network: nat\n",
     "!1:10: \"network\" is not a block of keys here; did you mean \"network\" in "
     "the block \"firecracker:\"?"},
    {"lease: 3\n",
     "!1:8: \"lease\" is not a block of keys; write its keys below it, such as \"ttl:\""},
    {"firecracker:\nvmm: qemu\n", "!1:13: \"firecracker\" is not a block of keys: there is "
                                  "nothing in it"},
    {"- vmm\n", "!1:1: the file is not a mapping"},
    {"vmm\n", "!1:1: the file is not a mapping"},
    {"\"\"\n", "!1:1: the file is not a mapping"},
    {"[[[[[[[[[[[[", "!1:1: the file is not a mapping"},
    {"firecracker: {cpus: {a: {b: {c: {", "!is a mapping, not a single value"},

    /* what hides a value */
    {"vmm: &a qemu\n", "!1:6: anchors (&name) are not allowed"},
    {"&a vmm: qemu\n", "!1:1: anchors"},
    {"firecracker: &f\n  cpus: 2\n", "!anchors"},
    {"&r\nvmm: qemu\n", "!anchors"},
    {"vmm: *a\n", "!1:6: aliases (*name) are not allowed"},
    {"*a : qemu\n", "!1:1: aliases"},
    {"run:\n  allowEnv: &l [CI]\n", "!anchors"},
    {"run:\n  allowEnv: [*a]\n", "!aliases"},
    {"<<: {vmm: qemu}\n", "!1:1: merge keys (<<) are not allowed"},
    {"firecracker:\n  <<: *d\n", "!2:3: merge keys"},
    {"vmm: !!str qemu\n", "!1:6: tags (!type) are not allowed"},
    {"vmm: ! qemu\n", "!tags"},
    {"!!map {vmm: qemu}\n", "!tags"},
    {"%YAML 1.1\n---\nvmm: qemu\n", "!directives"},
    {"%TAG ! tag:x,2000:\n---\nvmm: qemu\n", "!1:1: directives"},
    {"# c\n%TAG ! tag:x,2000:\n---\nvmm: qemu\n", "!2:1: directives"},
    {"# 100%\nvmm: qemu # %\n", "vmm=qemu@2:1 "},
    {"vmm: qemu\n---\nvmm: firecracker\n", "!2:1: a second document"},
    {"vmm: qemu\n...\n---\n", "!a second document"},
    {"---\n---\nvmm: qemu\n", "!a second document"},

    /* bytes */
    {"vmm: qemu\xff\n", "!1:10: byte 0xff: invalid UTF-8"},
    {"# \xc3\xa9\xc3\xa9\xff\n", "!1:5: byte 0xff"},
    {"vmm: qemu # \xe2\x80\xae\n", "!1:13: byte 0xe2"},
    {"vmm: \xef\xbb\xbfqemu\n", "!1:6: byte 0xef"},
    {"vmm: qemu\x7f\n", "!byte 0x7f"},
    {"vmm:\tqemu\n", "vmm=qemu@1:1 "},
    {"# harmless\rvmm: qemu\r\n", "!1:11: a carriage return without a line feed"},
    {"vmm: qemu\r", "!1:10: a carriage return"},
    {"# a\xc2\xad\n", "!1:4: byte 0xc2"},
    {"# \xe2\x9a\xa0\xef\xb8\x8f\n", ""}, /* an emoji's variation selector is no deceit */
    {"firecracker:\n\tcpus: 2\n", "!2:1: not valid YAML: there is a tab; use spaces to indent"},
    {"vmm: \"qemu\n", "!not valid YAML"},
    {"firecracker: {cpus: 2\n", "!not valid YAML"},
    {"a: b: c\n", "!1:"},

    /* the floor is the system's */
    {"floor:\n  locked: [vmm]\n", "!1:1: \"floor\" is allowed only in the system's file"},
};

static const struct value_ctx ctx = {.home = "/h", .cwd = NULL};

static void test_rows(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct config_doc doc;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf got = STRBUF_INIT;
        int rc = config_parse_yaml("t.yaml", r->text, strlen(r->text), false, &ctx, &doc, &err);
        for (size_t k = 0; k < doc.n_entries; k++)
            strbuf_addf(&got, "%s=%s@%zu:%zu ", doc.entries[k].key->name, doc.entries[k].value,
                        doc.entries[k].line, doc.entries[k].column);
        config_doc_free(&doc);
        if (r->expect[0] != '!' && (rc != 0 || !str_eq(got.buf, r->expect))) {
            wrong++;
            print_error("%s\ngot \"%s\" %s\n", r->text, got.buf, err.msg);
        }
        if (r->expect[0] == '!' && (rc != -1 || !strstr(err.msg, r->expect + 1))) {
            wrong++;
            print_error("%s\ngot rc %d: %s\n", r->text, rc, err.msg);
        }
        if (rc)
            assert_int_equal(err.kind, ERR_CONFIG);
    }
    assert_int_equal(wrong, 0);
}

static void test_nul_byte(void **state)
{
    (void)state;
    static const char text[] = "vmm: qemu\n\0x";
    struct config_doc doc;
    struct error err = ERROR_INIT;
    assert_int_equal(config_parse_yaml("t", text, sizeof text - 1, false, &ctx, &doc, &err), -1);
    assert_non_null(strstr(err.msg, "t:2:1: byte 0x00"));
}

static void test_too_large(void **state)
{
    (void)state;
    struct config_doc doc;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *text = xcalloc(1, CONFIG_FILE_MAX + 2);
    memset(text, '#', CONFIG_FILE_MAX + 1);
    assert_int_equal(config_parse_yaml("t", text, CONFIG_FILE_MAX + 1, false, &ctx, &doc, &err),
                     -1);
    assert_non_null(strstr(err.msg, "larger than 1 MiB"));
    assert_int_equal(config_parse_yaml("t", text, CONFIG_FILE_MAX, false, &ctx, &doc, &err), 0);
}

/* A hostile file costs little time, whatever it is full of: libyaml alone needs seconds for
 * thousands of directives. */
static void test_slow(void **state)
{
    (void)state;
    static const char *const pieces[] = {"%TAG !a%d! b\n",
                                         "run: {allowEnv: [[[[",
                                         "- \n",
                                         "? ",
                                         "{a: ",
                                         "k%d: 1\n",
                                         "&a%d ",
                                         "\"\\x61",
                                         "'"};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct config_doc doc;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        for (int n = 0; text.len < CONFIG_FILE_MAX - 64; n++) {
            char number[16];
            (void)str_format(number, sizeof number, "%d", n);
            const char *d = strstr(pieces[i], "%d");
            size_t before = d ? (size_t)(d - pieces[i]) : strlen(pieces[i]);
            strbuf_add(&text, pieces[i], before);
            strbuf_adds(&text, d ? number : "");
            strbuf_adds(&text, d ? d + 2 : "");
        }
        /* Of the processor, not of a clock: the machine may be busy. */
        clock_t start = clock();
        assert_int_equal(config_parse_yaml("t", text.buf, text.len, false, &ctx, &doc, &err), -1);
        assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
        config_doc_free(&doc);
    }
}

/* A name of any length and content gives a message that still ends with the reason. */
static void test_long_name(void **state)
{
    (void)state;
    char name[3000];
    struct config_doc doc;
    struct error err = ERROR_INIT;
    memset(name, '\x1b', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(config_parse_yaml(name, "x: 1", 4, false, &ctx, &doc, &err), -1);
    assert_non_null(strstr(err.msg, "unknown key"));
    assert_null(strchr(err.msg, '\x1b'));
}

static int parse_floor(const char *text, struct config_doc *doc, struct error *err)
{
    *err = (struct error)ERROR_INIT;
    return config_parse_yaml("t", text, strlen(text), true, &ctx, doc, err);
}

static void test_floor(void **state)
{
    (void)state;
    struct config_doc doc;
    struct error err;
    assert_int_equal(parse_floor("floor:\n  locked: [vmm, qemu]\n  max:\n"
                                 "    firecracker.cpus: 8\n    lease.ttl: 2h\n",
                                 &doc, &err),
                     0);
    size_t vmm = config_key_index(config_key_by_name("vmm"));
    size_t accel = config_key_index(config_key_by_name("qemu.accel"));
    size_t cpus = config_key_index(config_key_by_name("firecracker.cpus"));
    size_t ttl = config_key_index(config_key_by_name("lease.ttl"));
    assert_int_equal(doc.floor[vmm].locked_line, 2);
    assert_int_equal(doc.floor[accel].locked_line, 2);
    assert_int_equal(doc.floor[cpus].locked_line, 0);
    assert_int_equal(doc.floor[cpus].max_line, 4);
    assert_int_equal(doc.floor[cpus].max, 8);
    assert_int_equal(doc.floor[ttl].max, 7200000);
    config_doc_free(&doc);
}

static void test_floor_errors(void **state)
{
    (void)state;
    static const struct row bad[] = {
        {"floor:\n", "\"floor\" is not a block"},
        {"floor: {lock: [vmm]}\n", "may have only the keys \"locked\" and \"max\""},
        {"floor: {locked: vmm}\n", "is not a list"},
        {"floor: {locked: [vm]}\n",
         "\"vm\" in \"floor.locked\" is neither a key nor a block; did you mean \"vmm\"?"},
        {"floor: {locked: [accel]}\n", "did you mean \"qemu.accel\"?"},
        {"floor: {locked: [zzzzzzzzzzzzzzzz]}\n", "is neither a key nor a block"},
        {"floor: {max: {firecracker.cpu: 2}}\n", "did you mean \"firecracker.cpus\"?"},
        {"floor: {max: {ttl: 2h}}\n", "did you mean \"lease.ttl\"?"},
        {"floor: {locked: [\"\"]}\n", "is neither a key nor a block"},
        {"floor: {locked: [vmm], locked: [qemu]}\n", "\"floor.locked\" appears twice"},
        {"floor: {locked: [vmm]}\nfloor: {}\n", "2:1: \"floor\" appears twice"},
        {"floor: {max: [vmm]}\n", "is not a mapping"},
        {"floor: {max: {vmm: qemu}}\n", "full names of numeric keys"},
        {"floor: {max: {firecracker.cpus: 99}}\n", "more than 32"},
        {"floor: {max: {firecracker.cpus: 2, firecracker.cpus: 3}}\n", "in \"floor.max\" twice"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config_doc doc;
        struct error err;
        int rc = parse_floor(bad[i].text, &doc, &err);
        config_doc_free(&doc);
        if (rc != -1 || !strstr(err.msg, bad[i].expect))
            fail_msg("%s\ngot rc %d: %s", bad[i].text, rc, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_too_large),    cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_slow),         cmocka_unit_test(test_floor),
        cmocka_unit_test(test_floor_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
