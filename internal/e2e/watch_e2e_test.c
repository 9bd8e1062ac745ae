/* watch: a run for each change of what a sync would send, and none for anything else. */
#include <signal.h>
#include <string.h>

#include "e2e/e2e.h"

/* Lines of shell around a watch that writes to `out` and `err`; after them it is interrupted. Its
 * exit code is the result. */
#define AROUND(args, script)                                                                       \
    "has() { until grep -qs \"$1\" \"$2\"; do kill -0 $pid || exit 99; sleep 0.05; done; }\n"      \
    "runs() { until [ \"$(grep -c waiting err)\" -ge \"$1\" ]; do kill -0 $pid || exit 99; "       \
    "sleep 0.05; done; }\n" /* in one step, so that it is one change */                            \
    "put() { echo \"$1\" >new.part; mv new.part \"$2\"; }\n"                                       \
    ": >out; : >err; cd tree; \"$0\" watch --debounce 50ms " args " >../out 2>../err & pid=$!\n"   \
    "cd ..\n" script "\nkill -INT $pid; wait $pid; code=$?; cat err >&2; exit $code"

static int fresh(void **state)
{
    (void)state;
    e2e_shell("rm -rf tree out err; mkdir tree; cd tree; git init -q .; echo '*.o' >.gitignore\n"
              "mkdir -p a/b; echo one >a/b/f");
    return 0;
}

static int after(void **state)
{
    e2e_shell("rm -rf tree out err");
    return e2e_after_each(state);
}

/* Runs AROUND(...), which has to be interrupted. */
static struct bed_result interrupted(const char *script)
{
    struct bed_result r = BED_EXEC(&bed, "sh", "-c", script, bed.program);
    bed_assert_code(r, 130);
    return r;
}

static void test_a_run_for_each_change(void **state)
{
    (void)state;
    static const char script[] = AROUND(
        "--slug w -- sh -c 'cat a/b/f; cat new/g'",
        "has one out; runs 1\n"
        "put two tree/a/b/f; has two out; runs 2\n"
        /* What is not sent starts no run: the next change is the third. */
        "echo x >tree/a/x.o; mkdir -p tree/.git/x; echo y >tree/.git/x/y\n"
        "mkdir new; echo three >new/g; mv new tree; has three out; runs 3\n"
        /* In the directory that was not there at first. */
        "put four tree/new/g; has four out; runs 4\n"
        "\"$0\" status w >/dev/null || exit 98");
    _cleanup_bed_result_ struct bed_result r = interrupted(script);
    bed_assert_has(r.err.buf, "watch: run 4 ended with 0");
    bed_assert_has(r.err.buf, "watch: ended after 4 runs");
    assert_false(e2e_there("w"));
    e2e_shell("test \"$(grep -c two out)\" = 3"); /* in each run but the first */
}

/* A failing run is a result like any other; a lease of --id stays. */
static void test_a_failure_goes_on(void **state)
{
    (void)state;
    e2e_warmup("mine");
    static const char script[] = AROUND("--id mine -- sh -c 'cat a/b/f; exit 3'",
                                        "runs 1; put two tree/a/b/f; has two out; runs 2");
    _cleanup_bed_result_ struct bed_result r = interrupted(script);
    bed_assert_has(r.err.buf, "watch: run 2 ended with 3");
    e2e_stop("mine");
}

/* A command that changes nothing here, and a tree that nobody touches: it ends by itself. */
static void test_it_ends_by_itself(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-c", "cd tree; exec \"$0\" watch --idle-exit 500ms -- sh -c 'exit 4'",
        bed.program);
    bed_assert_code(r, 4);
    bed_assert_has(r.err.buf, "watch: ended after 1 run\n");
    bed_assert_has(r.err.buf, "watch: nothing has changed for 500ms; next: --idle-exit TIME");
    E2E_CODE(2, "watch");
    _cleanup_bed_result_ struct bed_result both = BED_RUN(&bed, "watch", "--id", "a", "--slug", "b",
                                                          "--", "true");
    bed_assert_code(both, 2);
    bed_assert_has(both.err.buf, "--id and --slug can't be used together");
    E2E_CODE(2, "watch", "--download", "a=b", "--", "true");
}

/* A tree that never rests: it is run again all the same, and interrupted at once. */
static void test_a_tree_that_never_rests(void **state)
{
    (void)state;
    static const char script[] = AROUND(
        "--slug busy -- cat a/b/f",
        "(while :; do echo $((n = n + 1)) >tree/a/b/f; sleep 0.02; done) & noise=$!\n"
        "runs 3; kill $noise");
    _cleanup_bed_result_ struct bed_result r = interrupted(script);
    assert_false(e2e_there("busy"));
}

/* A link to a directory elsewhere is sent as a link: what is behind it is not watched. */
static void test_links_are_not_followed(void **state)
{
    (void)state;
    static const char script[] = AROUND(
        "--slug l -- cat a/b/f",
        "runs 1; mkdir away; ln -s \"$PWD/away\" tree/link; runs 2\n"
        "echo x >away/x; put two tree/a/b/f; has two out; runs 3; rm -r away");
    _cleanup_bed_result_ struct bed_result r = interrupted(script);
    bed_assert_has(r.err.buf, "watch: ended after 3 runs");
}

/* What sync.include leaves out is not sent, so a change of it starts no run. */
static void test_only_what_is_included(void **state)
{
    (void)state;
    static const char script[] = AROUND(
        "--slug inc --sync-include 'a/**' -- cat a/b/f",
        "runs 1; put x tree/out; mkdir tree/o; put y tree/o/p; sleep 1\n"
        "put two tree/a/b/f; has two out; runs 2");
    _cleanup_bed_result_ struct bed_result r = interrupted(script);
    bed_assert_has(r.err.buf, "watch: ended after 2 runs");
}

/* What is wrong from the start is said before there is a lease. */
static void test_nothing_is_made_for_a_mistake(void **state)
{
    (void)state;
    static const char *const mistakes[] = {"cd tree; \"$0\" watch --debounce x -- true",
                                           "cd tree; \"$0\" watch --idle-exit x -- true",
                                           "cd /; \"$0\" watch --idle-exit 1ms -- true"};
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", mistakes[i],
                                                            bed.program);
        bed_assert_code(r, 2);
        assert_null(strstr(r.err.buf, "watch: "));
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, after)
    const struct CMUnitTest tests[] = {
        T(test_a_run_for_each_change),
        T(test_a_failure_goes_on),
        T(test_it_ends_by_itself),
        T(test_a_tree_that_never_rests),
        T(test_links_are_not_followed),
        T(test_only_what_is_included),
        T(test_nothing_is_made_for_a_mistake),
    };
    return E2E_MAIN(tests);
}
