/* Reports of tests: what counts, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "junit/junit.h"
#include "testutil/parts.h"

static void test_counts_by_what_is_there(void **state)
{
    (void)state;
    /* The attributes of the suite lie; the cases count. */
    static const char text[] =
        "<?xml version=\"1.0\"?>\n<testsuites><testsuite tests=\"99\" failures=\"0\">\n"
        "<testcase classname=\"a\" name=\"one\"/>\n"
        "<testcase name=\"two\"><failure message=\"&lt;no&gt;\">x</failure></testcase>\n"
        "<testcase classname=\"a\" name=\"three\"><failure/><error/></testcase>\n"
        "<testcase name=\"four\"><skipped/></testcase>\n"
        "<testcase name=\"f\xc3\xa9\x20&#10;\"><error/><system-out>hi</system-out></testcase>\n"
        "</testsuite></testsuites>\n";
    struct junit sum = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(junit_parse(text, strlen(text), "r", -1, &sum, &err), 0);
    assert_int_equal(sum.n_reports, 1);
    assert_int_equal(sum.tests, 5);
    assert_int_equal(sum.failures, 1);
    assert_int_equal(sum.errors, 2);
    assert_int_equal(sum.skipped, 1);
    assert_int_equal(sum.n_names, 3);
    assert_string_equal(sum.names[0], "two");
    assert_string_equal(sum.names[1], "a.three");
    assert_string_equal(sum.names[2], "f\xc3\xa9 \\n");
    static const char more[] = "<testsuite><testcase name=\"x\"/></testsuite>";
    assert_int_equal(junit_parse(more, strlen(more), "r", -1, &sum, &err), 0);
    assert_int_equal(sum.n_reports, 2);
    assert_int_equal(sum.tests, 6);
}

