/* Interrupts and sudden deaths: of the program, at every point of a warmup; of the VMM; of the
 * keeper. Whatever dies, nothing is left, by itself or after one `cleanup`. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "sys/file.h"
#include "testutil/bed.h"

static struct bed bed;

static int setup(void **state)
{
    (void)state;
    bed_open(&bed);
    bed.run_timeout_ms = 20000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bed_close(&bed);
    return 0;
}

static int after_each(void **state)
{
    (void)state;
    bed_after_each(&bed);
    return 0;
}

/* Points of a warmup where it can be made to stand still. */
static const struct {
    const char *name, *value;
} stops[] = {
    {"NO_SOCKET", "1"},           {"HANG", "GET /version"},   {"HANG", "PUT /machine-config"},
    {"HANG", "PUT /drives/seed"}, {"HANG", "GET /vm/config"}, {"HANG", "PUT /actions"},
    {"GUEST", "silent"},          {"GUEST", "deaf"},
};

/* Starts a warmup that stands still at stop i, and waits until it is there. */
static struct child start_stuck(size_t i)
{
    _cleanup_free_ char *name = xasprintf("CRABBOX_STANDIN_%s", stops[i].name);
    _cleanup_free_ char *mark = xasprintf("%s/mark", bed.dir);
    (void)unlink(mark);
    bed_setenv(&bed, name, stops[i].value);
    bed_setenv(&bed, "CRABBOX_STANDIN_MARK", mark);
    struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", "stuck");
    if (!bed_wait_file(&bed, "mark", 5000))
        fail_msg("the warmup did not reach the stop");
    return c;
}

static void wait_for(struct child *c, struct exit_status *st)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(10000);
    if (child_wait(c, &d, st, &err) < 0)
        fail_msg("%s", err.msg);
}

static void signal_now(const struct child *c, int sig)
{
    struct error err = ERROR_INIT;
    if (child_signal(c, sig, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Ctrl-C and TERM roll back in good order, at once, at every point. */
static void test_interrupt_rolls_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        struct exit_status st;
        struct child c = start_stuck(i);
        signal_now(&c, i % 2 ? SIGTERM : SIGINT);
        wait_for(&c, &st);
        assert_true(st.exited);
        assert_int_equal(st.code, 130);
        bed_assert_clean(&bed);
        bed_clear_faults(&bed);
    }
}

/* kill -9 at every point: the lease is removed without us, or by one cleanup. */
static void test_sudden_death_then_cleanup(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        struct exit_status st;
        struct child c = start_stuck(i);
        signal_now(&c, SIGKILL);
        wait_for(&c, &st);
        assert_true(st.signalled);
        bed_clear_faults(&bed);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cleanup");
        bed_assert_code(r, 0);
        bed_assert_clean(&bed);
    }
}

/* The same at random moments, so that the time before and between the stops is tried too. */
static void test_sudden_death_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct exit_status st;
        struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", "sudden");
        struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
        (void)poll(&p, 1, i * 4);
        signal_now(&c, SIGKILL);
        wait_for(&c, &st);
        _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "sudden");
        bed_assert_code(s, 0);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cleanup");
        bed_assert_code(r, 0);
        bed_assert_clean(&bed);
    }
}

static void warmup(const char *slug)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "-q", "--slug", slug);
    bed_assert_code(r, 0);
}

static pid_t vmm_pid(const char *slug)
{
    struct error err = ERROR_INIT;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "status", "--json", slug);
    bed_assert_code(r, 0);
    _cleanup_json_ cJSON *j = json_parse(r.out.buf, r.out.len, "status", &err);
    int64_t pid = json_opt_i64(cJSON_GetObjectItem(j, "vmm"), "pid", 0);
    assert_true(pid > 1);
    return (pid_t)pid;
}

/* The VMM is in a session of its own, so a terminal's Ctrl-C does not reach a kept lease. */
static void test_vmm_has_its_own_session(void **state)
{
    (void)state;
    warmup("session");
    pid_t pid = vmm_pid("session");
    assert_int_equal(getsid(pid), pid);
    assert_int_not_equal(getsid(pid), getsid(0));
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "session");
    bed_assert_code(s, 0);
}

/* A VMM that was killed: status says so with 5, run does too, stop removes the rest. */
static void test_vmm_killed(void **state)
{
    (void)state;
    warmup("killed");
    assert_int_equal(kill(vmm_pid("killed"), SIGKILL), 0);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "killed", "--no-sync",
                                                       "--", "true");
    bed_assert_code(r, 5);
    bed_assert_has(r.err.buf, "killed");
    _cleanup_bed_result_ struct bed_result t = BED_RUN(&bed, "status", "killed");
    bed_assert_code(t, 5);
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "killed");
    bed_assert_code(s, 0);
}

/* A VMM that dies under a running command ends the command with a transport error, soon. */
static void test_vmm_killed_under_a_command(void **state)
{
    (void)state;
    int out[2];
    char byte;
    struct exit_status st;
    warmup("under");
    assert_int_equal(pipe(out), 0);
    struct child c = BED_START(&bed, out[1], "run", "--id", "under", "--no-sync", "-q", "--", "sh",
                               "-c", "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    assert_int_equal(kill(vmm_pid("under"), SIGKILL), 0);
    wait_for(&c, &st);
    (void)close(out[0]);
    assert_true(st.exited);
    assert_true(st.code == 1 || st.code == 7);
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "under");
    bed_assert_code(s, 0);
}

/* Ctrl-C during a run of its own lease releases the lease. */
static void test_interrupt_of_a_run(void **state)
{
    (void)state;
    int out[2];
    char byte;
    struct exit_status st;
    assert_int_equal(pipe(out), 0);
    struct child c = BED_START(&bed, out[1], "run", "--no-sync", "-q", "--", "sh", "-c",
                               "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    signal_now(&c, SIGINT);
    wait_for(&c, &st);
    (void)close(out[0]);
    assert_true(st.exited);
    assert_int_equal(st.code, 130);
    bed_assert_clean(&bed);
}

/* One unreadable record is listed as broken and hides nothing. */
static void test_a_broken_record_hides_nothing(void **state)
{
    (void)state;
    warmup("whole");
    _cleanup_bed_result_ struct bed_result h = BED_EXEC(
        &bed, "sh", "-ec",
        "d=$CRABBOX_FC_STATE_DIR/leases/cbx_0123456789ab; mkdir -m 0700 $d; echo '{' > "
        "$d/lease.json");
    bed_assert_code(h, 0);
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "whole");
    bed_assert_has(l.out.buf, "broken");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "whole");
    bed_assert_code(s, 0);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-c", "rm -r \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_0123456789ab");
    bed_assert_code(r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_interrupt_rolls_back, after_each),
        cmocka_unit_test_teardown(test_sudden_death_then_cleanup, after_each),
        cmocka_unit_test_teardown(test_sudden_death_at_any_moment, after_each),
        cmocka_unit_test_teardown(test_vmm_has_its_own_session, after_each),
        cmocka_unit_test_teardown(test_vmm_killed, after_each),
        cmocka_unit_test_teardown(test_vmm_killed_under_a_command, after_each),
        cmocka_unit_test_teardown(test_interrupt_of_a_run, after_each),
        cmocka_unit_test_teardown(test_a_broken_record_hides_nothing, after_each),
    };
    return bed_run_group(tests, setup, teardown);
}
