/* Runs that end in a way that nobody planned: killed on the host, or their lease taken away. */
#include <signal.h>

#include "e2e/e2e.h"

/* ---- killed ---- */

#define RUN_IN_BOX "run", "--id", "box", "--no-sync", "-q", "--"

/* Nothing of the run can say or do anything any more. The next one knows of it. */
static void test_the_next_run_ends_what_a_killed_one_left(void **state)
{
    (void)state;
    struct child c = BED_START(&bed, -1, RUN_IN_BOX, "sh", "-c", "setsid sleep 4441 & sleep 4441");
    e2e_wait_processes("4441", 2);
    e2e_signal(&c, SIGKILL);
    (void)e2e_wait(&c, 10000);
    assert_int_equal(e2e_processes("4441"), 2);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "ls", "-A", ".");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "");
    bed_assert_has(r.err.buf, "an earlier run (run_");
    bed_assert_has(r.err.buf, "still ran in the guest: it was ended now");
    assert_int_equal(e2e_processes("4441"), 0);
    _cleanup_bed_result_ struct bed_result again = E2E_RUN_IN("box", "--", "true");
    bed_assert_code(again, 0);
    assert_string_equal(again.err.buf, "");
}

/* A command that has ended meanwhile is nobody's business; nor is a server that a run left on
 * purpose. */
static void test_what_has_ended_is_not_told(void **state)
{
    (void)state;
    struct child c = BED_START(&bed, -1, RUN_IN_BOX, "sh", "-c", "sleep 4442; :");
    e2e_wait_processes("4442", 1);
    e2e_signal(&c, SIGKILL);
    (void)e2e_wait(&c, 10000);
    e2e_guest("box", "pkill -f 'sleep 444[2]'");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN(
        "box", "--", "sh", "-c", "setsid sleep 4443 >/dev/null 2>&1 </dev/null &");
    bed_assert_code(r, 0);
    assert_string_equal(r.err.buf, "");
    _cleanup_bed_result_ struct bed_result again = E2E_RUN_IN("box", "--", "true");
    assert_string_equal(again.err.buf, "");
    assert_int_equal(e2e_processes("4443"), 1);
    e2e_guest("box", "pkill -f 'sleep 444[3]'");
}

/* Each signal that a terminal, a shell or a service manager sends ends the command with the run. A
 * SIGHUP that nohup keeps off does not. */
static void test_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct child c = BED_START(&bed, -1, RUN_IN_BOX, "sh", "-c",
                                   "setsid sleep 4446 & sleep 4446");
        e2e_wait_processes("4446", 2);
        e2e_signal(&c, signals[i]);
        assert_int_equal(e2e_code(&c, 30000), 130);
        assert_int_equal(e2e_processes("4446"), 0);
    }
    static const char script[] =
        "nohup \"$0\" run --id box --no-sync -q -- sh -c 'echo on; sleep 3; echo end' >out 2>err & "
        "while ! grep -qs on out; do sleep 0.02; done; kill -HUP $!; wait $!; code=$?; cat out; "
        "rm out err; exit $code";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", script, bed.program);
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "on\nend\n");
}

/* A file that somebody else wrote is no id. */
static void test_a_mark_that_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"run_x;touch /tmp/owned", "", "run_0000000000000000000",
                                        "run_/../../../x", "pid 1"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        _cleanup_free_ char *line = xasprintf("cd %s/leases/cbx_*; printf %%s '%s' >running",
                                              bed.state, texts[i]);
        e2e_shell(line);
        _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "sh", "-c",
                                                              "! ls /tmp/owned 2>/dev/null");
        bed_assert_code(r, 0);
        assert_string_equal(r.err.buf, "");
    }
}

