/* What patterns cost is counted, and ends a listing that costs too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sync/effort.h"
#include "sync/gitignore.h"
#include "sync/ignore.h"

enum { LINES = 250, PATH_LEN = 3800 };
#define MANY 200000000 /* steps, of which an eye blink is a hundredth */

/* Lines that each cost the length of the line times that of the path. */
static void costly(struct strbuf *patterns, char path[static PATH_LEN + 1], const char *piece)
{
    for (int i = 0; i < LINES; i++) {
        for (size_t k = 0; k < 1000 && k * strlen(piece) < 4000; k++)
            strbuf_adds(patterns, piece);
        strbuf_adds(patterns, "Z\n");
    }
    memset(path, 'a', PATH_LEN);
    for (int i = 200; i < PATH_LEN; i += 200)
        path[i] = '/';
    path[PATH_LEN] = '\0';
}

typedef bool match_fn(const struct strbuf *patterns, const char *path, struct effort *e);

static bool by_gitignore(const struct strbuf *patterns, const char *path, struct effort *e)
{
    struct gitignore g = {0};
    assert_int_equal(gitignore_parse(&g, patterns->buf, patterns->len, NULL), 0);
    bool hit = gitignore_match(&g, path, false, e);
    gitignore_free(&g);
    return hit;
}

static bool by_ignore(const struct strbuf *patterns, const char *path, struct effort *e)
{
    struct ignore ig = IGNORE_INIT;
    assert_int_equal(ignore_add(&ig, patterns->buf, "test", NULL, NULL), 0);
    bool hit = ignore_match(&ig, path, false, e);
    ignore_free(&ig);
    return hit;
}

static bool by_parsing(const struct strbuf *patterns, const char *path, struct effort *e)
{
    struct gitignore g = {0};
    (void)path;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(gitignore_parse(&g, patterns->buf, patterns->len, e), 0);
        gitignore_free(&g);
    }
    return false;
}

static bool by_adding(const struct strbuf *patterns, const char *path, struct effort *e)
{
    (void)path;
    for (int i = 0; i < 50; i++) {
        struct ignore ig = IGNORE_INIT;
        assert_int_equal(ignore_add(&ig, patterns->buf, "test", e, NULL), 0);
        ignore_free(&ig);
    }
    return false;
}

static const struct {
    match_fn *match;
    const char *piece;
} matchers[] = {
    {by_gitignore, "*a"},  {by_gitignore, "**/"}, {by_ignore, "**a"}, {by_ignore, "**/*a"},
    {by_ignore, "[ab]**"}, {by_parsing, "?a"},    {by_adding, "[:"},
};

/* The user interrupts in the middle of one path. */
static void test_interrupted_within_a_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(matchers); i++) {
        int p[2];
        _cleanup_strbuf_ struct strbuf patterns = STRBUF_INIT;
        char path[PATH_LEN + 1];
        struct error err = ERROR_INIT;
        costly(&patterns, path, matchers[i].piece);
        assert_int_equal(pipe(p), 0);
        assert_int_equal(write(p[1], "x", 1), 1);
        struct deadline d = deadline_never();
        d.cancel_fd = p[0];
        struct effort e = EFFORT_INIT(&d);
        e.until_look = 100000;
        assert_false(matchers[i].match(&patterns, path, &e));
        assert_true(EFFORT_MAX - e.left < MANY / 100);
        assert_int_equal(effort_check(&e, "/tree", &err), -1);
        assert_int_equal(err.kind, ERR_CANCELLED);
        (void)close(p[0]);
        (void)close(p[1]);
    }
}

static void test_late_within_a_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(matchers); i++) {
        _cleanup_strbuf_ struct strbuf patterns = STRBUF_INIT;
        char path[PATH_LEN + 1];
        struct error err = ERROR_INIT;
        costly(&patterns, path, matchers[i].piece);
        struct deadline d = deadline_in_ms(0);
        struct effort e = EFFORT_INIT(&d);
        assert_false(matchers[i].match(&patterns, path, &e));
        assert_int_equal(effort_check(&e, "/tree", &err), -1);
        assert_int_equal(err.kind, ERR_TIMEOUT);
    }
}

