/* What .gitignore files leave out, against git's own answer and against those that cost too much.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sync/gitignore.h"
#include "sync/ignore.h"
#include "sync/sync.h"
#include "testutil/synckit.h"

/* ---- one pattern ---- */

static const char *const patterns[] = {
    "a",
    "/a",
    "a/",
    "d/a",
    "/d/",
    "**/f",
    "d/**",
    "d/**/f",
    "**",
    "*",
    "**/",
    "d**/f",
    "d/e**f",
    "***/f",
    "*/a",
    "*/*/f",
    "a*",
    "*.o",
    "*a*",
    "?",
    "[ab]",
    "[!a]",
    "[^a]",
    "[a-c]*",
    "[]]",
    "[]-a]*",
    "[a",
    "\\a",
    "\\",
    "a\\",
    "\\!n",
    "\\#c",
    "!n",
    "#c",
    "t\\ ",
    "t ",
    "t\\  ",
    "a/b/..",
    "[[:alpha:]]",
    "[[:x:]]",
    "[[:]",
    "[[:alpha:]",
    "d[/]a",
    "d?a",
    "d/e/",
    "e/",
    "e",
    "/",
    "//",
    "!",
    "*\n!a",
    "d/\n!d/a",
    "d/*\n!d/a",
    "a\r",
    "\xef\xbb\xbf"
    "a",
    "d/e/f\n!f",
    "*\n!*/\n!*.o",
    "**/e/**",
    "a**",
    "d/a**",
    "**a",
    "/**/a",
    "d\\/a",
    "d/\\**",
    "[\\]]",
    "[a\\",
    "[--a]*",
    "x[!-a]*",
};

/* Each pattern alone, as its oddities must not hide each other, over the same names. */
static void test_patterns(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "patterns",
        SYNCKIT_INIT "mkdir -p d/e/d dx; for f in a b c a.o d/a d/b.o d/e/f d/e/a d/e/d/f "
                     "dx/f n '!n' '#c' 't ' t ']' '-' '[a' '\\' 'a\\' d/e.f é '*' '**'; do "
                     "echo x >\"$f\"; done; printf x > xa");
    _cleanup_free_ char *file = xasprintf("%s/.gitignore", dir);
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        _cleanup_fclose_ FILE *f = fopen(file, "we");
        assert_non_null(f);
        assert_true(fputs(patterns[i], f) >= 0);
        assert_int_equal(fflush(f), 0);
        _cleanup_strbuf_ struct strbuf before = STRBUF_INIT;
        synckit_list(dir, &before);
        _cleanup_strbuf_ struct strbuf git = STRBUF_INIT;
        synckit_sh(
            dir,
            "git -c core.quotePath=false ls-files -z -co --exclude-standard | tr '\\0' '\\n' "
            "| LC_ALL=C sort",
            &git);
        if (!str_eq(before.buf, git.buf))
            fail_msg("pattern %s: %s instead of %s", patterns[i], before.buf, git.buf);
    }
}

