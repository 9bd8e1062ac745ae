/* What is kept of a run has no value of its variables. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "run/redact.h"

static void check(const char *file, const char *text, bool cut, const char *want)
{
    _cleanup_(env_set_free) struct env_set env = ENV_SET_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(env_set_parse(&env, file, strlen(file), "test", NULL, NULL, NULL), 0);
    strbuf_adds(&sb, text);
    struct redactor r;
    redact_begin(&r, &env, NULL);
    assert_true(redact(&r, &sb, cut));
    redact_end(&r);
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

/* Of values that begin alike, the longest that is there. */
static void values_that_begin_alike(void **state)
{
    (void)state;
    static const char file[] = "A=secret\nB=secret-1\nC=secret-1-two\nD=secret-2\nE=secret\n";
    check(file, "secret-1-two secret-1-tw secret-2 secret-3 secret", false,
          "[C] [B]-tw [D] [A]-3 [A]");
    check(file, "secret-1-two secret", true, "[C] [A]");
}

static void *never_ending(size_t n, char c, size_t line)
{
    struct strbuf sb = STRBUF_INIT;
    for (size_t i = 1; i <= n; i++)
        strbuf_addc(&sb, i % line ? c : '\n');
    return sb.buf;
}

/* The work on `text` with the one value. */
static int64_t cost(const char *value, size_t of_value, const char *text, size_t of_text,
                    enum effort_stop stop)
{
    _cleanup_(env_set_free) struct env_set env = ENV_SET_INIT;
    _cleanup_strbuf_ struct strbuf file = STRBUF_INIT, sb = STRBUF_INIT;
    struct redactor r;
    strbuf_addf(&file, "A='%.*s'\n", (int)of_value, value);
    assert_int_equal(env_set_parse(&env, file.buf, file.len, "test", NULL, NULL, NULL), 0);
    strbuf_add(&sb, text, of_text);
    redact_begin(&r, &env, NULL);
    assert_true(redact(&r, &sb, true) == !stop);
    assert_int_equal(r.effort.stop, stop);
    if (stop)
        assert_int_equal(sb.len, of_text);
    redact_end(&r);
    return REDACT_STEPS - r.effort.left;
}

/* Both the value and the text can be as the repository likes. */
static void the_work_is_limited(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf differ = STRBUF_INIT, tail = STRBUF_INIT;
    _cleanup_free_ char *alike = never_ending(1000000, 'a', 7);
    _cleanup_free_ char *same = never_ending(600000, 'a', SIZE_MAX);
    for (int i = 0; i < 120000; i++)
        strbuf_addf(&differ, "a%07d\n", i);
    strbuf_addf(&tail, "%.*sb", 120000, same);
    assert_true(cost(alike, 1000000, same, 524000, EFFORT_GOES_ON) < 10000000);
    assert_true(cost(differ.buf, differ.len, same, 524000, EFFORT_GOES_ON) < 50000000);
    assert_true(cost(tail.buf, tail.len, same, 100000, EFFORT_SPENT) < REDACT_STEPS + 10000000);
}

static void ctrl_c_is_heard(void **state)
{
    (void)state;
    _cleanup_(env_set_free) struct env_set env = ENV_SET_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    int p[2];
    assert_int_equal(env_set_parse(&env, "A=secret\n", 9, "test", NULL, NULL, NULL), 0);
    strbuf_adds(&sb, "a secret");
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    struct deadline d = deadline_never();
    d.cancel_fd = p[0];
    struct redactor r;
    redact_begin(&r, &env, &d);
    assert_false(redact(&r, &sb, false));
    assert_int_equal(r.effort.stop, EFFORT_CANCELLED);
    redact_end(&r);
    (void)close(p[0]);
    (void)close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_names), cmocka_unit_test(lines_of_a_value_too),
        cmocka_unit_test(the_rest_of_a_value), cmocka_unit_test(values_that_begin_alike),
        cmocka_unit_test(the_work_is_limited), cmocka_unit_test(ctrl_c_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
