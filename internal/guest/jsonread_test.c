#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "guest/jsonread.h"

static struct jr_node *parse(const char *text, struct error *err)
{
    return jr_parse(text, strlen(text), "text", err);
}

static void reads_what_a_seed_holds(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_jr_ struct jr_node *n = parse(
        " {\"a\": [1, -2.5e3, \"x\\n\\u00e4\\ud83d\\ude00\\/\"], \"t\": true,\n"
        "\"f\":false, \"z\":null, \"o\":{}, \"e\":[]} ",
        &err);
    assert_non_null(n);
    const struct jr_node *a = jr_first(jr_get(n, "a"));
    assert_int_equal(a->type, JR_NUMBER);
    assert_string_equal(a->text, "1");
    assert_string_equal(a->next->text, "-2.5e3");
    assert_string_equal(a->next->next->text, "x\n\xc3\xa4\xf0\x9f\x98\x80/");
    assert_true(jr_get_true(n, "t"));
    assert_false(jr_get_true(n, "f"));
    assert_int_equal(jr_get(n, "z")->type, JR_NULL);
    assert_null(jr_first(jr_get(n, "e")));
    assert_null(jr_get_string(n, "t"));
    assert_null(jr_get(jr_get(n, "absent"), "deeper"));
}

static void refuses_what_is_not_json(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "-",
        "1.",
        "1e",
        "tru",
        "nulls",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\u0000\"",
        "1 2",
        "{\"a\":1,\"a\":2}",
        "[1}",
        "{\"a\":1]",
        "\"\\",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        if (parse(bad[i], &err))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERR_STATE);
        assert_non_null(strstr(err.msg, "text: not valid JSON"));
    }
}

static void stops_at_its_bounds(void **state)
{
    char deep[64], many[3 * 5000];
    struct error err = ERROR_INIT;
    (void)state;
    memset(deep, '[', sizeof deep);
    assert_null(jr_parse(deep, sizeof deep, "text", &err));
    assert_non_null(strstr(err.msg, "nested too deep"));
    for (size_t i = 0; i < sizeof many; i += 2) {
        many[i] = i ? ',' : '[';
        many[i + 1] = '1';
    }
    many[sizeof many - 1] = ']';
    assert_null(jr_parse(many, sizeof many, "text", &err));
    assert_non_null(strstr(err.msg, "too many values"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_a_seed_holds),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(stops_at_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
