#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "run/envset.h"
#include "sys/file.h"

static const char *const envp[] = {"HOME=/root", "CI=true", "EMPTY=", "TOKEN=s3cret", NULL};

/* A file and what comes of it: "NAME=VALUE|NAME=VALUE", or "!part of the message". */
static const struct {
    const char *text;
    size_t len; /* 0: strlen */
    const char *want;
} files[] = {
    {"", 0, ""},
    {"\n\n# only a comment\n  # indented\n", 0, ""},
    {"A=1\nB=two words # no comment\n", 0, "A=1|B=two words # no comment"},
    {"A=1", 0, "A=1"},
    {"A=\n", 0, "A="},
    {"A= x \n", 0, "A= x "},
    {"A=1\r\nB=2\r\n", 0, "A=1|B=2"},
    {"export A=1\n  export B='2'\n", 0, "A=1|B=2"},
    {"A=a=b\n", 0, "A=a=b"},
    {"A=it's\n", 0, "A=it's"},
    {"A='$x \"q\" \\n'\n", 0, "A=$x \"q\" \\n"},
    {"A='one\ntwo'\nB=3\n", 0, "A=one\ntwo|B=3"},
    {"A=\"a\\nb\\t\\\"\\\\\\$\"\nB=1", 0, "A=a\nb\t\"\\$|B=1"},
    {"A=''\n", 0, "A="},
    {"A='x' \t\r\n", 0, "A=x"},
    {"A=1\nA=2\n", 0, "A=2"},
    {"HOME\nEMPTY\n", 0, "HOME=/root|EMPTY="},
    {"A=1\0B=x\ny\0C='q'\0", 15, "A=1|B=x\ny|C='q'"},
    {"A=1\0HOME\0", 9, "!not set here"},
    {"A='x\ny\n", 0, "!f:1: a quote without end"},
    {"\nA=\"x\\q\"\n", 0, "!f:2: after \\"},
    {"A='x'y\n", 0, "!f:1: text behind"},
    {"NOBODY\n", 0, "!f:1: NOBODY is not set here"},
    {"A=1\n1B=2\n", 0, "!f:2: not NAME=VALUE"},
    {"=x\n", 0, "!not NAME=VALUE"},
    {"A B=x\n", 0, "!not NAME=VALUE"},
    {"A\xc3\xa4=x\n", 0, "!not NAME=VALUE"},
    {"UID=0\n", 0, "!belongs to the shell"},
    {"UID='0'\n", 0, "!belongs to the shell"},
    {"CRABBOX_RUN_ID=x\n", 0, "!set by each run"},
};

static void join(const struct env_set *s, struct strbuf *out)
{
    for (size_t i = 0; i < s->n; i++)
        strbuf_addf(out, "%s%s", i ? "|" : "", s->entries[i]);
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct env_set s = ENV_SET_INIT;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf got = STRBUF_INIT;
        size_t len = files[i].len ? files[i].len : strlen(files[i].text);
        const char *want = files[i].want;
        int r = env_set_parse(&s, files[i].text, len, "f", NULL, envp, &err);
        if (r == 0)
            join(&s, &got);
        if (*want == '!' ? r == 0 || !strstr(err.msg, want + 1) : r < 0 || !str_eq(got.buf, want))
            fail_msg("file %zu: got \"%s\" \"%s\", want \"%s\"", i, got.buf, err.msg, want);
        env_set_free(&s);
    }
}

/* A message about a bad entry shows no value. */
static void test_messages_keep_values_to_themselves(void **state)
{
    (void)state;
    static const char *const texts[] = {"1BAD=s3cret\n", "UID=s3cret\n", "A='s3cret\n",
                                        "A='s3cret'x\n", "B AD=s3cret\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct env_set s = ENV_SET_INIT;
        struct error err = ERROR_INIT;
        assert_int_equal(env_set_parse(&s, texts[i], strlen(texts[i]), "f", NULL, envp, &err), -1);
        assert_int_equal(err.kind, ERR_USAGE);
        assert_null(strstr(err.msg, "s3cret"));
        env_set_free(&s);
    }
}

