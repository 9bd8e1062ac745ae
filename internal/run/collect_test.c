/* Reading the reports of tests that a guest has sent. */
#include "run/collect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "testutil/scratch.h"

/* Ctrl-C is heard between two reports, however many there are. */
static void test_reading_can_be_interrupted(void **state)
{
    (void)state;
    static const char report[] = "<testsuite><testcase name=\"a\"/></testsuite>";
    static const char list[] = "a.xml\0b.xml";
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    _cleanup_close_ int cancel = eventfd(0, EFD_CLOEXEC);
    struct junit sum = {.n_reports = 0};
    struct error err = ERROR_INIT;
    strbuf_add(&names, list, sizeof list);
    must(file_write_new(scratch_fd, "a.xml", report, strlen(report), 0600, &err), &err);
    must(file_write_new(scratch_fd, "b.xml", report, strlen(report), 0600, &err), &err);
    must(collect_read_reports(scratch_fd, &names, true, cancel, &sum, &err), &err);
    assert_int_equal(sum.n_reports, 2);
    assert_int_equal(eventfd_write(cancel, 1), 0);
    assert_int_equal(collect_read_reports(scratch_fd, &names, true, cancel, &sum, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_int_equal(sum.n_reports, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reading_can_be_interrupted)};
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
