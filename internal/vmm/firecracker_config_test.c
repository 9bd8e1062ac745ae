/* What is asked of Firecracker, and how its answer is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "vmm/firecracker_config.h"

static struct vmm_spec example(void)
{
    return (struct vmm_spec){
        .vm_id = "cbx-1",
        .accel = VMM_KVM,
        .cpus = 4,
        .memory_mib = 512,
        .kernel = "/k",
        .initrd = "/i",
        .cmdline = "a=1",
        .drives = {{.id = "root", .path = "/r", .read_only = true, .root = true},
                   {.id = "seed", .path = "seed.iso", .read_only = true}},
        .n_drives = 2,
        .tap = "tap0",
        .guest_mac = "02:AB:00:00:00:01",
    };
}

static cJSON *intent_of(const struct vmm_spec *spec)
{
    struct error err = ERROR_INIT;
    cJSON *j = fc_intent(spec, &err);
    if (!j)
        fail_msg("%s", err.msg);
    return j;
}

static const char *boot_args(const cJSON *intent)
{
    return json_opt_string(cJSON_GetObjectItem(intent, "boot-source"), "boot_args", "");
}

static void intent_has_everything(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_json_ cJSON *j = intent_of(&spec);
    _cleanup_free_ char *text = json_print(j, false);
    assert_non_null(strstr(text, "\"machine-config\":{\"vcpu_count\":4,\"mem_size_mib\":512}"));
    assert_non_null(strstr(text, "\"kernel_image_path\":\"/k\",\"initrd_path\":\"/i\""));
    assert_non_null(strstr(text,
                           "{\"drive_id\":\"root\",\"path_on_host\":\"/r\",\"is_root_device\":true,"
                           "\"is_read_only\":true}"));
    assert_non_null(strstr(text, "{\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\",\"guest_mac\":"
                                 "\"02:ab:00:00:00:01\"}"));
    assert_non_null(strstr(text, "\"entropy\":{}"));
    assert_true(str_has_suffix(boot_args(j), " a=1"));
    assert_true(str_has_prefix(boot_args(j), "reboot=k panic=1 "));
}

static void drives_have_limiters(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    spec.limits = (struct vmm_limits){.disk_bytes = 1 << 20, .disk_ops = 50};
    _cleanup_json_ cJSON *j = intent_of(&spec);
    _cleanup_free_ char *text = json_print(cJSON_GetObjectItem(j, "drives"), false);
    assert_non_null(strstr(text, "\"is_read_only\":true,\"rate_limiter\":{\"bandwidth\":{\"size\":"
                                 "1048576,\"refill_time\":1000},\"ops\":{\"size\":50,"
                                 "\"refill_time\":1000}}},{\"drive_id\":\"seed\""));
    spec.limits.disk_ops = 0;
    _cleanup_json_ cJSON *bandwidth = intent_of(&spec);
    _cleanup_free_ char *less = json_print(cJSON_GetObjectItem(bandwidth, "drives"), false);
    assert_null(strstr(less, "ops"));
}

static void modules_load_only_from_an_initrd(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_json_ cJSON *with = intent_of(&spec);
    assert_null(strstr(boot_args(with), "nomodule"));
    spec.initrd = "";
    _cleanup_json_ cJSON *without = intent_of(&spec);
    assert_non_null(strstr(boot_args(without), " nomodule"));
    assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(without, "boot-source"), "initrd_path"));
}

/* Up to the last byte that leaves room for what Firecracker adds, and the closing zero. */
static void long_command_line_is_refused(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    char words[FC_CMDLINE_SIZE];
    _cleanup_json_ cJSON *short_one = intent_of(&spec);
    size_t room = FC_CMDLINE_SIZE - 1 - strlen(" pci=off root=/dev/vda rw") -
                  4 * strlen(" virtio_mmio.device=4K@0xc0003000:10") -
                  strlen(boot_args(short_one)) + strlen(spec.cmdline);
    memset(words, 'x', sizeof words);
    words[room] = '\0';
    spec.cmdline = words;
    _cleanup_json_ cJSON *fits = intent_of(&spec);
    assert_int_equal(strlen(boot_args(fits)), 2048 - 26 - 4 * 36);
    words[room] = 'x';
    words[room + 1] = '\0';
    assert_null(fc_intent(&spec, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
}

/* A reply as Firecracker gives it: with members that nobody asked for, in another order. */
#define ACTUAL(vcpus, drives, nets)                                                                \
    "{\"balloon\":null,\"drives\":[" drives "],\"boot-source\":{\"kernel_image_path\":\"/k\","     \
    "\"initrd_path\":\"/i\",\"boot_args\":\"x\"},\"machine-config\":{\"vcpu_count\":" vcpus        \
    ",\"mem_size_mib\":512,\"smt\":false},\"network-interfaces\":[" nets                           \
    "],\"entropy\":{\"rate_limiter\":null}}"
#define SEED                                                                                       \
    "{\"drive_id\":\"seed\",\"partuuid\":null,\"is_root_device\":false,\"is_read_only\":true,"     \
    "\"path_on_host\":\"seed.iso\",\"io_engine\":\"Sync\"}"
#define ROOT(ro)                                                                                   \
    "{\"drive_id\":\"root\",\"path_on_host\":\"/r\",\"is_root_device\":true,\"is_read_only\":" ro  \
    "}"
#define NET(mac) "{\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\",\"guest_mac\":\"" mac "\"}"
#define MAC      "02:ab:00:00:00:01"

/* 0 if the answer is accepted; else the message must hold `word`. */
static void expect(const char *actual, const char *word)
{
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *want = intent_of(&spec);
    _cleanup_json_ cJSON *have = json_parse(actual, strlen(actual), "test", &err);
    assert_non_null(have);
    cJSON *boot = cJSON_GetObjectItem(have, "boot-source");
    if (cJSON_HasObjectItem(boot, "boot_args"))
        (void)cJSON_ReplaceItemInObjectCaseSensitive(boot, "boot_args",
                                                     cJSON_CreateString(boot_args(want)));
    int r = fc_compare(want, have, &err);
    if (!word) {
        if (r < 0)
            fail_msg("%s", err.msg);
        return;
    }
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERR_VMM);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" is not in: %s", word, err.msg);
}