static void test_later_is_stronger(void **state)
{
    (void)state;
    struct env_set s = ENV_SET_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(env_set_allow(&s, "CI,NODE_OPTIONS,TOKEN", envp, &err), 0);
    assert_string_equal(env_set_get(&s, "CI"), "true");
    assert_null(env_set_get(&s, "NODE_OPTIONS"));
    assert_null(env_set_get(&s, "HOME"));
    assert_int_equal(env_set_parse(&s, "CI=file\nX=1\n", 12, "f", NULL, envp, &err), 0);
    assert_int_equal(env_set_option(&s, "X=2", envp, &err), 0);
    assert_int_equal(env_set_option(&s, "HOME", envp, &err), 0);
    assert_int_equal(env_set_option(&s, "NOBODY", envp, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    _cleanup_strbuf_ struct strbuf script = STRBUF_INIT;
    env_set_script(&s, &script);
    assert_string_equal(script.buf, "export CI='file' || exit\nexport TOKEN='s3cret' || exit\n"
                                    "export X='2' || exit\nexport HOME='/root' || exit\n");
    env_set_free(&s);
    assert_int_equal(s.n, 0);
}

/* A file of ever new names ends at once, however they are written; one that names the same again
 * and again does not. */
static void test_names_have_a_bound(void **state)
{
    static const char *const before[] = {"", "", "export "};
    static const char *const values[] = {"", "\"x\"", "'x'"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct env_set s = ENV_SET_INIT;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        for (int n = 0; n < 50000; n++) {
            char line[64];
            (void)snprintf(line, sizeof line, "%sN%d=%s\n", before[i], n % 1000, values[i]);
            strbuf_adds(&text, line);
        }
        assert_int_equal(env_set_parse(&s, text.buf, text.len, "f", NULL, envp, &err), 0);
        assert_int_equal(s.n, 1000);
        assert_int_equal(env_set_option(&s, "N7=8", envp, &err), 0);
        assert_int_equal(env_set_option(&s, "X=1", envp, &err), -1);
        assert_int_equal(err.kind, ERR_USAGE);
        assert_non_null(strstr(err.msg, "--env: a run passes at most 1000 variables"));
        assert_int_equal(env_set_allow(&s, "CI", envp, &err), -1);
        assert_int_equal(env_set_parse(&s, "\nX=1\n", 5, "f", NULL, envp, &err), -1);
        assert_non_null(strstr(err.msg, "f:2: a run passes at most 1000 variables"));
        assert_int_equal(env_set_parse(&s, "X='1'\n", 6, "f", NULL, envp, &err), -1);
        assert_int_equal(env_set_parse(&s, "X=1", 4, "f", NULL, envp, &err), -1);
        assert_int_equal(s.n, 1000);
        env_set_free(&s);
    }
}

/* A file that is not the user's own takes no variable of the host along but those that may go. */
static void test_bare_names_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *text, *allow, *want;
    } cases[] = {
        {"A=1\nCI\nexport HOME\n", "CI,HOME", "A=1|CI=true|HOME=/root"},
        {"A=1\n\nTOKEN\n", "CI,NODE_OPTIONS", "!f:3: TOKEN without a value"},
        {" export TOKEN\r\n", "TOKE,TOKENS,CI", "!next: --env TOKEN"},
        {"TOKEN", "", "!f:1: TOKEN without a value"},
        {"NOBODY\n", "CI", "!f:1: NOBODY without a value"}, /* nor whether it is set */
        {"TOKEN=x\nB='y'\n", "", "TOKEN=x|B=y"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct env_set s = ENV_SET_INIT;
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf got = STRBUF_INIT;
        const char *want = cases[i].want;
        int r = env_set_parse(&s, cases[i].text, strlen(cases[i].text), "f", cases[i].allow, envp,
                              &err);
        if (r == 0)
            join(&s, &got);
        if (*want == '!' ? r == 0 || !strstr(err.msg, want + 1) : r < 0 || !str_eq(got.buf, want))
            fail_msg("case %zu: got \"%s\" \"%s\", want \"%s\"", i, got.buf, err.msg, want);
        env_set_free(&s);
    }
}

/* Which file is whose. */
static void test_file_of_a_tree(void **state)
{
    (void)state;
    struct env_set s = ENV_SET_INIT;
    struct error err = ERROR_INIT;
    char top[] = "/tmp/envset-test-XXXXXX";
    assert_non_null(mkdtemp(top));
    _cleanup_free_ char *path = xasprintf("%s/.env", top);
    _cleanup_free_ char *git = xasprintf("%s/.git", top);
    assert_int_equal(file_write_new(AT_FDCWD, path, "CI\nTOKEN\n", 9, 0600, &err), 0);
    assert_int_equal(env_set_file(&s, path, "CI", envp, NULL, &err), 0);
    assert_string_equal(env_set_get(&s, "TOKEN"), "s3cret");
    env_set_free(&s);
    assert_int_equal(dir_make_all(git, 0700, &err), 0);
    assert_int_equal(env_set_file(&s, path, "CI", envp, NULL, &err), -1);
    assert_null(env_set_get(&s, "TOKEN"));
    assert_non_null(strstr(err.msg, ".env:2: TOKEN"));
    assert_null(strstr(err.msg, "s3cret"));
    env_set_free(&s);
    assert_int_equal(dir_remove_tree(AT_FDCWD, top, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_messages_keep_values_to_themselves),
        cmocka_unit_test(test_names_have_a_bound),
        cmocka_unit_test(test_later_is_stronger),
        cmocka_unit_test(test_bare_names_of_others),
        cmocka_unit_test(test_file_of_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
