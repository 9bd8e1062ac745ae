/* Which file a name stands for: PATH without what is relative or came with somebody's code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/program.h"
#include "testutil/scratch.h"

static void make(const char *dir)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = xasprintf("%s/%s", scratch_dir, dir);
    must(dir_make_all(path, 0755, &err), &err);
}

static void make_program(const char *name, mode_t mode)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", scratch_dir, name);
    struct error err = ERROR_INIT;
    must(file_write_new(AT_FDCWD, path, "#!/bin/sh\n", 10, 0600, &err), &err);
    assert_int_equal(chmod(path, mode), 0);
}

/* repo/ is a repository, tree/ and archive/ are none; each has a bin/tool, and so has out/. A link
 * outside of them leads through repo/ and on to out/. */
static int setup(void **state)
{
    static const char *const dirs[] = {
        "repo/.git",        "repo/bin", "repo/sub/deeper", "tree/bin",   "archive/bin",
        "archive/src/deep", "out",      "links",           "repository", "repo/pkg/.git/objects"};
    (void)scratch_open(state);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        make(dirs[i]);
    make_program("repo/bin/tool", 0755);
    make_program("tree/bin/tool", 0755);
    make_program("archive/bin/tool", 0755);
    make_program("out/tool", 0755);
    make_program("out/data", 0644);
    make_program("repository/tool", 0755);
    _cleanup_free_ char *bin = scratch_in("%/repo/bin"), *tool = scratch_in("%/repo/bin/tool");
    _cleanup_free_ char *outside = scratch_in("%/out");
    assert_int_equal(symlinkat(bin, scratch_fd, "links/dir"), 0);
    assert_int_equal(symlinkat(tool, scratch_fd, "links/tool"), 0);
    assert_int_equal(symlinkat(outside, scratch_fd, "repo/out"), 0);
    assert_int_equal(symlinkat("../repo/out", scratch_fd, "links/chain"), 0);
    assert_int_equal(symlinkat("chain", scratch_fd, "links/long"), 0);
    assert_int_equal(symlinkat("../repo/../out", scratch_fd, "links/past"), 0);
    return 0;
}

static const struct {
    const char *cwd, *path, *found, *passed; /* NULL for none */
} cases[] = {
    {"%/repo", "%/out", "%/out/tool", NULL},
    {"%/repo", "/nonexistent:%/out", "%/out/tool", NULL},
    {"%/repo", "/nonexistent", NULL, NULL},
    {"%/repo", "", NULL, NULL},
    /* relative and empty entries */
    {"%/out", ".", NULL, "./tool"},
    {"%/out", "", NULL, "./tool"},
    {"%/out", ":/nonexistent", NULL, "./tool"},
    {"%/out", "/nonexistent:", NULL, "./tool"},
    {"%/repo", "./bin:%/out", "%/out/tool", "./bin/tool"},
    {"%/repo", "bin:%/out", "%/out/tool", "bin/tool"},
    {"%/repo/sub", "../bin", NULL, "../bin/tool"},
    /* in the repository, from anywhere in it, and through links */
    {"%/repo", "%/repo/bin:%/out", "%/out/tool", "%/repo/bin/tool"},
    {"%/repo/sub/deeper", "%/repo/bin", NULL, "%/repo/bin/tool"},
    {"%/repo", "%/out/../repo/bin", NULL, "%/out/../repo/bin/tool"},
    {"%/repo/pkg", "%/repo/bin:%/out", "%/out/tool", "%/repo/bin/tool"}, /* one within another */
    {"%/repo/pkg/.git", "%/repo/bin", NULL, "%/repo/bin/tool"},
    {"%/repo", "%/links/dir", NULL, "%/links/dir/tool"},
    {"%/repo", "%/links", NULL, "%/links/tool"},
    {"%/repo", "%/repo/out", NULL, NULL}, /* by the repository's own link, which is not followed */
    {"%/repo", "%/out:%/repo/bin", "%/out/tool", NULL},
    {"%/repo", "%/repository", "%/repository/tool", NULL}, /* a neighbour */
    {"%/repo", "%/tree/bin", "%/tree/bin/tool", NULL},     /* another's, not where we are */
    /* by links that pass through the repository on their way */
    {"%/repo", "%/links/chain", NULL, NULL},
    {"%/repo", "%/links/long:%/out", "%/out/tool", NULL},
    {"%/repo", "%/links/past", NULL, "%/links/past/tool"},
    /* no repository: the working directory, and what an archive around it may have brought along */
    {"%/tree", "%/tree/bin", NULL, "%/tree/bin/tool"},
    {"%/tree/bin", "%/tree/bin", NULL, "%/tree/bin/tool"},
    {"%/archive/src", "%/archive/bin", NULL, "%/archive/bin/tool"},
    {"%/archive/src/deep", "%/archive/bin", NULL, "%/archive/bin/tool"},
    {"%/tree", "%/out", NULL, "%/out/tool"}, /* both may be of an archive */
    {"/usr/share", "%/tree/bin", "%/tree/bin/tool", NULL},
    {"/", "%/tree/bin", "%/tree/bin/tool", NULL},
};

