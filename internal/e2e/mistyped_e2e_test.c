/* What is typed in good faith and can't do what was meant: the program says so, and what to type.
 */
#include <string.h>

#include "e2e/e2e.h"

static void says(const struct bed_result *r, const char *first, const char *next)
{
    bed_assert_has(r->err.buf, first);
    bed_assert_has(strstr(r->err.buf, first), next);
}

static void test_options_of_another_machine(void **state)
{
    (void)state;
    static const char *const options[][2] = {
        {"--cpus=3", "--cpus does not change the lease box, which is there already: its "
                     "firecracker.cpus is "},
        {"--memory=300MiB", "--memory does not change the lease box"},
        {"--disk=300MiB", "--disk does not change the lease box"},
        {"--vmm=qemu", "--vmm does not change the lease box, which is there already: its vmm is "
                       "firecracker"},
        {"--ttl=77m",
         "--ttl does not change the lease box, which is there already: its lease.ttl "},
        {"--idle-timeout=77m", "next: crabbox-fc heartbeat --idle-timeout TIME box"},
    };
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", options[i][0], "--accel",
                                                              "kvm", "--", "true");
        bed_assert_code(r, 0);
        bed_assert_has(r.err.buf, options[i][1]);
    }
    _cleanup_json_ cJSON *j = e2e_status("box");
    const cJSON *machine = cJSON_GetObjectItem(j, "machine");
    _cleanup_free_ char *cpus = xasprintf("%lld", (long long)json_opt_i64(machine, "cpus", 0));
    _cleanup_bed_result_ struct bed_result same = E2E_RUN_IN("box", "--cpus", cpus, "--vmm",
                                                             "firecracker", "--", "true");
    bed_assert_code(same, 0);
    assert_string_equal(same.err.buf, "");
}

static void test_a_command_that_is_none(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result line = BED_RUN(&bed, "run", "--id", "box", "--no-sync",
                                                          "--", "make test");
    bed_assert_code(line, 127);
    says(&line, "no program of the name \"make test\"", "next: crabbox-fc run --shell");
    _cleanup_bed_result_ struct bed_result lease = BED_RUN(&bed, "run", "--no-sync", "box", "--",
                                                           "true");
    bed_assert_code(lease, 127);
    says(&lease, "box is a lease, but here", "next: Ctrl-C, then crabbox-fc run --id box --");
    says(&lease, "box is no program of the guest, but a lease", "crabbox-fc run --id box");
    _cleanup_bed_result_ struct bed_result sync = BED_RUN(&bed, "run", "--id", "box", "--sync-only",
                                                          "--", "true");
    bed_assert_code(sync, 2);
    bed_assert_has(sync.err.buf, "--sync-only and a command");
}

static void test_results_that_are_missing(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "box", "--no-sync",
                                                       "--download", "none=.", "--", "true");
    bed_assert_code(r, 4);
    says(&r, "the command itself ended with 0", "crabbox-fc: fetch none: ");
    says(&r, "crabbox-fc: fetch none: ", "the end of the failed run");
    _cleanup_bed_result_ struct bed_result junit = E2E_RUN_IN("box", "--junit", "none/*.xml", "--",
                                                              "true");
    bed_assert_code(junit, 4);
}

static void test_verbs_and_places(void **state)
{
    (void)state;
    static const char *const verbs[][2] = {
        {"conect", "did you mean connect?"}, {"strat", "did you mean warmup?"},
        {"rm", "did you mean stop?"},        {"exec", "did you mean run?"},
        {"shell", "did you mean ssh?"},      {"stat", "did you mean status?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, verbs[i][0], "box");
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, verbs[i][1]);
    }
    _cleanup_bed_result_ struct bed_result all = BED_RUN(&bed, "stop", "--all");
    bed_assert_code(all, 2);
    bed_assert_has(all.err.buf, BED_NEXT "crabbox-fc list, then crabbox-fc stop LEASE...");
    _cleanup_bed_result_ struct bed_result cp = BED_RUN(&bed, "cp", "notes.txt", "box");
    bed_assert_code(cp, 2);
    bed_assert_has(cp.err.buf, BED_NEXT "write box: or box:PATH");
    assert_true(e2e_there("box"));
}

static void test_interrupts(void **state)
{
    (void)state;
    static const char script[] =
        "\"$0\" run \"$@\" --no-sync -- sh -c 'echo on; sleep 6262' 2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "kill -INT $run; wait $run; code=$?; cat err >&2; rm err out; exit $code";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                        "--id", "box");
    bed_assert_code(r, 130);
    bed_assert_has(r.err.buf, "press Ctrl-C again to leave it running");
    bed_assert_has(r.err.buf, "; the command was ended\n");
    _cleanup_bed_result_ struct bed_result own = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                          "--slug", "own");
    bed_assert_code(own, 130);
    bed_assert_has(own.err.buf, "; the lease is removed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_another_machine),
        cmocka_unit_test(test_a_command_that_is_none),
        cmocka_unit_test(test_results_that_are_missing),
        cmocka_unit_test(test_verbs_and_places),
        cmocka_unit_test(test_interrupts),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
