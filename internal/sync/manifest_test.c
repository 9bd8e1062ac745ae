#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sync/manifest.h"
#include "sync/survey.h"
#include "sync/sync.h"
#include "sys/file.h"

#define MAGIC "crabbox-fc sync manifest 2"
#define ID    "0123456789abcdef0123456789abcdef"
#define HEAD                                                                                       \
    MAGIC "\0/root\0"                                                                              \
          "7 1\0/remote\0" ID "\0"

static int parse(const char *text, size_t len)
{
    struct manifest m;
    int r = sync_manifest_parse(&m, text, len);
    sync_manifest_free(&m);
    return r;
}
#define PARSE(s) parse(s, sizeof(s) - 1)

static void test_round_trip(void **state)
{
    (void)state;
    char dir[] = "/tmp/crabbox-manifest-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct sync_store store = {.dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), .name = "m"};
    struct manifest m;
    struct manifest back;
    struct error err = ERROR_INIT;
    char path_a[] = "a\nb";
    char path_b[] = "d/\377";
    struct sync_file a = {path_a, 5, 1700000000123456789, -5, S_IFREG | 0644};
    struct sync_file b = {path_b, 0, 0, 7, S_IFLNK | 0777};
    char root[] = "/r";
    struct sync_list tree = {.root = root, .mark = "7 1"};
    assert_false(sync_manifest_load(&m, &store, &tree, "/g"));
    sync_manifest_append(&m, &a, false);
    sync_manifest_append(&m, &b, true);
    assert_int_equal(sync_manifest_save(&m, &store, &err), 0);
    assert_true(sync_manifest_load(&back, &store, &tree, "/g"));
    assert_string_equal(back.mark, "7 1");
    assert_string_equal(back.id, m.id);
    assert_int_equal(back.n, 2);
    const struct manifest_entry *e = sync_manifest_find(&back, "a\nb");
    assert_non_null(e);
    assert_int_equal(e->file.mtime_ns, a.mtime_ns);
    assert_int_equal(e->file.ctime_ns, a.ctime_ns);
    assert_int_equal(e->file.mode, a.mode);
    assert_false(e->dirty);
    assert_true(sync_manifest_find(&back, "d/\377")->dirty);
    assert_null(sync_manifest_find(&back, "c"));
    sync_manifest_free(&back);
    assert_true(sync_is_there(&store, &tree, "/g"));
    assert_false(sync_manifest_load(&back, &store, &tree, "/other"));
    assert_string_not_equal(back.id, m.id);
    sync_manifest_free(&back);
    sync_manifest_free(&m);
    (void)close(store.dirfd);
    assert_int_equal(dir_remove_tree(AT_FDCWD, dir, &err), 0);
}

/* A tree is known by its directory, wherever that is; its place counts where there is no mark. */
static void test_trees_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *root, *mark;
        enum manifest_tree want;
    } cases[] = {
        {"/a/r", "7 1", MANIFEST_SAME},     {"/b/r", "7 1", MANIFEST_SAME},
        {"/a/r", "8 1", MANIFEST_REPLACED}, {"/b/r", "8 1", MANIFEST_OTHER},
        {"/a/r", "", MANIFEST_SAME},        {"/b/r", "", MANIFEST_OTHER},
    };
    char at[] = "/a/r";
    struct sync_list first = {.root = at, .mark = "7 1"};
    struct manifest m;
    sync_manifest_begin(&m, &first, "/g");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *root = xstrdup(cases[i].root);
        struct sync_list tree = {.root = root};
        (void)str_copy(tree.mark, sizeof tree.mark, cases[i].mark);
        assert_int_equal(sync_manifest_compare(&m, &tree), cases[i].want);
    }
    sync_manifest_free(&m);
}

static void test_bad_manifests_are_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE(HEAD), 0);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a\0"
                                "33188 1 2 3 0\0b\0"),
                     0);
    assert_int_equal(PARSE(""), -1);
    assert_int_equal(PARSE(MAGIC "\0/root\0/remote\0short\0"), -1);
    assert_int_equal(PARSE(MAGIC "\0/root\0"
                                 "7 1\0/remote\0"
                                 "0123456789abcdef0123456789abcde;\0"),
                     -1);
    assert_int_equal(PARSE("other\0/root\0/remote\0" ID "\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3\0a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 2\0a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0 0\0a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 99999999999999999999 2 3 0\0a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0b\0"
                                "33188 1 2 3 0\0a\0"),
                     -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a\0"
                                "33188 1 2 3 0\0a\0"),
                     -1);
}

