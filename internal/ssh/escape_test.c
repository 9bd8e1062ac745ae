#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "ssh/escape.h"

/* Each case at once and byte by byte: keys come as they like. */
static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *sent;
        enum escape_act act;
    } cases[] = {
        {"~.", "", ESCAPE_LEAVE},
        {"ls\r~.", "ls\r", ESCAPE_LEAVE},
        {"ls\n~.rest", "ls\n", ESCAPE_LEAVE},
        {"a~.", "a~.", ESCAPE_NONE},
        {" ~.", " ~.", ESCAPE_NONE},
        {"~~.", "~.", ESCAPE_NONE},
        {"~~\r~.", "~\r", ESCAPE_LEAVE},
        {"~a", "~a", ESCAPE_NONE},
        {"~/bin\r", "~/bin\r", ESCAPE_NONE},
        {"~\r~.", "~\r", ESCAPE_LEAVE},
        {"~?", "", ESCAPE_HELP},
        {"~?x~.", "x~.", ESCAPE_HELP},
        {"~?~.", "", ESCAPE_LEAVE},
        {"\r\r~", "\r\r", ESCAPE_NONE},
        {"\003~.", "\003~.", ESCAPE_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step <= 16; step += 15) {
            struct escape e = {0};
            enum escape_act act = ESCAPE_NONE, last = ESCAPE_NONE;
            char sent[64] = "";
            size_t len = 0;
            size_t n = strlen(cases[i].typed);
            for (size_t at = 0; at < n && last != ESCAPE_LEAVE; at += step) {
                size_t some = n - at < step ? n - at : step;
                len += escape_filter(&e, cases[i].typed + at, some, sent + len, &act);
                last = act == ESCAPE_NONE ? last : act;
            }
            sent[len] = '\0';
            assert_string_equal(sent, cases[i].sent);
            assert_int_equal(last, cases[i].act);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_escapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
