/* What a guest may send, and what becomes of it here. Archives are made by libarchive, as an honest
 * and as a hostile tar would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "fetch/name.h"
#include "sys/file.h"
#include "testutil/archive.h"

/* A directory with one inside, into which things are fetched: what must not appear would appear
 * beside it. */
struct place {
    char top[64];
    int top_fd, fd;
};

static int setup(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    (void)str_copy(p->top, sizeof p->top, "/tmp/fetch-test-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    p->top_fd = open(p->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_return_code(mkdirat(p->top_fd, "in", 0700), errno);
    p->fd = openat(p->top_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(p->fd >= 0);
    (void)umask(022);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(dir_remove_tree(AT_FDCWD, p->top, &err), 0);
    CLOSE_FD(p->fd);
    CLOSE_FD(p->top_fd);
    free(p);
    return 0;
}

static int unpack(const struct fetch_rules *rules, const struct archive_item *items, size_t n,
                  struct fetch_result *res, struct error *err)
{
    _cleanup_close_ int fd = archive_of(items, n);
    return fetch_unpack(fd, rules, res, err);
}

static void assert_text(int dirfd, const char *path, const char *want)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error err = ERROR_INIT;
    if (file_read_at(dirfd, path, 1 << 20, &text, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(text.buf, want);
}

static bool exists(int dirfd, const char *path)
{
    struct stat st;
    return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t mode_of(int dirfd, const char *path)
{
    struct stat st;
    assert_return_code(fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW), errno);
    return st.st_mode & 07777;
}

static struct fetch_rules named(const struct place *p)
{
    return (struct fetch_rules){.dirfd = p->fd, .name = "got", .limits = {100, 1 << 20}};
}

static void test_directory(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"./a", S_IFREG | 0644, "alpha", NULL, NULL},
        {"./sub/", S_IFDIR | 0755, NULL, NULL, NULL},
        {"./sub/run", S_IFREG | 06755, "#!/bin/sh\n", NULL, NULL},
        {"./sub/private", S_IFREG | 0400, "", NULL, NULL},
        {"./deep/er/b c", S_IFREG | 0666, "beta", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack(&rules, items, 6, &res, &err), 0);
    assert_int_equal(res.n_files, 4);
    assert_int_equal(res.bytes, 5 + 10 + 4);
    assert_int_equal(res.n_skipped, 0);
    assert_text(p->fd, "got/a", "alpha");
    assert_text(p->fd, "got/deep/er/b c", "beta");
    assert_int_equal(mode_of(p->fd, "got/sub/run"), 0755);
    assert_int_equal(mode_of(p->fd, "got/sub/private"), 0600);
    assert_int_equal(mode_of(p->fd, "got/deep/er/b c"), 0644);
}

/* A single file becomes what was asked for, whatever the guest calls it, and only one comes. */
/* For an ordinary user: directories that can't be written are closed when all is in them, whatever
 * the umask is, and a second copy can't get in. Others can write only what the umask lets them. */
static void test_closed_directories(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 01750, NULL, NULL, NULL},
        {"./sub/", S_IFDIR | 0555, NULL, NULL, NULL},
        {"./sub/deep/", S_IFDIR | 0000, NULL, NULL, NULL},
        {"./sub/deep/a", S_IFREG | 04444, "alpha", NULL, NULL},
        {"./sub/b", S_IFREG | 0002, "beta", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.keep = true;
    assert_return_code(fchown(p->fd, 65534, 65534), errno);
    (void)umask(077);
    assert_return_code(seteuid(65534), errno);
    int first = unpack(&rules, items, ARRAY_LEN(items), &res, &err);
    struct error denied = ERROR_INIT;
    int second = unpack(&rules, items, ARRAY_LEN(items), &res, &denied);
    assert_return_code(seteuid(0), errno);
    (void)umask(022);
    if (first < 0)
        fail_msg("%s", err.msg);
    static const struct {
        const char *path;
        mode_t mode;
    } want[] = {{"got", 0750},
                {"got/sub", 0555},
                {"got/sub/deep", 0000},
                {"got/sub/deep/a", 0444},
                {"got/sub/b", 0000}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(mode_of(p->fd, want[i].path), want[i].mode);
    assert_text(p->fd, "got/sub/deep/a", "alpha");
    assert_int_equal(second, -1);
    assert_non_null(strstr(denied.msg, "Permission denied"));
}

static void test_single_file(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./report", S_IFREG | 0644, "new", NULL, NULL},
        {"./second", S_IFREG | 0644, "more", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(file_write_new(p->fd, "got", "old old old", 11, 0600, &err), 0);
    assert_int_equal(unpack(&rules, items, 1, &res, &err), 0);
    assert_text(p->fd, "got", "new");
    assert_int_equal(unpack(&rules, items, 2, &res, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_non_null(strstr(err.msg, "second"));
    assert_false(exists(p->fd, "second"));
}

/* Names that lead elsewhere end it, and nothing appears. */
static void test_hostile_names(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {
        "../out", "/tmp/fetch-test-absolute", "a/../../out", "..", "sub/..", "./../out", "//x",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct archive_item items[] = {
            {"./", S_IFDIR | 0755, NULL, NULL, NULL},
            {names[i], S_IFREG | 0644, "bad", NULL, NULL},
        };
        struct fetch_rules rules = named(p);
        struct fetch_result res;
        struct error err = ERROR_INIT;
        assert_int_equal(unpack(&rules, items, 2, &res, &err), -1);
        assert_int_equal(err.kind, ERR_SSH);
        assert_int_equal(res.n_files, 0);
        assert_false(exists(p->top_fd, "out"));
        assert_false(exists(AT_FDCWD, "/tmp/fetch-test-absolute"));
    }
}

/* A symlink that the guest sends is left out, so nothing can go through it. */
static void test_links_and_devices(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"./way", S_IFLNK | 0777, NULL, "..", NULL},
        {"./way/out", S_IFREG | 0644, "stays inside", NULL, NULL},
        {"./hard", S_IFREG | 0644, NULL, NULL, "./way/out"},
        {"./null", S_IFCHR | 0666, NULL, NULL, NULL},
        {"./pipe", S_IFIFO | 0666, NULL, NULL, NULL},
        {"./odd\033[2Jname", S_IFREG | 0644, "x", NULL, NULL},
        {"./last", S_IFREG | 0644, "fine", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack(&rules, items, ARRAY_LEN(items), &res, &err), 0);
    assert_int_equal(res.n_skipped, 5);
    assert_string_equal(res.first_skipped, "way");
    assert_int_equal(res.n_files, 2);
    assert_text(p->fd, "got/way/out", "stays inside");
    assert_text(p->fd, "got/last", "fine");
    assert_false(exists(p->top_fd, "out"));
    assert_false(exists(p->fd, "got/null"));
    assert_false(exists(p->fd, "got/hard"));
}

/* Symlinks that are on the host already: none is followed, and none of them is written through. */
static void test_symlinks_of_the_host(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"./file", S_IFREG | 0644, "new", NULL, NULL},
        {"./dir/x", S_IFREG | 0644, "bad", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(file_write_new(p->top_fd, "target", "old", 3, 0600, &err), 0);
    assert_return_code(mkdirat(p->fd, "got", 0700), errno);
    assert_return_code(symlinkat("../../target", p->fd, "got/file"), errno);
    assert_return_code(symlinkat("../..", p->fd, "got/dir"), errno);
    assert_int_equal(unpack(&rules, items, 3, &res, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_text(p->top_fd, "target", "old");
    assert_text(p->fd, "got/file", "new");
    assert_false(exists(p->top_fd, "x"));
}

static void test_special_target_stays(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {{"f", S_IFREG | 0644, "x", NULL, NULL}};
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_return_code(mkfifoat(p->fd, "got", 0600), errno);
    assert_int_equal(unpack(&rules, items, 1, &res, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_true(exists(p->fd, "got"));
}

static void test_limits(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"./a", S_IFREG | 0644, "12345", NULL, NULL},
        {"./b", S_IFREG | 0644, "12345", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.limits.max_entries = 2;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), -1);
    assert_non_null(strstr(err.msg, "more than 2 files"));
    rules.limits.max_entries = 3;
    rules.limits.max_bytes = 9;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), -1);
    assert_non_null(strstr(err.msg, "more than 0 MiB"));
    rules.limits.max_bytes = 10;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), 0);
}

/* With globs the names are kept, and one that was not asked for ends it. */
static void test_globs(void **state)
{
    struct place *p = *state;
    static const char *const globs[] = {"out/*.xml", "**/*.log", NULL};
    static const struct archive_item good[] = {
        {"./out/a.xml", S_IFREG | 0644, "a", NULL, NULL},
        {"./x/y/z.log", S_IFREG | 0644, "z", NULL, NULL},
        {"top.log", S_IFREG | 0644, "t", NULL, NULL},
    };
    static const struct archive_item bad[] = {{"./.bashrc", S_IFREG | 0644, "bad", NULL, NULL}};
    struct fetch_rules rules = {.dirfd = p->fd, .globs = globs, .limits = {10, 1 << 20}};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack(&rules, good, 3, &res, &err), 0);
    assert_int_equal(res.n_files, 3);
    assert_text(p->fd, "out/a.xml", "a");
    assert_text(p->fd, "x/y/z.log", "z");
    assert_int_equal(unpack(&rules, bad, 1, &res, &err), -1);
    assert_false(exists(p->fd, ".bashrc"));
    assert_int_equal(unpack(&rules, NULL, 0, &res, &err), 0);
    assert_int_equal(res.n_files, 0);
}

static void test_cut_and_no_archive(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {{"f", S_IFREG | 0644, "0123456789", NULL, NULL}};
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = archive_of(items, 1);
    assert_return_code(ftruncate(fd, 515), errno);
    assert_int_equal(fetch_unpack(fd, &rules, &res, &err), -1);
    assert_false(exists(p->fd, "got"));
    _cleanup_close_ int text = memfd_create("text", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(text, "motd: hello\nno tar\n", 19, "text", &err), 0);
    assert_int_equal(lseek(text, 0, SEEK_SET), 0);
    assert_int_equal(fetch_unpack(text, &rules, &res, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    /* No half file is left beside either. */
    assert_return_code(unlinkat(p->top_fd, "in", AT_REMOVEDIR), errno);
}

/* Each directory that is made counts, not only the entry that needs it. */
static void test_directories_on_the_way_count(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/f", S_IFREG | 0644, "x", NULL, NULL},
        {"a/2/3/4/5/6/7/8/9/10/11/12/13/14/15/", S_IFDIR | 0755, NULL, NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.limits.max_entries = 32;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), 0);
    assert_int_equal(dir_remove_tree(p->fd, "got", &err), 0);
    rules.limits.max_entries = 31;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), -1);
    assert_non_null(strstr(err.msg, "more than 31 files"));
    assert_int_equal(dir_remove_tree(p->fd, "got", &err), 0);
    rules.limits.max_entries = 10;
    assert_int_equal(unpack(&rules, items, 2, &res, &err), -1);
}

/* Whoever broke it off does not wait for what is still in the pipe. */
static void test_stop(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {{"f", S_IFREG | 0644, "0123456789", NULL, NULL}};
    atomic_bool stop = true;
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.stop = &stop;
    _cleanup_close_ int fd = archive_of(items, 1);
    assert_int_equal(fetch_unpack(fd, &rules, &res, &err), -1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_false(exists(p->fd, "got"));
    atomic_store(&stop, false);
    assert_int_equal(fetch_unpack(fd, &rules, &res, &err), 0);
}

static void stop_it(void *ctx, size_t files, int64_t bytes)
{
    (void)files;
    (void)bytes;
    atomic_store((atomic_bool *)ctx, true);
}

/* Nor for what has come with the same read. */
static void test_stop_between_entries(void **state)
{
    struct place *p = *state;
    static const struct archive_item items[] = {{"./", S_IFDIR | 0755, NULL, NULL, NULL},
                                                {"a", S_IFREG | 0644, "0123456789", NULL, NULL}};
    atomic_bool stop = false;
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.stop = &stop;
    rules.ctx = &stop;
    rules.progress = stop_it;
    assert_int_equal(unpack(&rules, items, 2, &res, &err), -1);
    assert_false(exists(p->fd, "got/a"));
}

/* What a terminal would obey or not show is left out; letters of an old encoding are neither. A
 * file that was asked for has the name that was given here. */
static void test_odd_names(void **state)
{
    struct place *p = *state;
    static const char *const odd[] = {
        "c0\x1bm",         "c1\xc2\x9bm",      "raw\x9bm",
        "half\xe2\x9bm",   "rtl\xe2\x80\xaex", "ls\xe2\x80\xa8x",
        "in\xe2\x80\x8bx", "bom\xef\xbb\xbfx", "d\x9b/fine",
    };
    static const char *const fine[] = {
        "caf\xe9", "caf\xc3\xa9", "\xe2\x9d\xa4\xef\xb8\x8f", "back\\x1bslash", "\xff\xa0",
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        const struct archive_item items[] = {{"./", S_IFDIR | 0755, NULL, NULL, NULL},
                                             {odd[i], S_IFREG | 0644, "x", NULL, NULL}};
        assert_int_equal(unpack(&rules, items, 2, &res, &err), 0);
        if (res.n_skipped != 1 || res.n_files)
            fail_msg("%zu was taken", i);
    }
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        const struct archive_item items[] = {{"./", S_IFDIR | 0755, NULL, NULL, NULL},
                                             {fine[i], S_IFREG | 0644, "x", NULL, NULL}};
        assert_int_equal(unpack(&rules, items, 2, &res, &err), 0);
        if (res.n_skipped || res.n_files != 1)
            fail_msg("%zu was left out", i);
    }
    const struct archive_item one[] = {{odd[0], S_IFREG | 0644, "x", NULL, NULL}};
    rules.name = "one";
    assert_int_equal(unpack(&rules, one, 1, &res, &err), 0);
    assert_text(p->fd, "one", "x");
}

/* The content of what is left out is none of a header. */
static void test_large_and_left_out(void **state)
{
    struct place *p = *state;
    enum { LARGE = 5 << 20 };
    _cleanup_free_ char *large = xcalloc(LARGE + 1, 1);
    memset(large, 'x', LARGE);
    const struct archive_item items[] = {
        {"./", S_IFDIR | 0755, NULL, NULL, NULL},
        {"sub/.envrc", S_IFREG | 0644, large, NULL, NULL},
        {"large", S_IFREG | 0644, large, NULL, NULL},
        {"last", S_IFREG | 0644, "z", NULL, NULL},
    };
    struct fetch_rules rules = named(p);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    rules.limits.max_bytes = 4 * (int64_t)LARGE;
    if (unpack(&rules, items, 4, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(res.n_files, 2);
    assert_text(p->fd, "got/last", "z");
}

/* Who asks for the names reads each file once: a guest can't have one read again and again. */
static void test_a_name_comes_once(void **state)
{
    struct place *p = *state;
    static const char *const globs[] = {"*.xml", NULL};
    static const struct archive_item items[] = {{"./a.xml", S_IFREG | 0644, "x", NULL, NULL},
                                                {"b.xml", S_IFREG | 0644, "y", NULL, NULL},
                                                {"a.xml", S_IFREG | 0644, "z", NULL, NULL}};
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    struct fetch_rules rules = {
        .dirfd = p->fd, .globs = globs, .limits = {100, 1 << 20}, .names = &names};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_string_equal(err.msg, "the guest sent a.xml twice");
    assert_int_equal(names.len, 2 * sizeof "a.xml");
    rules.names = NULL;
    assert_int_equal(unpack(&rules, items, 3, &res, &err), 0);
    assert_text(p->fd, "a.xml", "z");
}

static void test_glob_match(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *path;
        bool want;
    } cases[] = {
        {"*.xml", "a.xml", true},        {"*.xml", "d/a.xml", false}, {"**/*.xml", "a.xml", true},
        {"**/*.xml", "d/e/a.xml", true}, {"d/**/x", "d/x", true},     {"d/**/x", "d/e/f/x", true},
        {"d/**/x", "e/x", false},        {"d/**", "d/e/f", true},     {"./out/?", "out/a", true},
        {"out/?", "out/ab", false},      {"out/[ab]", "out/b", true}, {"out", "out/a", false},
        {"out/*", "out", false},         {"a//b", "a/b", true},       {"**", "x/y", true},
        {"d/*/x", "d/e/f/x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (fetch_glob_match(cases[i].glob, cases[i].path) != cases[i].want)
            fail_msg("%s and %s", cases[i].glob, cases[i].path);
    struct error err = ERROR_INIT;
    assert_int_equal(fetch_check_glob("out/*.xml", &err), 0);
    assert_int_equal(fetch_check_glob("/etc/*", &err), -1);
    assert_int_equal(fetch_check_glob("../*", &err), -1);
    assert_int_equal(fetch_check_glob("", &err), -1);
    assert_int_equal(fetch_check_glob(".", &err), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_directory),
        TEST(test_closed_directories),
        TEST(test_single_file),
        TEST(test_hostile_names),
        TEST(test_links_and_devices),
        TEST(test_symlinks_of_the_host),
        TEST(test_special_target_stays),
        TEST(test_limits),
        TEST(test_globs),
        TEST(test_cut_and_no_archive),
        TEST(test_directories_on_the_way_count),
        TEST(test_stop),
        TEST(test_stop_between_entries),
        TEST(test_odd_names),
        TEST(test_large_and_left_out),
        TEST(test_a_name_comes_once),
        cmocka_unit_test(test_glob_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
