/* doctor as a command: exit codes, stdout for scripts, and leases that are or are not owned. */
#include <signal.h>

#include "e2e/e2e.h"

/* One check of `doctor --provider firecracker --json`; the whole report is the caller's. */
static const cJSON *ask(cJSON **report, const char *name)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "doctor", "--provider", "firecracker",
                                                       "--json");
    *report = e2e_json(&r);
    bool ok = json_opt_bool(*report, "ok", false);
    assert_true(r.st.exited);
    assert_int_equal(r.st.code, ok ? 0 : 1);
    assert_int_equal(r.err.len, 0);
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(*report, "checks"))
    {
        if (str_eq(json_opt_string(c, "check", ""), name))
            return c;
    }
    fail_msg("no check is named %s", name);
    return NULL;
}

static void expect(const char *name, const char *status, const char *part)
{
    _cleanup_json_ cJSON *report = NULL;
    const cJSON *c = ask(&report, name);
    const char *message = json_opt_string(c, "message", "");
    if (!str_eq(json_opt_string(c, "status", ""), status) || !strstr(message, part))
        fail_msg("%s: %s: %s", name, json_opt_string(c, "status", ""), message);
}

static void everything_but_hardware_is_ready(void **state)
{
    static const char *const names[] = {"host",  "binary", "kernel", "rootfs", "network",
                                        "image", "state",  "disk",   "orphans"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        expect(names[i], "ok", "");
    expect("jailer", "skip", "");
}

static void own_leases_are_no_orphans(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "--slug", "own", "--json");
    assert_int_equal(w.st.code, 0);
    expect("orphans", "ok", "(1 lease now)");
    expect("network", "ok", "");

    _cleanup_json_ cJSON *lease = e2e_json(&w);
    const cJSON *vmm = cJSON_GetObjectItemCaseSensitive(lease, "vmm");
    int64_t pid = json_opt_i64(vmm, "pid", 0);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    (void)bed_residue(&bed, &left); /* waits for it to end */
    expect("orphans", "warning", "dead lease cbx_");

    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup");
    assert_int_equal(c.st.code, 0);
    expect("orphans", "ok", "(0 leases now)");
}

static void command_line_is_never_half_ignored(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result other = BED_RUN(&bed, "doctor", "--provider", "aws");
    assert_int_equal(other.st.code, 2);
    _cleanup_bed_result_ struct bed_result both = BED_RUN(
        &bed, "doctor", "--provider", "firecracker", "--vmm", "qemu", "--accel", "tcg");
    assert_int_equal(both.st.code, 2);
    assert_non_null(strstr(both.err.buf, "--vmm qemu"));
    _cleanup_bed_result_ struct bed_result word = BED_RUN(&bed, "doctor", "kvm");
    assert_int_equal(word.st.code, 2);
}

static void table_goes_to_stdout_without_colour(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "doctor");
    assert_true(r.st.code == 0 || r.st.code == 1);
    assert_non_null(strstr(r.out.buf, "ok       host"));
    assert_null(strchr(r.out.buf, '\033'));
}

static void nothing_is_left(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    if (bed_residue(&bed, &left) != 0)
        fail_msg("%s", left.buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_but_hardware_is_ready),
        cmocka_unit_test(own_leases_are_no_orphans),
        cmocka_unit_test(command_line_is_never_half_ignored),
        cmocka_unit_test(table_goes_to_stdout_without_colour),
        cmocka_unit_test(nothing_is_left),
    };
    return E2E_MAIN(tests);
}