/* What could not be ended is not forgotten: a guest whose bash refuses just that. */
static void test_what_can_not_be_ended_is_tried_again(void **state)
{
    (void)state;
    _cleanup_free_ char *mark = xasprintf("cd %s/leases/cbx_*; echo run_0123456789ab >running",
                                          bed.state);
    _cleanup_free_ char *kept = xasprintf("cd %s/leases/cbx_*; grep -qx run_0123456789ab running; "
                                          "test $(wc -l <running) = 1",
                                          bed.state);
    _cleanup_free_ char *gone = xasprintf("! ls %s/leases/cbx_*/running 2>/dev/null", bed.state);
    e2e_guest("box", "mkdir ~/b; printf '#!/bin/sh\\ncase $* in *RUN_ID=run_*) exit 1;; esac\\n"
                     "exec /bin/bash \"$@\"\\n' >~/b/bash; chmod +x ~/b/bash; "
                     "echo 'PATH=~/b:$PATH' >~/.bashrc; CRABBOX_RUN_ID=run_0123456789ab setsid "
                     "sleep 4447 >/dev/null 2>&1 </dev/null &");
    e2e_wait_processes("4447", 1);
    e2e_shell(mark);
    for (int i = 0; i < 2; i++) {
        _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "true");
        bed_assert_code(r, 0);
        bed_assert_has(r.err.buf, "an earlier run (run_0123456789ab) was cut off, and its command "
                                  "still runs in the guest: ");
        e2e_shell(kept);
    }
    e2e_guest("box", "rm -r ~/b ~/.bashrc");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "true");
    bed_assert_has(r.err.buf, "it was ended now");
    assert_int_equal(e2e_processes("4447"), 0);
    e2e_shell(gone);
}

/* ---- the lease goes ---- */

/* A run, and `meanwhile` once its command works: it says what became of its lease. */
static void lease_goes(const char *slug, const char *command, const char *meanwhile,
                       const char *says)
{
    _cleanup_free_ char *script = xasprintf(
        "\"$0\" run --id %s --no-sync --timing-json -- sh -c 'echo on; %s' 2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "%s\nwait $run; code=$?; cat err >&2; rm err out; exit $code",
        slug, command, meanwhile);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", script, bed.program);
    print_message("%s", r.err.buf);
    bed_assert_code(r, 5);
    bed_assert_has(r.err.buf, says);
    bed_assert_has(r.err.buf, slug);
    bed_assert_has(r.err.buf, BED_NEXT "crabbox-fc ");
    bed_assert_has(r.err.buf, "\"cause\":\"not_running\"");
    assert_null(strstr(r.err.buf, "connection"));
    /* The lease's logs have gone with it; those of the run are kept. */
    _cleanup_free_ char *gone = xasprintf("crabbox-fc logs %s", slug);
    assert_null(strstr(r.err.buf, gone));
    bed_assert_has(r.err.buf, "crabbox-fc logs run_");
}

static void test_stop_during_a_run(void **state)
{
    (void)state;
    /* One that ends at the guest's SIGTERM, one that says so by its code, and one that goes on. */
    static const char *const commands[] = {"exec sleep 4444",
                                           "trap \"exit 3\" TERM; sleep 4444 & wait",
                                           "trap \"\" TERM; sleep 4444; sleep 4444"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        e2e_warmup("gone");
        lease_goes("gone", commands[i], "\"$0\" stop -q gone", "was stopped while it was in use");
    }
}

static void test_expiry_during_a_run(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "short", "--ttl", "6s");
    lease_goes("short", "sleep 4445", ":",
               "has expired while it was in use: its lease.ttl is over");
    e2e_wait_until_none();
}

int main(void)
{
    const struct CMUnitTest in_box[] = {
        cmocka_unit_test(test_the_next_run_ends_what_a_killed_one_left),
        cmocka_unit_test(test_what_has_ended_is_not_told),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_a_mark_that_is_none),
        cmocka_unit_test(test_what_can_not_be_ended_is_tried_again),
    };
    const struct CMUnitTest alone[] = {
        E2E_TEST(test_stop_during_a_run),
        E2E_TEST(test_expiry_during_a_run),
    };
    int failed = E2E_GROUP(in_box, e2e_open_box, e2e_close_box);
    return failed + E2E_MAIN(alone);
}