/* Both matchers against git, with a name for each byte. */
static void test_classes_of_characters(void **state)
{
    (void)state;
    static const char *const classes[] = {
        "[[:alnum:]]",    "[[:alpha:]]",   "[[:blank:]]",
        "[[:cntrl:]]",    "[[:digit:]]",   "[[:graph:]]",
        "[[:lower:]]",    "[[:print:]]",   "[[:punct:]]",
        "[[:space:]]",    "[[:upper:]]",   "[[:xdigit:]]",
        "[![:digit:]]",   "[^[:alpha:]_]", "[[:digit:]a-c]",
        "[a[:digit:]-]",  "[[:digit:]-z]", "[][:digit:]]",
        "[[:digit:]]]",   "[[:]",          "[[:a]",
        "[[a:]",          "[:digit:]",     "[\\[:digit:]]",
        "[a-[:digit:]]",  "[[:]x:]",       "[[:digit:][:upper:]]",
        "[[:digit:]\\]]", "[--[:lower:]]",
    };
    _cleanup_free_ char *dir = synckit_make(
        &kit, "classes",
        SYNCKIT_INIT "python3 -c \"import sys\n"
                     "for c in range(1, 256):\n"
                     "    if c != 47: sys.stdout.buffer.write(b'n' + bytes([c, 0]))\" >../names");
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        _cleanup_strbuf_ struct strbuf git = STRBUF_INIT;
        _cleanup_strbuf_ struct strbuf by_gitignore = STRBUF_INIT;
        _cleanup_strbuf_ struct strbuf by_ignore = STRBUF_INIT;
        _cleanup_(gitignore_free) struct gitignore g = {0};
        _cleanup_free_ char *pattern = xasprintf("n%s", classes[i]);
        _cleanup_free_ char *script = xasprintf(
            "echo '%s' >.gitignore; git check-ignore --no-index -z --stdin <../names || :",
            pattern);
        synckit_sh(dir, script, &git);
        assert_int_equal(gitignore_parse(&g, pattern, strlen(pattern), NULL), 0);
        for (int c = 1; c < 256; c++) {
            const char name[] = {'n', (char)c, '\0'};
            if (c != '/' && gitignore_match(&g, name, false, NULL))
                strbuf_add(&by_gitignore, name, sizeof name);
            if (c != '/' && ignore_glob(pattern, name, NULL))
                strbuf_add(&by_ignore, name, sizeof name);
        }
        if (by_gitignore.len != git.len || memcmp(by_gitignore.buf, git.buf, git.len) != 0 ||
            by_ignore.len != git.len || memcmp(by_ignore.buf, git.buf, git.len) != 0)
            fail_msg("%s: git %zu, gitignore %zu, ignore %zu bytes", pattern, git.len,
                     by_gitignore.len, by_ignore.len);
    }
}

/* ---- cost ---- */

/* No pattern takes time without bound. */
static void test_a_pattern_made_to_be_slow(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "slow",
        SYNCKIT_INIT "n=$(printf 'a%.0s' $(seq 250)); touch $n; printf '%.0s*a' $(seq 1000) "
                     ">.gitignore; echo b >>.gitignore; printf '%.0s**/' $(seq 1000) "
                     ">>.gitignore; echo b >>.gitignore; mkdir -p b$n/$n; touch b$n/$n/x");
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    synckit_list(dir, &out);
    assert_true(str_has_prefix(out.buf, ".gitignore\n"));
    synckit_sh(dir, "head -c 5000 /dev/zero | tr '\\0' x >.gitignore", NULL);
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(synckit_try(dir, NULL, NULL, NULL, &l, &err), -1);
    assert_non_null(strstr(err.msg, ".gitignore has a line of more than"));
}

/* Pattern files are held as long as the walk is below them. */
static void test_pattern_files_without_end(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "endless",
        SYNCKIT_INIT "yes '?x' | head -c 999999 >../many; d=.; for i in 1 2 3 4 5 6; do "
                     "cp ../many $d/.gitignore; d=$d/d; mkdir $d; done; touch $d/f");
    synckit_assert_refused(dir, "d/d/d/d/.gitignore and those above it add up to more than");
    synckit_sh(dir, "rm d/d/.gitignore d/d/d/.gitignore", NULL);
    synckit_assert_listed(dir, ".gitignore\nd/.gitignore\nd/d/d/d/.gitignore\n"
                               "d/d/d/d/d/.gitignore\nd/d/d/d/d/d/f\n");
}

/* ---- the files of patterns ---- */