static void path_counts_where_it_is_absolute_and_outside(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct program p;
        _cleanup_free_ char *cwd = scratch_in(cases[i].cwd), *path = scratch_in(cases[i].path);
        _cleanup_free_ char *found = scratch_in(cases[i].found ? cases[i].found : "");
        _cleanup_free_ char *passed = scratch_in(cases[i].passed ? cases[i].passed : "");
        assert_int_equal(chdir(cwd), 0);
        bool there = program_find("tool", path, cwd, NULL, &p);
        assert_int_equal(chdir("/"), 0);
        if (there != (cases[i].found != NULL) || !str_eq(p.path, found) ||
            !str_eq(p.passed, passed))
            fail_msg("in %s by %s: \"%s\", passed over \"%s\"", cwd, path, p.path, p.passed);
    }
}

/* Where the home or the system's programs are is no tree of somebody's code; but HOME itself may be
 * one, as in many a job of a CI. */
static void a_working_directory_above_everything_shuts_nothing_out(void **state)
{
    struct program p;
    _cleanup_free_ char *home = scratch_in("%/tree"), *path = scratch_in("%/tree/bin");
    (void)state;
    assert_true(program_find("env", NULL, "/", NULL, &p));
    assert_true(program_find("env", "/usr/bin", "/usr", NULL, &p));
    assert_true(program_find("env", "/usr/bin", "/usr/bin", NULL, &p));
    assert_int_equal(setenv("HOME", home, 1), 0);
    assert_false(program_find("tool", path, home, NULL, &p));
    assert_false(program_find("tool", path, scratch_dir, NULL, &p));
    assert_int_equal(unsetenv("HOME"), 0);
}

static void a_file_that_cannot_be_run_is_none(void **state)
{
    struct program p;
    _cleanup_free_ char *out = scratch_in("%/out"), *data = scratch_in("%/out/data"),
                        *tool = scratch_in("%/out/tool");
    (void)state;
    assert_false(program_find("data", out, "/", NULL, &p));
    assert_false(program_find("", out, "/", NULL, &p));
    assert_false(program_find(data, out, "/", NULL, &p));
    assert_false(program_find(out, out, "/", NULL, &p));
    assert_true(program_find(tool, "", "/", NULL, &p));
    assert_string_equal(p.path, tool);
}

static void located(const char *name, enum err_kind kind, const char *part)
{
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    assert_int_equal(program_locate(name, "VMM program", NULL, path, &err), -1);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" is not in: %s", part, err.msg);
}

static void what_is_started_is_nobody_else_s(void **state)
{
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_free_ char *before = xstrdup(getenv("PATH"));
    _cleanup_free_ char *repo = scratch_in("%/repo"), *out = scratch_in("%/out"),
                        *tool = scratch_in("%/out/tool");
    assert_int_equal(chdir(repo), 0);
    assert_int_equal(setenv("PATH", "bin", 1), 0);
    located("tool", ERR_ENV, "the VMM program tool is not in PATH; bin/tool does not count");
    located("absent", ERR_ENV, "the VMM program absent is not in PATH");
    located("bin/tool", ERR_TRUST, "give its absolute path");
    assert_int_equal(setenv("PATH", out, 1), 0);
    must(program_locate("tool", "VMM program", NULL, path, &err), &err);
    assert_string_equal(path, tool);
    /* A tree that is not the one around us. */
    assert_int_equal(program_locate("tool", "program", out, path, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "the program tool is not in PATH; "));
    assert_non_null(strstr(err.msg, "out/tool does not count"));
    if (geteuid() == 0) {
        assert_int_equal(chown(out, 54321, 0), 0);
        located("tool", ERR_TRUST, "/out is owned by uid 54321");
        located(tool, ERR_TRUST, "/out is owned by uid 54321");
        assert_int_equal(chown(out, 0, 0), 0);
    }
    assert_int_equal(chmod(out, 0777), 0);
    located("tool", ERR_TRUST, "can be replaced by any user");
    assert_int_equal(chmod(out, 0755), 0);
    assert_int_equal(setenv("PATH", before, 1), 0);
    assert_int_equal(chdir("/"), 0);
}

