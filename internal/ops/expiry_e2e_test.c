/* A lease ends when its time is over, though nobody types a command and no service runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ops/ops.h"
#include "testutil/bed.h"
#include "testutil/chaos.h"

static struct bed bed;
static struct store store;

static int setup(void **state)
{
    (void)state;
    bed_open(&bed);
    return store_open(&store, bed.state, ops_step_names(), NULL);
}

static int teardown(void **state)
{
    (void)state;
    store_close(&store);
    bed_close(&bed);
    return 0;
}

static int after_each(void **state)
{
    (void)state;
    bed_after_each(&bed);
    return 0;
}

static bool there(const char *slug)
{
    char id[LEASE_ID_SIZE];
    return store_resolve(&store, slug, id, NULL) == 0;
}

static void wait_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* Only looks at the directory; the program is not run. Returns how long it took. */
static int64_t wait_until_gone(const char *slug, int64_t ms)
{
    struct deadline d = deadline_in_ms(ms);
    int64_t start = clock_boot_ms();
    while (there(slug)) {
        if (deadline_passed(&d))
            fail_msg("%s is still there", slug);
        wait_ms(10);
    }
    bed_assert_clean(&bed);
    return clock_boot_ms() - start;
}

#define WARMUP(slug, ...)                                                                          \
    warmup((const char *const[]){"warmup", "-q", "--slug", slug, __VA_ARGS__, NULL})

static void warmup(const char *const *args)
{
    _cleanup_bed_result_ struct bed_result r = bed_run(&bed, args);
    bed_assert_code(r, 0);
}

static void test_ttl_is_over(void **state)
{
    (void)state;
    WARMUP("short", "--ttl", "4s");
    assert_true(there("short"));
    int64_t took = wait_until_gone("short", 10000);
    assert_in_range(took, 0, 8000);
}

static void test_idle_timeout_is_over(void **state)
{
    (void)state;
    WARMUP("idle", "--idle-timeout", "3s");
    (void)wait_until_gone("idle", 10000);
}

static void use(const char *slug)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", slug, "--no-sync", "-q",
                                                       "--", "true");
    bed_assert_code(r, 0);
}

/* Every use moves the idle deadline; without use it comes. */
static void test_use_extends(void **state)
{
    (void)state;
    int64_t start = clock_boot_ms();
    WARMUP("used", "--idle-timeout", "3s");
    while (clock_boot_ms() - start < 6000) {
        use("used");
        wait_ms(500);
    }
    assert_true(there("used"));
    (void)wait_until_gone("used", 10000);
}

static void test_heartbeat_extends(void **state)
{
    (void)state;
    int64_t start = clock_boot_ms();
    WARMUP("touched", "--idle-timeout", "3s");
    while (clock_boot_ms() - start < 6000) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "heartbeat", "touched");
        bed_assert_code(r, 0);
        wait_ms(500);
    }
    assert_true(there("touched"));
    (void)wait_until_gone("touched", 10000);
}

static void test_work_does_not_idle_out(void **state)
{
    (void)state;
    WARMUP("busy", "--idle-timeout", "3s");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "busy", "--no-sync",
                                                       "-q", "--", "sleep", "5");
    bed_assert_code(r, 0);
    (void)wait_until_gone("busy", 10000);
}

static void test_ttl_is_hard(void **state)
{
    (void)state;
    WARMUP("hard", "--ttl", "3s");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "hard", "--no-sync",
                                                       "-q", "--", "sleep", "60");
    assert_true(r.st.exited && r.st.code != 0);
    assert_in_range(r.took_ms, 0, 15000);
    (void)wait_until_gone("hard", 10000);
}

static void test_kept_ones_stay(void **state)
{
    (void)state;
    WARMUP("kept", "--keep", "--ttl", "1s", "--idle-timeout", "1s");
    wait_ms(2500);
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup");
    bed_assert_code(c, 0);
    use("kept");
    assert_true(chaos_kill_vmm(&store, "kept")); /* not even then */
    _cleanup_bed_result_ struct bed_result d = BED_RUN(&bed, "cleanup");
    bed_assert_code(d, 0);
    assert_true(there("kept"));
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "kept");
    bed_assert_code(s, 0);
    bed_assert_clean(&bed);
}

/* The program that made the lease and works on it is killed; the lease's time ends all the same. */
static void test_death_of_the_maker(void **state)
{
    int out[2];
    char byte;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(pipe(out), 0);
    struct child c = BED_START(&bed, out[1], "run", "--slug", "orphan", "--idle-timeout", "3s",
                               "--no-sync", "-q", "--", "sh", "-c", "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    (void)close(out[0]);
    assert_int_equal(child_signal(&c, SIGKILL, &err), 0);
    child_kill(&c);
    assert_true(there("orphan"));
    (void)wait_until_gone("orphan", 10000);
}

/* Somebody sets the clock: the keeper judges anew and does not sleep on. */
static void test_clock_is_set(void **state)
{
    (void)state;
    WARMUP("jump", "--ttl", "10h", "--idle-timeout", "9h");
    assert_true(chaos_shift_clock(&store, "jump", 36000));
    (void)wait_until_gone("jump", 10000);
}

/* Without its keeper it is at least shown as expired, and cleanup takes it. */
static void test_death_of_the_keeper(void **state)
{
    (void)state;
    WARMUP("unkept", "--ttl", "10h");
    assert_true(chaos_kill_keeper(&store, "unkept"));
    assert_true(chaos_shift_clock(&store, "unkept", 36000));
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "expired");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup");
    bed_assert_code(c, 0);
    bed_assert_clean(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ttl_is_over, after_each),
        cmocka_unit_test_teardown(test_idle_timeout_is_over, after_each),
        cmocka_unit_test_teardown(test_use_extends, after_each),
        cmocka_unit_test_teardown(test_heartbeat_extends, after_each),
        cmocka_unit_test_teardown(test_work_does_not_idle_out, after_each),
        cmocka_unit_test_teardown(test_ttl_is_hard, after_each),
        cmocka_unit_test_teardown(test_kept_ones_stay, after_each),
        cmocka_unit_test_teardown(test_death_of_the_maker, after_each),
        cmocka_unit_test_teardown(test_clock_is_set, after_each),
        cmocka_unit_test_teardown(test_death_of_the_keeper, after_each),
    };
    return bed_run_group(tests, setup, teardown);
}