/* From the deepest .gitignore to info/exclude to the user's own. */
static void test_order_of_pattern_files(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "order",
        SYNCKIT_INIT "mkdir -p d/e out; touch 1 2 3 d/1 d/2 d/3 d/e/1 d/e/2 out/x; "
                     "printf '1\\n2\\n3\\nout\\n' >../mine; echo '!1' >.git/info/exclude; "
                     "printf '1\\n!2\\n' >.gitignore; echo '!1' >d/.gitignore; "
                     "echo 2 >d/e/.gitignore; git config --global core.excludesFile '~/mine'; "
                     "git config core.excludesFile /nonexistent");
    synckit_sh(dir, "git config --unset core.excludesFile", NULL);
    synckit_assert_as_git(dir);
    synckit_assert_listed(dir, ".gitignore\n2\nd/.gitignore\nd/1\nd/2\nd/e/.gitignore\nd/e/1\n");
    /* The repository may not say that there are no such patterns. */
    synckit_sh(dir, "git config core.excludesFile /nonexistent", NULL);
    synckit_assert_listed(dir, ".gitignore\n2\nd/.gitignore\nd/1\nd/2\nd/e/.gitignore\nd/e/1\n");
    /* By way of an include; a git that lies in the tree is not the one to ask. */
    synckit_sh(dir, "mv ../.gitconfig ../more; printf '[include]\\npath = more\\n' >../.gitconfig",
               NULL);
    synckit_assert_listed(dir, ".gitignore\n2\nd/.gitignore\nd/1\nd/2\nd/e/.gitignore\nd/e/1\n");
    synckit_sh(dir, "mkdir bin; printf '#!/bin/sh\\ntouch ../RAN\\n' >bin/git; chmod 755 bin/git",
               NULL);
    _cleanup_free_ char *old = xstrdup(getenv("PATH"));
    _cleanup_free_ char *path = xasprintf("%s/bin:%s", dir, old);
    _cleanup_free_ char *bin = xasprintf("%s/bin", dir);
    _cleanup_free_ char *line = xasprintf("the program git is not in PATH; %s/git does not count, "
                                          "because it may have come with the code that you are "
                                          "working on; next: put a directory elsewhere into PATH",
                                          bin);
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    (void)setenv("PATH", path, 1);
    synckit_assert_listed(
        dir, ".gitignore\n2\nbin/git\nd/.gitignore\nd/1\nd/2\nd/e/.gitignore\nd/e/1\n");
    (void)setenv("PATH", bin, 1);
    assert_int_equal(synckit_try(dir, NULL, NULL, NULL, &l, &err), -1);
    (void)setenv("PATH", old, 1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_string_equal(err.msg, line);
    synckit_sh(
        dir,
        "test ! -e ../RAN; rm ../.gitconfig ../more; mkdir -p ../git; mv ../mine ../git/ignore",
        NULL);
    synckit_assert_listed(
        dir, ".gitignore\n2\nbin/git\nd/.gitignore\nd/1\nd/2\nd/e/.gitignore\nd/e/1\n");
    synckit_sh(dir, "rm -r ../git", NULL);
}

static void test_pattern_files_that_are_none(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "none",
        SYNCKIT_INIT "mkdir a b c; mkfifo a/.gitignore; ln -s /etc/passwd b/.gitignore; mkdir "
                     "c/.gitignore; touch a/f b/f c/f");
    synckit_assert_listed(dir, "a/f\nb/.gitignore\nb/f\nc/f\n");
    synckit_sh(dir, "mkfifo .crabboxignore", NULL);
    synckit_assert_refused(dir, "/.crabboxignore is not a regular file");
    synckit_sh(dir, "rm .crabboxignore", NULL);
    _cleanup_free_ char *ignore = xasprintf("%s/.crabboxignore", dir);
    assert_int_equal(mknod(ignore, S_IFSOCK | 0600, 0), 0); /* which can't even be opened */
    synckit_assert_refused(dir, "/.crabboxignore is not a regular file");
    synckit_sh(dir, "rm .crabboxignore; ln -s a/f .crabboxignore", NULL);
    synckit_assert_refused(dir, "/.crabboxignore is reached by a symbolic link");
    synckit_sh(dir, "rm .crabboxignore .git/info/exclude; ln -s /etc/passwd .git/info/exclude",
               NULL);
    synckit_assert_refused(dir, "/.git/info/exclude is reached by a symbolic link");
    synckit_sh(dir, "rm -r .git/info; ln -s /etc .git/info", NULL);
    synckit_assert_refused(dir, "/.git/info/exclude is reached by a symbolic link");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_classes_of_characters),
        cmocka_unit_test(test_a_pattern_made_to_be_slow),
        cmocka_unit_test(test_pattern_files_without_end),
        cmocka_unit_test(test_order_of_pattern_files),
        cmocka_unit_test(test_pattern_files_that_are_none),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
