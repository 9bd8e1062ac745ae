/* QEMU's command line, and the checks of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "vmm/qemu_config.h"

static struct vmm_spec example(void)
{
    return (struct vmm_spec){
        .vm_id = "cbx-1",
        .binary = "/usr/bin/qemu",
        .accel = VMM_TCG,
        .cpus = 2,
        .memory_mib = 512,
        .kernel = "/k,v=1",
        .initrd = "/i",
        .cmdline = "a=1",
        .drives = {{.id = "root", .path = "/a,b=\"c\"\\d", .read_only = true, .root = true},
                   {.id = "upper", .path = "upper.img"}},
        .n_drives = 2,
        .tap = "tap0",
        .guest_mac = "02:00:00:00:00:01",
    };
}

/* The value behind an option, the `nth` time it is given (from 0); fails if there is none. */
static const char *value_of(const struct qemu_args *a, const char *option, unsigned nth)
{
    for (unsigned i = 0; i + 1 < a->n; i++)
        if (str_eq(a->v[i], option) && nth-- == 0)
            return a->v[i + 1];
    fail_msg("no %s", option);
    return "";
}

static bool has(const struct qemu_args *a, const char *option)
{
    for (unsigned i = 0; i < a->n; i++)
        if (str_eq(a->v[i], option))
            return true;
    return false;
}

static void command_line_has_everything(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_(qemu_args_free) struct qemu_args a;
    qemu_args_build(&spec, &a);
    assert_string_equal(a.v[0], "/usr/bin/qemu");
    assert_null(a.v[a.n]);
    assert_string_equal(value_of(&a, "-accel", 0), "tcg,thread=multi,tb-size=128");
    assert_non_null(strstr(value_of(&a, "-M", 0), ",mem-merge=off,dump-guest-core=off"));
    assert_true(str_has_prefix(value_of(&a, "-cpu", 0), "max"));
    assert_string_equal(value_of(&a, "-smp", 0), "2");
    assert_string_equal(value_of(&a, "-m", 0), "512M");
    assert_string_equal(value_of(&a, "-kernel", 0), "/k,v=1");
    assert_string_equal(value_of(&a, "-initrd", 0), "/i");
    assert_true(str_has_suffix(value_of(&a, "-append", 0), " a=1"));
    assert_true(has(&a, "-nodefaults") && has(&a, "-no-user-config") && has(&a, "-S") &&
                has(&a, "-no-reboot"));
    assert_true(str_has_prefix(value_of(&a, "-sandbox", 0), "on,"));
    assert_non_null(strstr(value_of(&a, "-netdev", 0), "ifname=tap0,script=no,downscript=no"));
    /* Confined, it may not add a filter. */
    spec.sandbox = true;
    qemu_args_free(&a);
    qemu_args_build(&spec, &a);
    assert_false(has(&a, "-sandbox"));
}

static void paths_need_no_escape(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_(qemu_args_free) struct qemu_args a;
    qemu_args_build(&spec, &a);
    const char *text = value_of(&a, "-blockdev", 0);
    _cleanup_json_ cJSON *j = json_parse(text, strlen(text), "test", &err);
    const cJSON *file = cJSON_GetObjectItem(j, "file");
    assert_string_equal(json_opt_string(file, "filename", ""), spec.drives[0].path);
    assert_string_equal(json_opt_string(file, "locking", ""), "off");
    assert_true(json_opt_bool(j, "read-only", false));
    text = value_of(&a, "-blockdev", 1);
    _cleanup_json_ cJSON *second = json_parse(text, strlen(text), "test", &err);
    assert_false(json_opt_bool(second, "read-only", true));
    assert_string_equal(json_opt_string(cJSON_GetObjectItem(second, "file"), "locking", ""), "off");
    assert_string_equal(json_opt_string(second, "discard", ""), "unmap");
}

