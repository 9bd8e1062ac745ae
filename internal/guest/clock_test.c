#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/clock.h"

#define MS 1000000LL

static int64_t edges(struct chip_watch *w, int64_t first, int64_t second)
{
    int64_t by;
    assert_false(clock_edge(w, first, &by));
    assert_int_equal(by, 0);
    assert_true(clock_edge(w, second, &by));
    return by;
}

/* The chip's second begins 600 ms after the clock's; the guest then stands still for 7.5 s. */
static void what_the_clock_has_lost(void **state)
{
    (void)state;
    struct chip_watch w = {0};
    assert_int_equal(edges(&w, 603 * MS, 600 * MS), 0);
    assert_true(w.known);
    assert_int_equal(w.gap, 600 * MS);
    assert_int_equal(edges(&w, 601 * MS, 612 * MS), 0);
    assert_int_equal(edges(&w, -6900 * MS, -6899 * MS), 7500 * MS);
    assert_int_equal(edges(&w, 600 * MS, 600 * MS), 0);
}

/* An interrupt that comes late, and a clock that somebody set forward, are no loss. */
static void what_is_no_loss(void **state)
{
    (void)state;
    struct chip_watch w = {0};
    int64_t by;
    assert_int_equal(edges(&w, 600 * MS, 600 * MS), 0);
    assert_int_equal(edges(&w, 570 * MS, 571 * MS), 0);
    assert_int_equal(edges(&w, 9000 * MS, 9000 * MS), 0);
    /* One that alone is far off: more edges, up to six. */
    assert_false(clock_edge(&w, 9000 * MS, &by));
    assert_false(clock_edge(&w, 640 * MS, &by));
    assert_false(clock_edge(&w, 601 * MS, &by));
    assert_true(clock_edge(&w, 610 * MS, &by));
    assert_int_equal(by, 0);
    for (int i = 0; i < 5; i++)
        assert_false(clock_edge(&w, -1000 * i * MS, &by));
    assert_true(clock_edge(&w, -9000 * MS, &by));
    assert_int_equal(by, 0);
    assert_int_equal(w.gap, 600 * MS);
}

/* Emulated guests lose time while they boot. */
static void a_clock_behind_the_chip(void **state)
{
    (void)state;
    struct chip_watch w = {0};
    assert_int_equal(edges(&w, -4743 * MS, -4740 * MS), 4743 * MS); /* within the second */
    assert_false(w.known);
    assert_int_equal(edges(&w, 2 * MS, 1 * MS), 0);
    assert_int_equal(w.gap, 1 * MS);
    /* A command tells of 700 ms, so it is now known better. */
    clock_told(&w, 700 * MS);
    assert_int_equal(edges(&w, 703 * MS, 701 * MS), 0);
    assert_int_equal(w.gap, 701 * MS);
    assert_int_equal(edges(&w, -19300 * MS, -19299 * MS), 20001 * MS);
}

/* The guest stands still after a command told, before its second changed twice. */
static void a_pause_after_a_command(void **state)
{
    (void)state;
    struct chip_watch w = {0};
    int64_t by;
    assert_int_equal(edges(&w, 600 * MS, 600 * MS), 0);
    clock_told(&w, 20000 * MS);
    assert_false(clock_edge(&w, 601 * MS, &by));
    assert_int_equal(edges(&w, -19400 * MS, -19400 * MS), 20000 * MS);
    assert_int_equal(w.gap, 600 * MS);
    /* Somebody set it forward; the next command tells. */
    assert_int_equal(edges(&w, 5600 * MS, 5600 * MS), 0);
    clock_told(&w, -5000 * MS);
    assert_int_equal(edges(&w, 600 * MS, 600 * MS), 0);
    assert_int_equal(w.gap, 600 * MS);
    /* Nothing was known: to the second. */
    w = (struct chip_watch){0};
    clock_told(&w, 20000 * MS);
    assert_int_equal(edges(&w, -19400 * MS, -19400 * MS), 19400 * MS);
}

static void words_of_the_host(void **state)
{
    (void)state;
    int64_t by = 0;
    assert_int_equal(clock_parse("30.250000", &by), 0);
    assert_int_equal(by, 30250 * MS);
    assert_int_equal(clock_parse("-0.5", &by), 0);
    assert_int_equal(by, -500 * MS);
    static const char *const bad[] = {"", "-", "--1", "1e9", "999999999999", "1.5x", "now"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(clock_parse(bad[i], &by), -1);
}

static void lines_of_the_host(void **state)
{
    (void)state;
    int64_t by, booted;
    char both[] = "-1.5 1796045999.250000\n", one[] = "2.000000\n", odd[] = "1.5 x\n", none[] = "";
    assert_int_equal(clock_read(both, &by, &booted), 0);
    assert_int_equal(by, -1500 * MS);
    assert_int_equal(booted, 1796045999250 * MS);
    assert_int_equal(clock_read(one, &by, &booted), 0);
    assert_int_equal(by, 2000 * MS);
    assert_int_equal(booted, 0);
    assert_int_equal(clock_read(odd, &by, &booted), -1);
    assert_int_equal(clock_read(none, &by, &booted), -1);
}

/* An hour behind when that was measured; init has set half of it, or all, or somebody more. */
static void what_is_left_to_set(void **state)
{
    (void)state;
    const int64_t hour = 3600 * 1000 * MS, booted = 1000 * hour;
    assert_int_equal(clock_left(hour, booted, booted), hour);
    assert_int_equal(clock_left(hour, booted, booted + 20 * MS), hour); /* as exactly as is told */
    assert_int_equal(clock_left(hour, booted, booted + hour / 2), hour / 2);
    assert_int_equal(clock_left(hour, booted, booted + hour), 0);
    assert_int_equal(clock_left(hour, booted, booted - hour), 2 * hour);
    assert_int_equal(clock_left(hour, 0, booted), hour); /* by a host that doesn't tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_clock_has_lost), cmocka_unit_test(what_is_no_loss),
        cmocka_unit_test(a_clock_behind_the_chip), cmocka_unit_test(a_pause_after_a_command),
        cmocka_unit_test(words_of_the_host),       cmocka_unit_test(lines_of_the_host),
        cmocka_unit_test(what_is_left_to_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