/* One may stand elsewhere than in the tree that is sent. */
static void what_came_with_the_directory_of_dir_does_not_count(void **state)
{
    char path[PATH_MAX], gone[] = "/tmp/crabbox-dir-XXXXXX";
    struct error err = ERROR_INIT;
    struct program p;
    (void)state;
    _cleanup_free_ char *before = xstrdup(getenv("PATH"));
    _cleanup_free_ char *src = scratch_in("%/archive/src"),
                        *way = scratch_in("%/archive/bin:/usr/bin");
    assert_true(program_find("tool", way, "/", NULL, &p));
    set_dir(src);
    assert_false(program_find("tool", way, "/", NULL, &p));
    assert_int_equal(setenv("PATH", way, 1), 0);
    located("tool", ERR_ENV, "archive/bin/tool does not count");
    assert_non_null(mkdtemp(gone));
    set_dir(gone);
    assert_int_equal(rmdir(gone), 0);
    located("tool", ERR_ENV, "the working directory or that of --dir was removed");
    must(program_locate("env", "program", NULL, path, &err), &err);
    set_dir(NULL);
    assert_int_equal(setenv("PATH", before, 1), 0);
}

/* Whoever owns the tree may remove the directory that the user stands in. */
static void a_removed_working_directory_opens_no_way(void **state)
{
    char path[PATH_MAX], gone[] = "/tmp/crabbox-cwd-XXXXXX";
    struct error err = ERROR_INIT;
    struct program p;
    (void)state;
    _cleanup_free_ char *before = xstrdup(getenv("PATH"));
    _cleanup_free_ char *sub = scratch_in("%/archive/src/gone"), *out = scratch_in("%/out");
    make("archive/src/gone");
    _cleanup_free_ char *bin = scratch_in("%/archive/bin");
    assert_int_equal(chdir(sub), 0);
    assert_int_equal(rmdir(sub), 0);
    assert_int_equal(setenv("PATH", bin, 1), 0);
    located("tool", ERR_ENV, "archive/bin/tool does not count");
    assert_non_null(mkdtemp(gone));
    assert_int_equal(chdir(gone), 0);
    assert_int_equal(rmdir(gone), 0);
    assert_int_equal(setenv("PATH", out, 1), 0);
    located("tool", ERR_ENV, "the working directory was removed");
    assert_false(program_find("tool", out, ".", NULL, &p));
    assert_true(p.lost);
    must(program_locate("env", "program", NULL, path, &err), &err);
    assert_int_equal(setenv("PATH", before, 1), 0);
    assert_int_equal(chdir("/"), 0);
}

/* Not to find out whether the program is there either. */
static void no_link_of_the_code_is_followed(void **state)
{
    struct program p;
    _cleanup_free_ char *repo = scratch_in("%/repo"), *link = scratch_in("%/repo/away"),
                        *far = scratch_in("%/far");
    _cleanup_free_ char *path = scratch_in("%/repo/away:%/repo/bin:%/out"),
                        *found = scratch_in("%/out/tool");
    _cleanup_free_ char *passed = scratch_in("%/repo/bin/tool");
    (void)state;
    make_link(far, link);
    assert_true(program_find("tool", path, repo, NULL, &p));
    assert_string_equal(p.path, found);
    assert_string_equal(p.passed, passed);
    assert_false(link_was_read(link));
    assert_int_equal(unlink(link), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_counts_where_it_is_absolute_and_outside),
        cmocka_unit_test(a_working_directory_above_everything_shuts_nothing_out),
        cmocka_unit_test(a_file_that_cannot_be_run_is_none),
        cmocka_unit_test(what_is_started_is_nobody_else_s),
        cmocka_unit_test(what_came_with_the_directory_of_dir_does_not_count),
        cmocka_unit_test(a_removed_working_directory_opens_no_way),
        cmocka_unit_test(no_link_of_the_code_is_followed),
    };
    return cmocka_run_group_tests(tests, setup, scratch_close);
}
