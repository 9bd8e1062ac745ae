/* plain_test.c: which unquoted scalars some reader of YAML would not take for text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "config/plain.h"

static void expect(enum plain_kind kind, const char *const *words)
{
    for (; *words; words++)
        if (plain_kind(*words) != kind)
            fail_msg("\"%s\" is of kind %d, not %d", *words, plain_kind(*words), kind);
}

static void test_kinds(void **state)
{
    (void)state;
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "FALSE", "yes", "No", "ON",
                                           "off",  "y",    "Y",     "n",   "N",  NULL};
    static const char *const numbers[] = {"0",       "007",  "1_000",  "-1",           "+1",
                                          "1.",      "1.5",  ".5",     "1e3",          "1.5E-3",
                                          "0x1F",    "0o17", "0b1_01", "-0",           "1:30",
                                          "1:30:00", ".inf", "-.Inf",  "190:20:30.15", NULL};
    static const char *const dates[] = {"2026-01-31", "2026-1-1", "2026-01-31T10:00:00Z",
                                        "2026-01-31 10:00:00", NULL};
    static const char *const texts[] = {
        "a",       "yess",        "tRue", "nULL", "-",     "+",          ".",       "..",
        "e3",      "1e",          "1e3a", "0x",   "0xg",   "0o8",        "1.2.3",   "1:",
        "1:123",   "::1",         "10s",  "4GiB", "1h30m", "10.0.0.0/8", "1.1.1.1", "2026-01-31a",
        "2026-01", "20260-01-31", "_1",   "*.o",  "1 2",   ".info",      NULL};
    expect(PLAIN_NOTHING, nothing);
    expect(PLAIN_BOOLEAN, booleans);
    expect(PLAIN_NUMBER, numbers);
    expect(PLAIN_DATE, dates);
    expect(PLAIN_TEXT, texts);
    assert_null(plain_kind_name(PLAIN_TEXT));
    assert_string_equal(plain_kind_name(PLAIN_DATE), "a date");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
