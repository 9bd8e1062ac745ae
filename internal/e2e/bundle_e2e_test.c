/* What stays of a run that failed: all that helps, and no secret. */
#include "e2e/e2e.h"

#define FAILS                                                                                      \
    "echo \"out $TOKEN\"; echo \"err $TOKEN\" >&2; echo '<testsuite><testcase name=\"t1\">"        \
    "<failure/></testcase></testsuite>' > junit.xml; exit 3"
#define RUN_FAILING                                                                                \
    "run", "--id", "box", "--no-sync", "-q", "--timing-json", "--env", "TOKEN=s3cret-value",       \
        "--junit", "junit.xml"

/* The directory that --timing-json names; "" if there is none. */
static char *bundle_of(const struct bed_result *r)
{
    _cleanup_json_ cJSON *j = e2e_timing(r);
    return xstrdup(json_opt_string(j, "failureBundle", ""));
}

static void check_in(const char *dir, const char *script)
{
    E2E_EXEC_OK("sh", "-ec", script, "check", dir);
}

static void test_a_failed_run_leaves_a_bundle(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN_FAILING, "--", "sh", "-c", FAILS);
    bed_assert_code(r, 3);
    bed_assert_has(r.out.buf, "out s3cret-value");
    _cleanup_free_ char *dir = bundle_of(&r);
    check_in(dir, "cd \"$1\"; test \"$(stat -c %a .)\" = 700; test -z \"$(find . -type f ! -perm "
                  "600)\"");
    check_in(dir, "cd \"$1\"; grep -qx 'out \\[TOKEN\\]' stdout.log; "
                  "grep -qx 'err \\[TOKEN\\]' stderr.log; grep -qx TOKEN environment.txt; "
                  "grep -q 'exit code 3' error.txt; grep -q 'failed: t1' results.txt; "
                  "grep -q '\"exitCode\":.*3' run.json; test -s console.log");
    check_in(dir, "! grep -r s3cret-value \"$1\"");
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "logs",
                                                       json_opt_string(j, "runId", ""));
    bed_assert_code(l, 0);
    const char *said = strstr(l.out.buf, "\nstderr: err [TOKEN]\n");
    assert_non_null(said);
    bed_assert_has(said, "==> run.json <==\n{"); /* whose many lines come last */
    assert_string_equal(l.out.buf + l.out.len - 3, "\n}\n");
}

/* A run that fails before its command has an id as well, and a bundle of its own. */
static void test_a_run_that_does_not_get_to_its_command(void **state)
{
    (void)state;
    char line[6000];
    memset(line, 'x', sizeof line);
    e2e_write_file(".crabboxignore", line, sizeof line);
    _cleanup_free_ char *first = NULL;
    for (int i = 0; i < 2; i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "box",
                                                           "--timing-json", "--", "true");
        _cleanup_json_ cJSON *j = e2e_timing(&r);
        const char *id = json_opt_string(j, "runId", "");
        _cleanup_free_ char *next = xasprintf("; next: crabbox-fc logs %s", id);
        _cleanup_free_ char *dir = bundle_of(&r);
        bed_assert_has(r.err.buf, "of more than");
        bed_assert_has(r.err.buf, next);
        bed_assert_has(r.err.buf,
                       "the end of the failed run's output, its logs and its results are");
        check_in(
            dir,
            "grep -q 'of more than' \"$1/error.txt\"; expr \"$1\" : '.*-run_[0-9a-f]\\{12\\}$'");
        if (first)
            assert_string_not_equal(dir, first);
        else
            first = TAKE_PTR(dir);
        _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "logs", id);
        bed_assert_has(l.out.buf, "of more than");
    }
    E2E_EXEC_OK("rm", ".crabboxignore");
}

/* Values that look like a part of it leave it as it is. */
static void test_json_stays_json(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, RUN_FAILING, "--env", "A=\"exitCode\":", "--env", "B=exitCode", "--label",
        "s3cret-value", "--", "sh", "-c", FAILS);
    _cleanup_free_ char *dir = bundle_of(&r);
    check_in(dir, "python3 -c 'import json, sys; j = json.load(open(sys.argv[1] + \"/run.json\")); "
                  "assert j[\"exitCode\"] == 3 and j[\"label\"] == \"[TOKEN]\"' \"$1\"");
}

/* The end of a long output, and what a lease that is gone by then has said. */
static void test_long_output_of_a_lease_that_goes(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, "run", "--slug", "gone", "--no-sync", "-q", "--timing-json", "--", "sh", "-c",
        "head -c 3000000 /dev/zero | tr '\\0' x; echo last; exit 1");
    bed_assert_code(r, 1);
    _cleanup_free_ char *dir = bundle_of(&r);
    check_in(dir, "cd \"$1\"; test \"$(tail -c 6 stdout.log)\" = xlast; head -n 1 stdout.log | "
                  "grep -q '^\\[cut'; test \"$(wc -c <stdout.log)\" -lt 300000; test -s "
                  "console.log");
    _cleanup_bed_result_ struct bed_result none = BED_RUN(&bed, "logs", "run_000000000000");
    bed_assert_code(none, 4);
    bed_assert_has(none.err.buf, "only a run that failed leaves some");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "logs", "gone");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "the command ended with exit code 1\n");
}

static void test_nothing_is_kept_needlessly(void **state)
{
    (void)state;
    check_in(bed.state, "rm -rf \"$1\"/logs/*");
    E2E_OK("run", "--id", "box", "--no-sync", "-q", "--", "true");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN_FAILING, "--capture-on-fail=false",
                                                       "--", "sh", "-c", FAILS);
    bed_assert_code(r, 3);
    _cleanup_free_ char *dir = bundle_of(&r);
    assert_string_equal(dir, "");
    E2E_CODE(4, "run", "--id", "nobody", "-q", "--", "true");
    check_in(bed.state, "test -z \"$(ls \"$1/logs\")\"");
}

/* At most twenty, the newest; those of leases are not counted. */
static void test_old_bundles_go(void **state)
{
    (void)state;
    check_in(bed.state, "cd \"$1/logs\"; for i in $(seq 10 40); do "
                        "mkdir 1$i-a-cbx_000000000000-run_000000000000 1$i-a-cbx_000000000000; "
                        "done");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN_FAILING, "--", "sh", "-c", FAILS);
    bed_assert_code(r, 3);
    _cleanup_free_ char *dir = bundle_of(&r);
    check_in(dir, "cd \"$1\"; test -s stdout.log; cd ..; test $(ls -d *-run_* | wc -l) = 20; "
                  "test $(ls -d *-cbx_000000000000 | wc -l) = 31; rm -rf 1[1-4][0-9]-*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_run_leaves_a_bundle),
        cmocka_unit_test(test_a_run_that_does_not_get_to_its_command),
        cmocka_unit_test(test_json_stays_json),
        cmocka_unit_test(test_long_output_of_a_lease_that_goes),
        cmocka_unit_test(test_nothing_is_kept_needlessly),
        cmocka_unit_test(test_old_bundles_go),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