/* There is an end also where nobody asks for one. */
static void test_spent(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(matchers); i++) {
        _cleanup_strbuf_ struct strbuf patterns = STRBUF_INIT;
        char path[PATH_LEN + 1];
        struct error err = ERROR_INIT;
        costly(&patterns, path, matchers[i].piece);
        struct effort e = EFFORT_INIT(NULL);
        e.left = 1000000;
        assert_false(matchers[i].match(&patterns, path, &e));
        assert_true(e.left > -MANY / 100);
        assert_int_equal(effort_check(&e, "/tree", &err), -1);
        assert_int_equal(err.kind, ERR_SYNC);
        assert_non_null(strstr(err.msg, "the ignore patterns of /tree take too long"));
        assert_non_null(strstr(err.msg, "; next: "));
    }
}

/* A class is read as a whole for each character, also beyond a bracket that does not close it. */
static void test_long_classes_count(void **state)
{
    (void)state;
    static const char *const starts[] = {"*[\\]", "*[]", "*[[:alpha:]", "*[^[:digit:]"};
    char text[101] = "";
    memset(text, '0', sizeof text - 1);
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        _cleanup_strbuf_ struct strbuf glob = STRBUF_INIT;
        strbuf_adds(&glob, starts[i]);
        for (int k = 0; k < 1000; k++)
            strbuf_addc(&glob, 'b');
        strbuf_adds(&glob, "]Z");
        struct effort e = EFFORT_INIT(NULL);
        assert_false(ignore_glob(glob.buf, text, &e));
        assert_true(EFFORT_MAX - e.left > 100 * 1000);
    }
}

/* What people write is far from it: a thousand patterns, and a path as they are. */
static void test_ordinary_patterns_are_cheap(void **state)
{
    (void)state;
    static const char *const lines[] = {"*.o",        "build/",    "**/node_modules/*.log", "/dist",
                                        "[Bb]in/",    "*.py[cod]", "docs/**/*.tmp",         ".env",
                                        "/a/b/c/*.c", "core.*"};
    static const char path[] = "packages/server/internal/handlers/session_store.go";
    _cleanup_strbuf_ struct strbuf patterns = STRBUF_INIT;
    for (size_t i = 0; i < 1000; i++)
        strbuf_addf(&patterns, "%s\n", lines[i % ARRAY_LEN(lines)]);
    struct effort e = EFFORT_INIT(NULL);
    for (int i = 0; i < 100; i++)
        assert_false(by_gitignore(&patterns, path, &e));
    assert_int_equal(effort_check(&e, "/tree", NULL), 0);
    assert_true((EFFORT_MAX - e.left) / 100 < EFFORT_MAX / 150000);
}

/* To compare long texts costs more than to compare short ones. */
static void test_long_literals_count(void **state)
{
    (void)state;
    static const char *const before[] = {"/", "*"};
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        _cleanup_strbuf_ struct strbuf patterns = STRBUF_INIT;
        char name[PATH_LEN + 1];
        memset(name, 'a', PATH_LEN);
        name[PATH_LEN] = '\0';
        for (int k = 0; k < 100; k++)
            strbuf_addf(&patterns, "%s%.*sZ\n", before[i], PATH_LEN - 10, name);
        struct effort e = EFFORT_INIT(NULL);
        assert_false(by_gitignore(&patterns, name, &e));
        assert_true(EFFORT_MAX - e.left > 100 * (PATH_LEN / 20));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupted_within_a_path),
        cmocka_unit_test(test_late_within_a_path),
        cmocka_unit_test(test_spent),
        cmocka_unit_test(test_long_classes_count),
        cmocka_unit_test(test_long_literals_count),
        cmocka_unit_test(test_ordinary_patterns_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
