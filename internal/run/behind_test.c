#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/behind.h"

/* Our clock says 100 s when the last byte left, and 40 ms later the first one came. */
#define SENT 100000000LL
#define GOT  100040000LL

static void a_clock_that_stood_still(void **state)
{
    (void)state;
    assert_int_equal(behind_us("70.000000", SENT, GOT), 30020000);
    assert_int_equal(behind_us("70,000000", SENT, GOT), 30020000);
    /* One that is ahead. */
    assert_int_equal(behind_us("103.500000", SENT, GOT), -3480000);
}

/* What may be the way of the answer is no difference of the clocks. */
static void a_clock_that_may_be_right(void **state)
{
    (void)state;
    static const char *const right[] = {"100.000000", "100.020000", "100.040000", "99.991000",
                                        "100.049000"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_int_equal(behind_us(right[i], SENT, GOT), 0);
    assert_int_not_equal(behind_us("99.989000", SENT, GOT), 0);
    assert_int_not_equal(behind_us("100.051000", SENT, GOT), 0);
}

static void what_is_no_time(void **state)
{
    (void)state;
    static const char *const words[] = {"",           "70",          "70.",
                                        "70.1",       "70.0000000",  "-70.000000",
                                        "70.00000x",  "x70.000000",  "123456789012.000000",
                                        "70.-00000",  " 70.000000",  "70.000000 ",
                                        "70..000000", "$(reboot).1", "70:000000"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(behind_us(words[i], SENT, GOT), 0);
    /* An answer before the question. */
    assert_int_equal(behind_us("70.000000", GOT, SENT), 0);
    assert_int_equal(behind_us("70.000000", 0, GOT), 0);
    /* The largest number that is taken stays far from an overflow. */
    assert_true(behind_us("99999999999.999999", SENT, GOT) < 0);
}

/* Of a guest that has been up for 20.25 s. */
static void when_it_booted(void **state)
{
    (void)state;
    assert_int_equal(behind_booted_us("70.000000", "20.25"), 49750000);
    static const char *const words[] = {"", "20", "20.250", "-1.00", "20.2x", "$(reboot)", "80.00"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(behind_booted_us("70.000000", words[i]), 0);
    assert_int_equal(behind_booted_us("70", "20.25"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_stood_still),
        cmocka_unit_test(a_clock_that_may_be_right),
        cmocka_unit_test(what_is_no_time),
        cmocka_unit_test(when_it_booted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
