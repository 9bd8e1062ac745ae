/* Whole leases through the program, the firecracker backend and the stand-in. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "testutil/bed.h"

static struct bed bed;

static int setup(void **state)
{
    (void)state;
    bed_open(&bed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bed_close(&bed);
    return 0;
}

/* The exit code, with what the program said in the message of a failure. */
#define assert_code(r, want)                                                                       \
    do {                                                                                           \
        if (!(r).st.exited || (r).st.code != (want))                                               \
            fail_msg("exit code %d (signal %d) instead of %d\nstdout: %s\nstderr: %s", (r).st.code, \
                     (r).st.signal, (want), (r).out.buf, (r).err.buf);                             \
    } while (0)

static void test_warmup_run_stop(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "--slug", "first");
    print_message("%s%s", w.out.buf, w.err.buf);
    assert_code(w, 0);
    _cleanup_bed_result_ struct bed_result r =
        BED_RUN(&bed, "run", "--id", "first", "--no-sync", "--", "sh", "-c", "hostname; exit 3");
    print_message("%s%s", r.out.buf, r.err.buf);
    assert_code(r, 3);
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "first");
    print_message("%s%s", s.out.buf, s.err.buf);
    assert_code(s, 0);
    print_message("%d %d %d ms\n", (int)w.took_ms, (int)r.took_ms, (int)s.took_ms);
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    if (bed_residue(&bed, &left))
        fail_msg("left over:\n%s", left.buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warmup_run_stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
