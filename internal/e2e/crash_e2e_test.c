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
        assert_int_equal(e2e_code(&c, 60000), 130);
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
        assert_true(e2e_wait(&c, 60000).signalled);
        bed_clear_faults(&bed);
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
        assert_true(e2e_wait(&c, 60000).signalled);
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
        E2E_TEST(test_interrupt_rolls_back),          E2E_TEST(test_sudden_death_then_nobody),
        E2E_TEST(test_slug_of_an_interrupted_lease),  E2E_TEST(test_vmm_has_its_own_session),
        E2E_TEST(test_a_broken_record_hides_nothing),
    };
    bed.run_timeout_ms = 20000;
    return E2E_MAIN(tests);
}