static void same_configuration_is_accepted(void **state)
{
    (void)state;
    expect(ACTUAL("4", SEED "," ROOT("true"), NET(MAC)), NULL);
}

static void differences_are_named(void **state)
{
    (void)state;
    expect(ACTUAL("7", SEED "," ROOT("true"), NET(MAC)), "7 for machine-config.vcpu_count");
    expect(ACTUAL("\"4\"", SEED "," ROOT("true"), NET(MAC)), "machine-config.vcpu_count");
    expect(ACTUAL("4", SEED "," ROOT("false"), NET(MAC)), "false for drives[root].is_read_only");
    expect(ACTUAL("4", ROOT("true"), NET(MAC)), "1 drives, asked for 2");
    expect(ACTUAL("4", SEED "," SEED, NET(MAC)), "drives[root]");
    expect(ACTUAL("4", SEED "," ROOT("true") "," ROOT("true"), NET(MAC)), "3 drives");
    expect(ACTUAL("4", SEED "," ROOT("true"), ""), "0 network-interfaces, asked for 1");
    expect(ACTUAL("4", SEED "," ROOT("true"), NET("02:ab:00:00:00:02")), "guest_mac");
    expect(ACTUAL("4", "{}," ROOT("true"), NET(MAC)), "drives[seed]");
    expect(ACTUAL("4", SEED "," ROOT("true"), "7"), "network-interfaces[eth0]");
    expect("{}", "no machine-config");
    expect("{\"machine-config\":[]}", "no machine-config");
}

static void answer_of_another_type_is_refused(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *want = intent_of(&spec);
    assert_int_equal(fc_compare(want, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
}

static void versions(void **state)
{
    (void)state;
    struct fc_version v;
    struct error err = ERROR_INIT;
    assert_int_equal(fc_version_parse("1.16.1", &v, &err), 0);
    assert_true(v.major == 1 && v.minor == 16);
    assert_true(fc_version_at_least(v, 1, 14) && fc_version_at_least(v, 1, 16));
    assert_false(fc_version_at_least(v, 1, 17));
    assert_false(fc_version_at_least(v, 2, 0));
    assert_int_equal(fc_version_parse("v2.0.0-dev", &v, &err), 0);
    assert_true(fc_version_at_least(v, 1, 14));
    static const char *const bad[] = {"", "v", "1", "1.", "x.1", ".1", "99999999999999999999.1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(fc_version_parse(bad[i], &v, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intent_has_everything),
        cmocka_unit_test(drives_have_limiters),
        cmocka_unit_test(modules_load_only_from_an_initrd),
        cmocka_unit_test(long_command_line_is_refused),
        cmocka_unit_test(same_configuration_is_accepted),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(answer_of_another_type_is_refused),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