/* Names that would reach beyond the work directory. */
static void test_unsafe_paths_are_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0/a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0../a\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a/../b\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a/..\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a/./b\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a//b\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0a/\0"), -1);
    assert_int_equal(PARSE(HEAD "33188 1 2 3 0\0..a/...\0"), 0);
}

/* Entries a, d/e/x, d/y: which are dirty after an answer of the guest. */
static void survey(const char *answer, size_t len, const char *dirty)
{
    static char paths[][8] = {"a", "d/e/x", "d/y"};
    struct manifest m = {0};
    char got[4] = "";
    for (size_t i = 0; i < 3; i++)
        sync_manifest_append(&m, &(struct sync_file){.path = paths[i]}, false);
    struct survey_said said = {0};
    assert_true(survey_apply(&m, answer, len, &said));
    survey_names_free(&said.mounts);
    for (size_t i = 0; i < 3; i++)
        got[i] = m.entries[i].dirty ? '1' : '0';
    sync_manifest_free(&m);
    assert_string_equal(got, dirty);
}
#define SURVEY(answer, dirty) survey(answer, sizeof(answer) - 1, dirty)

static void test_survey(void **state)
{
    (void)state;
    SURVEY("", "000");
    SURVEY("\0\0", "000");
    SURVEY("./a\0\0\0", "100");
    SURVEY("./d/e/x\0./other\0\0\0", "010");
    /* the top changed, all is still there */
    SURVEY(".\0\0./a\0./d\0./new\0\0", "000");
    /* a has gone; d has gone with all below it */
    SURVEY(".\0\0./d\0\0", "100");
    SURVEY(".\0\0./a\0\0", "011");
    /* d changed: e has gone, then y has gone, then both stay */
    SURVEY("./d\0\0./d/y\0\0", "010");
    SURVEY("./d\0\0./d/e\0\0", "001");
    SURVEY("./d\0\0./d/e\0./d/y\0\0", "000");
    /* d became a symlink: nothing is listed in it */
    SURVEY(".\0./d\0\0./a\0./d\0\0", "011");
    /* mounted: at d/e, on a file, beside all, below one */
    SURVEY("\0\0d/e\0\0", "010");
    SURVEY("\0\0a\0d/y\0\0", "101");
    SURVEY("\0\0b\0d/f\0\0", "000");
    SURVEY("\0\0d/y/z\0\0", "000");
    /* cut off */
    SURVEY("./a", "000");
    SURVEY("./d\0\0./d/e", "011");
}

/* A lying guest costs no more memory than an honest one: many short names are too many, in either
 * list. */
static void test_survey_of_too_many(void **state)
{
    (void)state;
    static char path[] = "a";
    for (int list = 0; list < 2; list++) {
        _cleanup_strbuf_ struct strbuf answer = STRBUF_INIT;
        struct manifest m = {0};
        sync_manifest_append(&m, &(struct sync_file){.path = path}, false);
        if (list)
            strbuf_add(&answer, "./a\0", 5);
        for (size_t i = 0; i < 300000; i++)
            strbuf_add(&answer, "a", 2);
        strbuf_add(&answer, "\0", 2);
        struct survey_said said = {0};
        bool taken = survey_apply(&m, answer.buf, answer.len, &said);
        survey_names_free(&said.mounts);
        bool dirty = m.entries[0].dirty;
        sync_manifest_free(&m);
        assert_false(taken || dirty);
    }
}

/* Names that begin alike are as different as others, and each can be a file's. */
static void test_names_of_trees(void **state)
{
    (void)state;
    char names[4][SYNC_STORE_NAME_SIZE];
    char tree[256] = "";
    assert_int_equal(sync_store_name("src", names[0], NULL), 0);
    assert_string_equal(names[0], "sync-src");
    memset(tree, 'n', 120);
    assert_int_equal(sync_store_name(tree, names[1], NULL), 0);
    memset(tree, 'n', 255);
    assert_int_equal(sync_store_name(tree, names[2], NULL), 0);
    tree[254] = 'x';
    assert_int_equal(sync_store_name(tree, names[3], NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_in_range(strlen("lock.") + strlen(names[i]), 1, 200);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_trees_are_told_apart),
        cmocka_unit_test(test_bad_manifests_are_refused),
        cmocka_unit_test(test_unsafe_paths_are_refused),
        cmocka_unit_test(test_names_of_trees),
        cmocka_unit_test(test_survey),
        cmocka_unit_test(test_survey_of_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
