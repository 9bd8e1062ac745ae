/* The numbers of connections, from the size of the kernel's table. */
#include "net/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_the_limits_leave_half_to_the_host(void **state)
{
    (void)state;
    static const long sizes[] = {1024,    8192,    65536,    262144,   1048576,
                                 4194304, 4194305, 16777216, INT32_MAX};
    struct limits before = {.conns = 0};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct limits l = limits_for(sizes[i]);
        long most = (long)LIMITS_SHARES * l.share + l.all_burst + (long)l.all_rate * LIMITS_SWEPT_S;
        assert_true(most <= sizes[i] / 2 + 64);
        assert_true(l.conns <= l.share && l.burst <= l.all_burst && l.rate >= 1);
        /* A larger table never means less. */
        assert_true(l.conns >= before.conns && l.share >= before.share);
        assert_true(l.rate >= before.rate && l.burst >= before.burst);
        assert_true(l.all_rate >= before.all_rate && l.all_burst >= before.all_burst);
        before = l;
    }
    assert_int_equal(before.all_rate, 8738);
    assert_int_equal(before.all_burst, 262144);
    /* No limit at all, and what a machine with memory has. */
    struct limits none = limits_for(0), usual = limits_for(262144);
    assert_memory_equal(&none, &usual, sizeof none);
    assert_int_equal(usual.conns, 4096);
    assert_int_equal(usual.rate, 200);
    assert_int_equal(usual.burst, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limits_leave_half_to_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