/* Each drive has a group of its own between it and its device. */
static void drives_are_throttled(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_(qemu_args_free) struct qemu_args a;
    spec.limits = (struct vmm_limits){.disk_bytes = 1 << 20, .disk_ops = 50};
    qemu_args_build(&spec, &a);
    assert_string_equal(value_of(&a, "-object", 1),
                        "{\"qom-type\":\"throttle-group\",\"id\":\"limit-upper\","
                        "\"limits\":{\"bps-total\":1048576,\"iops-total\":50}}");
    assert_string_equal(value_of(&a, "-blockdev", 1),
                        "{\"driver\":\"throttle\",\"node-name\":\"limited-root\","
                        "\"throttle-group\":\"limit-root\",\"file\":\"root\",\"read-only\":true}");
    assert_string_equal(value_of(&a, "-blockdev", 3),
                        "{\"driver\":\"throttle\",\"node-name\":\"limited-upper\","
                        "\"throttle-group\":\"limit-upper\",\"file\":\"upper\","
                        "\"read-only\":false,\"discard\":\"unmap\"}");
    assert_non_null(strstr(value_of(&a, "-device", 1), "drive=limited-upper,serial=upper,"));
    _cleanup_json_ cJSON *same = cJSON_Parse("{\"bps-total\":1048576,\"iops-total\":50}");
    _cleanup_json_ cJSON *less = cJSON_Parse("{\"bps-total\":1048576}");
    assert_int_equal(qemu_check_limits(&spec.limits, "root", same, &err), 0);
    assert_int_equal(qemu_check_limits(&spec.limits, "root", less, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
}

static void no_holes_where_they_free_nothing(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_(qemu_args_free) struct qemu_args a;
    spec.no_holes = true;
    qemu_args_build(&spec, &a);
    assert_null(strstr(value_of(&a, "-blockdev", 1), "discard"));
}

static void hardware_is_only_used_where_asked(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_(qemu_args_free) struct qemu_args a;
    spec.accel = VMM_KVM;
    spec.initrd = "";
    spec.cmdline = "";
    spec.tap = "";
    qemu_args_build(&spec, &a);
    assert_string_equal(value_of(&a, "-accel", 0), "kvm");
    assert_string_equal(value_of(&a, "-cpu", 0), "host,-vmx,-svm");
    assert_false(has(&a, "-initrd") || has(&a, "-netdev"));
}

static void most_drives_fit(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    _cleanup_(qemu_args_free) struct qemu_args a;
    spec.drives[2] = (struct vmm_drive){.id = "c", .path = "c"};
    spec.drives[3] = (struct vmm_drive){.id = "d", .path = "d"};
    spec.n_drives = VMM_DRIVES_MAX;
    qemu_args_build(&spec, &a);
    assert_true(a.n < QEMU_ARGS_MAX);
}

static cJSON *parse(const char *text)
{
    cJSON *j = cJSON_Parse(text);
    assert_non_null(j);
    return j;
}

static void accelerator_must_be_the_one_asked(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *kvm = parse("{\"enabled\":true,\"present\":true}");
    _cleanup_json_ cJSON *tcg = parse("{\"enabled\":false,\"present\":true}");
    _cleanup_json_ cJSON *odd = parse("{\"present\":true}");
    assert_int_equal(qemu_check_accel(&spec, tcg, &err), 0);
    assert_int_equal(qemu_check_accel(&spec, kvm, &err), -1);
    assert_int_equal(qemu_check_accel(&spec, odd, &err), -1);
    assert_int_equal(qemu_check_accel(&spec, NULL, &err), -1);
    spec.accel = VMM_KVM;
    assert_int_equal(qemu_check_accel(&spec, kvm, &err), 0);
    error_clear(&err);
    assert_int_equal(qemu_check_accel(&spec, tcg, &err), -1);
    assert_string_equal(err.msg, "QEMU runs with emulation, asked for accel kvm");
}

static void guest_must_wait(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *waits = parse("{\"status\":\"prelaunch\",\"running\":false}");
    _cleanup_json_ cJSON *runs = parse("{\"status\":\"running\",\"running\":true}");
    assert_int_equal(qemu_check_paused(waits, &err), 0);
    assert_int_equal(qemu_check_paused(runs, &err), -1);
    assert_int_equal(qemu_check_paused(NULL, &err), -1);
}

#define ROOT(ro, file) "{\"node-name\":\"root\",\"ro\":" ro ",\"file\":\"" file "\"}"
#define UPPER          ",{\"node-name\":\"upper\",\"ro\":false,\"file\":\"upper.img\"}"

static void expect_drives(const char *nodes, const char *word)
{
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    spec.drives[0].path = "/r";
    _cleanup_json_ cJSON *j = parse(nodes);
    int r = qemu_check_drives(&spec, j, &err);
    if (!word) {
        assert_int_equal(r, 0);
        return;
    }
    assert_int_equal(r, -1);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" is not in: %s", word, err.msg);
}

static void drives_must_be_those_asked(void **state)
{
    (void)state;
    expect_drives("[" ROOT("true", "/r") UPPER "]", NULL);
    expect_drives("[" ROOT("false", "/r") UPPER "]", "root is writable");
    expect_drives("[" ROOT("true", "/other") UPPER "]", "/other");
    expect_drives("[" ROOT("true", "/r") "]", "no drive upper");
    expect_drives("{}", "no drive root");
    expect_drives("[{},1,null]", "no drive root");
}

static void size_must_be_the_one_asked(void **state)
{
    (void)state;
    struct vmm_spec spec = example();
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *two = parse("[{},{}]");
    _cleanup_json_ cJSON *one = parse("[{}]");
    _cleanup_json_ cJSON *memory = parse("{\"base-memory\":536870912}");
    _cleanup_json_ cJSON *less = parse("{\"base-memory\":1}");
    assert_int_equal(qemu_check_size(&spec, two, memory, &err), 0);
    assert_int_equal(qemu_check_size(&spec, one, memory, &err), -1);
    assert_int_equal(qemu_check_size(&spec, two, less, &err), -1);
    assert_int_equal(qemu_check_size(&spec, NULL, NULL, &err), -1);
}

static void states(void **state)
{
    (void)state;
    assert_string_equal(qemu_state_word("prelaunch"), "not started");
    assert_string_equal(qemu_state_word("running"), "running");
    assert_string_equal(qemu_state_word("io-error"), "paused");
    assert_string_equal(qemu_state_word("colo"), "unknown");
    assert_string_equal(qemu_state_word(""), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_line_has_everything),
        cmocka_unit_test(paths_need_no_escape),
        cmocka_unit_test(drives_are_throttled),
        cmocka_unit_test(no_holes_where_they_free_nothing),
        cmocka_unit_test(hardware_is_only_used_where_asked),
        cmocka_unit_test(most_drives_fit),
        cmocka_unit_test(accelerator_must_be_the_one_asked),
        cmocka_unit_test(guest_must_wait),
        cmocka_unit_test(drives_must_be_those_asked),
        cmocka_unit_test(size_must_be_the_one_asked),
        cmocka_unit_test(states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
