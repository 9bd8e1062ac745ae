#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sync/ignore.h"

static void test_globs(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *text;
        bool hit;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "abc", true},
        {"*", "a/b", false},
        {"*.o", "main.o", true},
        {"*.o", "main.oo", false},
        {"*.o", "dir/main.o", false},
        {"a*b*c", "aXbXbXc", true},
        {"a*b*c", "aXbXbX", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"?", "", false},
        {"[abc]", "b", true},
        {"[!abc]", "b", false},
        {"[^abc]", "d", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[]]", "]", true},
        {"[a", "[a", true},
        {"[!/]", "/", false},
        {"a[/]b", "a/b", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"**", "a/b/c", true},
        {"**/c", "c", true},
        {"**/c", "a/b/c", true},
        {"**/c", "a/bc", false},
        {"a/**", "a/b/c", true},
        {"a/**", "b/a/c", false},
        {"a/**/z", "a/z", true},
        {"a/**/z", "a/b/c/z", true},
        {"a/**/z", "a/b/c/yz", false},
        {"a/**/*.o", "a/b/c/x.o", true},
        {"a/**/m*.o", "a/b/c/x.o", false},
        {"**/b/**/d", "a/b/c/d", true},
        {"a/*/c", "a/b/c", true},
        {"a/*/c", "a/b/b/c", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (ignore_glob(cases[i].glob, cases[i].text, NULL) != cases[i].hit)
            fail_msg("'%s' against '%s' is not %d", cases[i].glob, cases[i].text, cases[i].hit);
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *patterns, *path;
        bool is_dir, hit;
    } cases[] = {
        {"", "a", false, false},
        {"# a\n", "# a", false, false},
        {"\\#a\n", "#a", false, true},
        {"a", "a", false, true},
        {"a", "x/a", false, true},
        {"/a", "x/a", false, false},
        {"/a", "a", false, true},
        {"a/b", "x/a/b", false, false},
        {"a/b", "a/b", false, true},
        {"a/", "a", false, false},
        {"a/", "a", true, true},
        {"a/", "a/b/c", false, true},
        {"a/", "x/a/c", false, true},
        {"build", "build/x/y.o", false, true},
        {"*.o\n!keep.o", "keep.o", false, false},
        {"*.o\n!keep.o", "other.o", false, true},
        {"!keep.o\n*.o", "keep.o", false, true},
        {"build/\n!build/keep", "build/keep", false, false},
        {"build/\n!build/keep", "build/other", false, true},
        {"a  ", "a", false, true},
        {"a\\ ", "a ", false, true},
        {"a\r\nb", "a", false, true},
        {"\n\n/\n!\n!/\n", "a", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ignore ig = IGNORE_INIT;
        assert_int_equal(ignore_add(&ig, cases[i].patterns, "test", NULL, NULL), 0);
        bool hit = ignore_match(&ig, cases[i].path, cases[i].is_dir, NULL);
        ignore_free(&ig);
        if (hit != cases[i].hit)
            fail_msg("'%s' on %s is not %d", cases[i].patterns, cases[i].path, cases[i].hit);
    }
}

/* What could not do what was meant is an error, wherever it stands. */
static void test_patterns_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *patterns, *part; /* NULL: fine */
    } cases[] = {
        {"a\n[[:digits:]]\n", "[:digits:], which is no class of characters; next: take one of"},
        {"x[a[:Alpha:]]", "[:Alpha:]"},
        {"*[![:digit:][::]]", "[::]"},
        {"[[:digit:][:alpha:]]", NULL},
        {"\\[[:x:]]", NULL}, /* a bracket, and then a class of three characters */
        {"[\\[:x:]]", NULL}, /* four characters, and then a bracket */
        {"[\\[[:x:]]", "[:x:], which is no class"},
        {"[[:x:]", NULL}, /* not closed */
        {"[:x:]", NULL},
        {"a[", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ignore ig = IGNORE_INIT;
        struct error err = ERROR_INIT;
        int r = ignore_add(&ig, cases[i].patterns, "the file", NULL, &err);
        ignore_free(&ig);
        if ((r < 0) != !!cases[i].part)
            fail_msg("'%s': %s", cases[i].patterns, err.msg);
        if (cases[i].part)
            assert_non_null(strstr(err.msg, cases[i].part));
    }
    _cleanup_free_ char *line = xasprintf("%*s", 5000, "a");
    struct ignore ig = IGNORE_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(ignore_add(&ig, line, "the file", NULL, &err), -1);
    ignore_free(&ig);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "the file has a line of more than 4096 bytes; next: "));
}

/* The classic that takes naive matchers forever. */
static void test_no_explosion(void **state)
{
    (void)state;
    char text[4001];
    memset(text, 'a', 4000);
    text[4000] = '\0';
    assert_false(ignore_glob("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, NULL));
    assert_false(ignore_glob("**a**a**a**a**a**a**a**a**a**a**a**b", text, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_patterns_that_are_refused),
        cmocka_unit_test(test_no_explosion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
