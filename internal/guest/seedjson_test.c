#include "guest/seedjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void test_members(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_seedjson_ json_t *j = seedjson_parse("\n{\"a\": \"x\\u00e4\\n\", \"n\": 2}", "seed",
                                                  &err);
    assert_non_null(j);
    assert_string_equal(seedjson_string(j, "a"), "x\xc3\xa4\n");
    assert_null(seedjson_string(j, "n"));
    assert_null(seedjson_string(j, "absent"));
    assert_null(seedjson_string(NULL, "a"));
}

static void test_what_is_no_json(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "seed:1:0: "},
        {"{", "seed:1:1: "},
        {"{\"a\": 1,}", "seed:1:"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"a\": 1} x", "end of file expected"},
        {"{\n\"a\": nul}", "seed:2:"},
        {"{\"a\": \"\xff\"}", "unable to decode"},
        {"{\"a\": \"\\u0000\"}", "\\u0000"},
        {"\"only text\"", "'[' or '{' expected"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = ERROR_INIT;
        assert_null(seedjson_parse(cases[i].text, "seed", &err));
        assert_int_equal(err.kind, ERR_STATE);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.msg);
    }
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf deep = STRBUF_INIT;
    for (int i = 0; i < 100000; i++)
        strbuf_addc(&deep, '[');
    assert_null(seedjson_parse(deep.buf, "seed", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_what_is_no_json),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
