/* What is kept of a run has no value of its variables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "run/redact.h"

static void check(const char *file, const char *text, bool cut, const char *want)
{
    _cleanup_(env_set_free) struct env_set env = ENV_SET_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(env_set_parse(&env, file, strlen(file), "test", NULL, NULL, NULL), 0);
    strbuf_adds(&sb, text);
    redact(&env, &sb, cut);
    assert_string_equal(sb.buf, want);
}

static void values_become_names(void **state)
{
    (void)state;
    check("", "nothing to find", true, "nothing to find");
    check("A=secret\n", "", true, "");
    check("A=secret\n", "secret", false, "[A]");
    check("A=secret\n", "my secret, secretsecret.", false, "my [A], [A][A].");
    check("A=secret\nB=secretive\n", "secretive secret", false, "[B] [A]");
    check("CI=true\nN=1\n", "true 1", false, "true 1");
    check("A=secret\n", "secre", false, "secre");
}

/* Also the lines of a key, which a terminal or an indentation parts. */
static void lines_of_a_value_too(void **state)
{
    (void)state;
    check("K='begin-key\nabcdefgh\nend'\n", "begin-key\r\n  abcdefgh\r\nend", false,
          "[K]\r\n  [K]\r\nend");
    check("K='begin-key\nabcdefgh\n'\n", "x begin-key\nabcdefgh\n.", false, "x [K].");
    check("K='ab\ncdefghi'\n", "cdefghi", false, "[K]");
}

/* Of a text that begins somewhere, the rest of a value at its beginning. */
static void the_rest_of_a_value(void **state)
{
    (void)state;
    check("A=secret-token\n", "t-token and secret-token", true, "[A] and [A]");
    check("A=secret-token\n", "en", true, "[A]");
    check("A=secret-token\n", "t-token", false, "t-token");
    check("A=secret-token\n", "secret-token", true, "[A]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_names),
        cmocka_unit_test(lines_of_a_value_too),
        cmocka_unit_test(the_rest_of_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
