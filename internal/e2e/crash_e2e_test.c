/* Interrupts and sudden deaths: of the program, at every point of a warmup; of the VMM; of the
 * keeper. Whatever dies, nothing is left, by itself or after one `cleanup`. */
#include <signal.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "lease/store.h"

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
    bed_setenv(&bed, name, stops[i].value);
    return e2e_warmup_stuck("stuck");
}

/* Ctrl-C and TERM roll back in good order, at once, at every point. */
static void test_interrupt_rolls_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        struct child c = start_stuck(i);
        e2e_signal(&c, i % 2 ? SIGTERM : SIGINT);
        assert_int_equal(e2e_code(&c, 10000), 130);
        bed_assert_clean(&bed);
        bed_clear_faults(&bed);
    }
}

/* kill -9 at every point: the lease goes, though nobody types another command. */
static void test_sudden_death_then_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        struct child c = start_stuck(i);
        e2e_signal(&c, SIGKILL);
        assert_true(e2e_wait(&c, 10000).signalled);
        bed_clear_faults(&bed);
        e2e_wait_until_none();
    }
}

/* The same at random moments, so that the time before and between the stops is tried too. One that
 * was ready by then ends at its expiry. */
static void test_sudden_death_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 24; i++) {
        struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", "sudden", "--ttl", "2s");
        struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
        (void)poll(&p, 1, i * 5);
        e2e_signal(&c, SIGKILL);
        (void)e2e_wait(&c, 10000);
        e2e_wait_until_none();
    }
}

/* And at random moments of a removal. */
static void test_sudden_death_of_a_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        e2e_warmup("halfway");
        struct child c = BED_START(&bed, -1, "stop", "halfway");
        struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
        (void)poll(&p, 1, 2 + i * 3);
        e2e_signal(&c, SIGKILL);
        (void)e2e_wait(&c, 10000);
        struct lease_entry *all = NULL;
        size_t n = e2e_leases(&all);
        /* Killed before it had begun, it has changed nothing. */
        bool untouched = n == 1 && !all[0].locked && all[0].lease.state == LEASE_READY;
        free(all);
        if (untouched)
            e2e_stop("halfway");
        e2e_wait_until_none();
    }
}

/* The slug of an interrupted lease is free for whoever asks for it, at once. */
static void test_slug_of_an_interrupted_lease(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        struct child c = start_stuck(i);
        e2e_signal(&c, SIGKILL);
        assert_true(e2e_wait(&c, 10000).signalled);
        bed_clear_faults(&bed);
        e2e_warmup("stuck");
        e2e_stop("stuck");
    }
    e2e_wait_until_none();
}

/* The VMM is in a session of its own, so a terminal's Ctrl-C does not reach a kept lease. */
static void test_vmm_has_its_own_session(void **state)
{
    (void)state;
    e2e_warmup("session");
    pid_t pid = e2e_vmm_pid("session");
    assert_int_equal(getsid(pid), pid);
    assert_int_not_equal(getsid(pid), getsid(0));
    e2e_stop("session");
}

/* A VMM that was killed: status says so with 5, run does too, stop removes the rest. */
static void test_vmm_killed(void **state)
{
    (void)state;
    e2e_warmup("killed");
    assert_int_equal(kill(e2e_vmm_pid("killed"), SIGKILL), 0);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "killed", "--no-sync",
                                                       "--", "true");
    bed_assert_code(r, 5);
    bed_assert_has(r.err.buf, "killed");
    E2E_CODE(5, "status", "killed");
    e2e_stop("killed");
}

/* A VMM that dies under a running command ends the command with a transport error, soon. */
static void test_vmm_killed_under_a_command(void **state)
{
    (void)state;
    int out[2];
    char byte;
    e2e_warmup("under");
    assert_int_equal(pipe(out), 0);
    struct child c = BED_START(&bed, out[1], "run", "--id", "under", "--no-sync", "-q", "--", "sh",
                               "-c", "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    assert_int_equal(kill(e2e_vmm_pid("under"), SIGKILL), 0);
    int code = e2e_code(&c, 10000);
    (void)close(out[0]);
    assert_true(code == 1 || code == 7);
    e2e_stop("under");
}

/* Ctrl-C during a run of its own lease releases the lease. */
static void test_interrupt_of_a_run(void **state)
{
    (void)state;
    int out[2];
    char byte;
    assert_int_equal(pipe(out), 0);
    struct child c = BED_START(&bed, out[1], "run", "--no-sync", "-q", "--", "sh", "-c",
                               "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    e2e_signal(&c, SIGINT);
    assert_int_equal(e2e_code(&c, 10000), 130);
    (void)close(out[0]);
    bed_assert_clean(&bed);
}

/* One unreadable record is listed as broken and hides nothing. */
static void test_a_broken_record_hides_nothing(void **state)
{
    (void)state;
    e2e_warmup("whole");
    e2e_shell("d=$CRABBOX_FC_STATE_DIR/leases/cbx_0123456789ab; mkdir -m 0700 $d; echo '{' > "
              "$d/lease.json");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "whole");
    bed_assert_has(l.out.buf, "broken");
    e2e_stop("whole");
    E2E_EXEC_OK("sh", "-c", "rm -r \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_0123456789ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_interrupt_rolls_back),
        E2E_TEST(test_sudden_death_then_nobody),
        E2E_TEST(test_sudden_death_at_any_moment),
        E2E_TEST(test_sudden_death_of_a_stop),
        E2E_TEST(test_slug_of_an_interrupted_lease),
        E2E_TEST(test_vmm_has_its_own_session),
        E2E_TEST(test_vmm_killed),
        E2E_TEST(test_vmm_killed_under_a_command),
        E2E_TEST(test_interrupt_of_a_run),
        E2E_TEST(test_a_broken_record_hides_nothing),
    };
    bed.run_timeout_ms = 20000;
    return E2E_MAIN(tests);
}