static void refused(const char *text, const char *why)
{
    struct junit sum = {.tests = 3, .n_reports = 1};
    struct error err = ERROR_INIT;
    assert_int_equal(junit_parse(text, strlen(text), "report.xml", -1, &sum, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    if (!strstr(err.msg, why) || !strstr(err.msg, "report.xml"))
        fail_msg("\"%s\" instead of \"%s\"", err.msg, why);
    assert_int_equal(sum.tests, 3);
    assert_int_equal(sum.n_reports, 1);
}

static void test_refuses(void **state)
{
    (void)state;
    refused("", "no element");
    refused("tests passed", "syntax");
    refused("<html><testcase/></html>", "not a JUnit report");
    refused("<testsuites/>", "no test");
    refused("<testsuite><testcase name=\"a\"/>", "no element");
    refused("<testsuite><testcase name=\"a\"></testsuite>", "mismatched");
    refused("<testsuite>\n<testcase>\n</testsuite>", "report.xml:3: mismatched");
    refused("<!DOCTYPE t [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\n"
            "<testsuite><testcase name=\"&b;\"/></testsuite>",
            "document type");
    refused("<!DOCTYPE t SYSTEM \"file:///etc/passwd\"><testsuite><testcase/></testsuite>",
            "document type");
}

static void test_deep_and_large(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf deep = STRBUF_INIT;
    for (int i = 0; i < 100000; i++)
        strbuf_adds(&deep, "<testsuite>");
    refused(deep.buf, "nested too deeply");
    _cleanup_strbuf_ struct strbuf large = STRBUF_INIT;
    _cleanup_free_ char *fill = xcalloc(1, JUNIT_MAX_BYTES + 1);
    memset(fill, ' ', JUNIT_MAX_BYTES);
    strbuf_adds(&large, fill);
    strbuf_adds(&large, "<testsuite><testcase/></testsuite>");
    refused(large.buf, "larger than");
}

static void add_many(struct strbuf *out, char c, size_t n)
{
    _cleanup_free_ char *fill = xcalloc(1, n + 1);
    memset(fill, c, n);
    strbuf_adds(out, fill);
}

/* A tag with millions of attributes costs seconds, in which nobody hears Ctrl-C; text between tags
 * may be long. */
static void test_long_tags(void **state)
{
    (void)state;
    struct junit sum = {0};
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, tag = STRBUF_INIT, note = STRBUF_INIT;
    strbuf_adds(&text, "<testsuite><testcase><failure message=\"");
    add_many(&text, 'm', 1 << 20);
    strbuf_adds(&text, "\">");
    add_many(&text, 'x', 5 << 20);
    strbuf_adds(&text, "<![CDATA[");
    add_many(&text, '<', 5 << 20);
    strbuf_adds(&text, "]]></failure></testcase></testsuite>");
    if (junit_parse(text.buf, text.len, "r", -1, &sum, &err) < 0)
        fail_msg("%s", err.msg);
    strbuf_adds(&tag, "<testsuite><testcase");
    for (int i = 0; tag.len < JUNIT_MAX_BYTES - 100; i++)
        strbuf_addf(&tag, " a%x=''", i);
    strbuf_adds(&tag, "/></testsuite>");
    refused(tag.buf, "a tag or comment in it is too long");
    strbuf_adds(&note, "<testsuite><testcase/><!--");
    add_many(&note, 'x', 8 << 20);
    strbuf_adds(&note, "--></testsuite>");
    refused(note.buf, "too long");
}

static void test_interrupted(void **state)
{
    (void)state;
    static const char text[] = "<testsuite><testcase/></testsuite>";
    struct junit sum = {0};
    struct error err = ERROR_INIT;
    _cleanup_close_ int cancel = eventfd(1, EFD_CLOEXEC);
    assert_int_equal(junit_parse(text, strlen(text), "r", cancel, &sum, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_int_equal(sum.tests, 0);
}

/* However many fail, the names kept are few. */
static void test_many_failures(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct junit sum = {0};
    struct error err = ERROR_INIT;
    strbuf_adds(&text, "<testsuite>");
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&text, "<testcase name=\"%0200d\"><failure/></testcase>", i);
    strbuf_adds(&text, "</testsuite>");
    assert_int_equal(junit_parse(text.buf, text.len, "r", -1, &sum, &err), 0);
    assert_int_equal(sum.failures, 1000);
    assert_int_equal(sum.n_names, JUNIT_NAMES_MAX);
}

/* By the part: the same counts, the same words, and another part for the next report. */
static void test_the_part_reads_the_same(void **state)
{
    (void)state;
    char good[] = "<testsuite><testcase name=\"a&#10;b\"><failure/></testcase></testsuite>";
    char bad[] = "<testsuite><testcase></testsuite>";
    struct junit by_part = {0}, sum = {0};
    struct error err = ERROR_INIT, same = ERROR_INIT;
    struct junit_reader *r = junit_reader_new();
    assert_int_equal(junit_read(r, bad, strlen(bad), "bad.xml", -1, &by_part, &err), -1);
    assert_int_equal(junit_parse(bad, strlen(bad), "bad.xml", -1, &sum, &same), -1);
    assert_int_equal(err.kind, same.kind);
    assert_string_equal(err.msg, same.msg);
    for (int i = 0; i < 20; i++) {
        error_clear(&err);
        if (junit_read(r, good, strlen(good), "good.xml", -1, &by_part, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(junit_parse(good, strlen(good), "good.xml", -1, &sum, &err), 0);
    }
    assert_memory_equal(&by_part, &sum, sizeof sum);
    (void)part_check(getpid(), "fenced-junit");
    int user = eventfd(1, EFD_CLOEXEC);
    assert_int_equal(junit_read(r, good, strlen(good), "good.xml", user, &by_part, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_int_equal(junit_read(r, good, strlen(good), "good.xml", -1, &by_part, &err), 0);
    (void)close(user);
    junit_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_by_what_is_there),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_deep_and_large),
        cmocka_unit_test(test_long_tags),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_many_failures),
        cmocka_unit_test(test_the_part_reads_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
