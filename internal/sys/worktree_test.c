/* What may have come with somebody's code: the rule that sync, config, paths and programs share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/pathwalk.h"
#include "sys/worktree.h"
#include "testutil/scratch.h"

/* repo/ is a repository with another in it, made/ has a .git that is a file, archive/ has none. */
static int setup(void **state)
{
    static const char *const dirs[] = {"%/repo/.git/objects",
                                       "%/repo/sub/deep",
                                       "%/repo/inner/.git",
                                       "%/repo/inner/src",
                                       "%/made",
                                       "%/archive/src/deep",
                                       "%/out",
                                       "%/links"};
    static const char *const links[][2] = {
        {"../repo/sub", "%/links/in"},     {"../out", "%/repo/back"},
        {"../repo/back", "%/links/chain"}, {"in/../../out", "%/links/past"},
        {"loop", "%/links/loop"},          {"../repo", "%/links/top"}};
    struct error err = ERROR_INIT;
    (void)scratch_open(state);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        _cleanup_free_ char *dir = scratch_in(dirs[i]);
        must(dir_make_all(dir, 0755, &err), &err);
    }
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        _cleanup_free_ char *name = scratch_in(links[i][1]);
        assert_return_code(symlink(links[i][0], name), errno);
    }
    _cleanup_free_ char *git = scratch_in("%/made/.git");
    must(file_write_new(AT_FDCWD, git, "gitdir: x\n", 10, 0644, &err), &err);
    return 0;
}

static void has_git_of_any_kind(void **state)
{
    static const struct {
        const char *dir;
        int want;
    } cases[] = {{"repo", 1}, {"repo/sub", 0}, {"made", 1}, {"archive", 0}, {"out", 1}};
    (void)state;
    assert_return_code(symlinkat("nowhere", scratch_fd, "out/.git"), errno);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_close_ int fd = openat(scratch_fd, cases[i].dir, O_PATH | O_CLOEXEC);
        if (worktree_has_git(fd, NULL) != cases[i].want)
            fail_msg("%s", cases[i].dir);
    }
    assert_return_code(unlinkat(scratch_fd, "out/.git", 0), errno);
}

static void goes_up_to_the_top_of_the_host(void **state)
{
    (void)state;
    _cleanup_close_ int fd = openat(scratch_fd, "repo/sub", O_PATH | O_CLOEXEC);
    assert_int_equal(worktree_go_up(&fd), 1);
    _cleanup_free_ char *name = fd_path(fd), *repo = scratch_in("%/repo");
    assert_string_equal(name, repo);
    int n = 0;
    while (worktree_go_up(&fd) == 1)
        assert_true(++n < PATH_MAX);
    _cleanup_free_ char *top = fd_path(fd);
    assert_string_equal(top, "/");
}

static void assert_around(const char *cwd, const char *want)
{
    char got[PATH_MAX];
    _cleanup_free_ char *dir = scratch_in(cwd), *path = scratch_in(want);
    if (worktree_around(dir, got) < 0 || !str_eq(got, path))
        fail_msg("around %s: %s", dir, got);
}

/* The directory that an archive may reach up to: the highest below what users share. */
static const char *archives_top(char out[static PATH_MAX])
{
    static const char *const shared[] = {"/var/tmp/", "/tmp/", "/run/", "/"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(shared) && !n; i++)
        if (str_has_prefix(scratch_dir, shared[i]))
            n = strlen(shared[i]);
    (void)str_format(out, PATH_MAX, "%.*s", (int)(n + strcspn(scratch_dir + n, "/")), scratch_dir);
    return out;
}

static void the_outermost_git_or_the_highest_directory(void **state)
{
    char top[PATH_MAX];
    (void)state;
    assert_around("%/repo", "%/repo");
    assert_around("%/repo/sub/deep", "%/repo");
    assert_around("%/links/in/deep", "%/repo");
    assert_around("%/repo/inner/src", "%/repo");
    assert_around("%/repo/.git/objects", "%/repo");
    assert_around("%/made", "%/made");
    assert_around("%/archive/src/deep", archives_top(top));
    assert_around("%/archive", archives_top(top));
    assert_around("/tmp", "/tmp"); /* one stands in it */
}

/* What came with the directory of --dir counts wherever one stands, and also after a rename. */
static void the_directory_of_dir_counts_as_well(void **state)
{
    char top[PATH_MAX], gone[] = "/tmp/crabbox-tree-XXXXXX";
    struct worktree_tops tops;
    _cleanup_free_ char *deep = scratch_in("%/archive/src/deep"), *repo = scratch_in("%/repo");
    _cleanup_free_ char *sub = scratch_in("%/repo/sub"), *moved = scratch_in("%/repo/moved");
    (void)state;
    assert_int_equal(worktree_tops("/", &tops), 0);
    assert_null(worktree_leads_through_top(deep, &tops));
    set_dir(deep);
    assert_int_equal(worktree_tops("/", &tops), 0);
    assert_string_equal(worktree_leads_through_top(deep, &tops), archives_top(top));
    set_dir(sub);
    assert_return_code(rename(sub, moved), errno);
    assert_int_equal(worktree_tops("/", &tops), 0);
    assert_string_equal(worktree_leads_through_top(moved, &tops), repo);
    assert_return_code(rename(moved, sub), errno);
    assert_int_equal(worktree_tops(deep, &tops), 0);
    assert_non_null(worktree_leads_through_top(deep, &tops));
    assert_non_null(mkdtemp(gone));
    set_dir(gone);
    assert_return_code(rmdir(gone), errno);
    assert_int_equal(worktree_tops("/", &tops), -1);
    assert_int_equal(errno, ENOENT);
    set_dir(NULL);
    assert_int_equal(worktree_tops("/", &tops), 0);
    assert_null(worktree_leads_through_top(deep, &tops));
}

static bool leads_through(const char *path, const char *root)
{
    struct worktree_tops tops = {0};
    (void)str_copy(tops.of[0], sizeof tops.of[0], root);
    return worktree_leads_through_top(path, &tops) != NULL;
}

/* By a bind mount, as containers of CIs have it. */
static void a_tree_of_two_names_is_known_by_both(void **state)
{
    char got[PATH_MAX];
    _cleanup_free_ char *repo = scratch_in("%/repo"), *alias = scratch_in("%/alias"),
                        *sub = scratch_in("%/alias/sub");
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_return_code(mkdir(alias, 0755), errno);
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount(repo, alias, NULL, MS_BIND, NULL), 0);
    assert_true(leads_through(sub, repo));
    assert_true(leads_through(alias, repo));
    assert_int_equal(worktree_on_way(sub, repo, got), 1);
    assert_int_equal(umount2(alias, MNT_DETACH), 0);
    assert_false(leads_through(alias, repo));
    assert_return_code(rmdir(alias), errno);
}

/* The host's own programs make /usr/local no archive's. */
static void programs_of_the_host_are_in_no_archive(void **state)
{
    char got[PATH_MAX];
    (void)state;
    assert_around("/usr/local", "");
    assert_int_equal(worktree_on_way("/usr/local/bin/x", "/usr/local", got), 0);
    if (access("/usr/local/src", F_OK) == 0)
        assert_around("/usr/local/src", "/usr/local/src");
}

/* What is not known is an error, never "none". */
static void what_can_not_be_told_is_an_error(void **state)
{
    char got[PATH_MAX], gone[] = "/tmp/crabbox-tree-XXXXXX";
    (void)state;
    assert_int_equal(worktree_around("/nonexistent", got), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(got, "");
    assert_non_null(mkdtemp(gone));
    assert_return_code(chdir(gone), errno);
    assert_return_code(rmdir(gone), errno);
    assert_int_equal(worktree_around(".", got), -1);
    assert_int_equal(errno, ENOENT);
    /* What is above a removed directory is still there. */
    _cleanup_free_ char *sub = scratch_in("%/repo/gone"), *repo = scratch_in("%/repo");
    assert_return_code(mkdir(sub, 0755), errno);
    assert_return_code(chdir(sub), errno);
    assert_return_code(rmdir(sub), errno);
    assert_int_equal(worktree_around(".", got), 0);
    assert_string_equal(got, repo);
    assert_return_code(chdir("/"), errno);
}

static void without_descriptors_no_tree_is_overlooked(void **state)
{
    struct rlimit before, few;
    _cleanup_free_ char *sub = scratch_in("%/repo/sub"), *repo = scratch_in("%/repo");
    (void)state;
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
    unsigned failed = 0;
    for (rlim_t n = 3; n < 24; n++) {
        char got[PATH_MAX], on_way[PATH_MAX];
        few = (struct rlimit){n, before.rlim_max};
        assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
        int around = worktree_around(sub, got);
        int along = worktree_on_way(sub, "", on_way);
        assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
        if (along == 0 || (around == 0 && !str_eq(got, repo)))
            fail_msg("with %u descriptors: around \"%s\", along %d", (unsigned)n, got, along);
        failed += around < 0;
    }
    assert_true(failed > 0);
}

/* What can't be looked at is not called a tree: whoever reads that would look for its .git. */
static void a_directory_that_can_t_be_searched_is_no_answer(void **state)
{
    _cleanup_free_ char *closed = scratch_in("%/closed"), *path = scratch_in("%/closed/sub");
    char got[PATH_MAX];
    int status;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_return_code(mkdir(closed, 0700), errno);
    pid_t pid = fork();
    if (pid == 0) {
        bool same = seteuid(65534) == 0 && worktree_on_way(path, "", got) == -1 && errno == EACCES;
        _exit(same ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_return_code(rmdir(closed), errno);
    assert_int_equal(status, 0);
}

/* Where the home that the system knows is, or its programs. */
static void the_users_own_is_no_tree(void **state)
{
    _cleanup_free_ char *own = caller_home_of(geteuid());
    char home[PATH_MAX];
    (void)state;
    assert_around("/", "");
    assert_around("/usr", "");
    assert_around("/usr/bin", "");
    _cleanup_free_ char *tree = scratch_in("%/archive");
    assert_return_code(setenv("HOME", tree, 1), errno);
    char top[PATH_MAX];
    assert_around("%/archive/src", archives_top(top));
    assert_return_code(unsetenv("HOME"), errno);
    if (!own || !realpath(own, home))
        skip();
    assert_around(home, "");
}

static void paths_lead_through_step_by_step(void **state)
{
    static const struct {
        const char *path, *root;
        bool want;
    } cases[] = {
        {"%/repo/sub", "%/repo", true},     {"%/repo", "%/repo", true},
        {"%/out", "%/repo", false},         {"%/links/in", "%/repo", true},
        {"%/links/chain", "%/repo", true},  {"%/links/past", "%/repo", true},
        {"%/repo/back", "%/repo", true},    {"%/links/../repo/sub/../../out", "%/repo", true},
        {"%/links/loop", "%/repo", true},   {"%/out/missing/x", "%/repo", false},
        {"%/repo/missing", "%/repo", true}, {"%/out", "", false},
        {"%/repository", "%/repo", false},  {"%/out", "/", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *path = scratch_in(cases[i].path), *root = scratch_in(cases[i].root);
        if (leads_through(path, root) != cases[i].want)
            fail_msg("%s through %s", path, root);
    }
}

static void paths_pass_the_top_of_a_tree(void **state)
{
    static const struct {
        const char *path, *top;
        const char *want; /* NULL: none */
    } cases[] = {
        {"%/repo/sub/state", "/", "%/repo"},
        {"%/repo/inner/state", "%/repo/sub", "%/repo"},
        {"%/links/in/state", "/", "%/repo"},
        {"%/links/chain/state", "/", "%/repo"}, /* which ends outside of it */
        {"%/made/state", "/", "%/made"},
        {"%/archive/state", "/", NULL},
        {"%/archive/state", "", NULL},
        {"%/archive/state", "%/archive", "%/archive"},
        {"%/archive/state", "%", "%"},
        {"%/archive/src/deep", "%/archive/src/deep", "%/archive/src/deep"},
        {"%/out/state", "%/archive", NULL},
        {"%/out/state", "%/repo", NULL},
        {"/usr/bin/state", "/usr", NULL},
    };
    char unused[PATH_MAX];
    _cleanup_free_ char *loop = scratch_in("%/links/loop/state");
    assert_int_equal(worktree_on_way(loop, "", unused), -1);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char got[PATH_MAX] = "";
        _cleanup_free_ char *path = scratch_in(cases[i].path), *top = scratch_in(cases[i].top);
        _cleanup_free_ char *want = scratch_in(cases[i].want ? cases[i].want : "");
        int found = worktree_on_way(path, top, got);
        if (found != (cases[i].want != NULL) || (found && !str_eq(got, want)))
            fail_msg("%s past %s: %s", path, top, found ? got : "none");
    }
}

/* Where a link that came with code leads is not even asked. The user's own are followed. */
static void what_is_there_is_seen_through_no_link_of_a_tree(void **state)
{
    static const struct {
        const char *path;
        int want;
        const char *link; /* that stopped it */
    } cases[] = {
        {"%/repo/sub/deep", 1, ""},
        {"%/repo/back", 1, ""}, /* itself */
        {"%/repo/back/x", -1, "%/repo/back"},
        {"%/links/chain/x", -1, "%/repo/back"},
        {"%/links/in/deep", 1, ""},
        {"%/links/in/none", 0, ""},
        {"%/made/out/x", -1, "%/made/out"}, /* of another tree than ours */
        {"%/archive/out", 1, ""},
        {"%/archive/out/x", -1, "%/archive/out"},
        {"%/none/x", 0, ""},
        {"%/links/loop/x", -1, ""},
    };
    struct worktree_tops tops = {0};
    _cleanup_free_ char *archive = scratch_in("%/archive");
    _cleanup_free_ char *made = scratch_in("%/made/out"), *out = scratch_in("%/archive/out");
    char *const links[] = {made, out};
    (void)state;
    (void)str_copy(tops.of[0], sizeof tops.of[0], archive);
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        make_link("../out", links[i]);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stat st;
        char link[PATH_MAX];
        _cleanup_free_ char *path = scratch_in(cases[i].path), *want = scratch_in(cases[i].link);
        int got = worktree_look(path, &tops, &st, link);
        if (got != cases[i].want || !str_eq(link, want) || (got < 0 && errno != ELOOP))
            fail_msg("%s: %d, %s", path, got, link);
    }
    /* Nor to compare it with another top. */
    (void)str_copy(tops.of[1], sizeof tops.of[1], archive);
    (void)str_copy(tops.of[0], sizeof tops.of[0], "/nonexistent");
    _cleanup_free_ char *beyond = scratch_in("%/archive/out/x");
    assert_string_equal(worktree_leads_through_top(beyond, &tops), archive);
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        assert_false(link_was_read(links[i]));
}

/* `cd` follows links: what came with code may not choose in which of the user's directories one
 * works. */
static void the_shells_name_tells_by_which_link_one_came(void **state)
{
    static const struct {
        const char *target, *link, *pwd;
        int want;
    } cases[] = {
        {"../../keys", "%/arc/proj/src", "%/arc/proj/src", 1},
        {"../../keys", "%/arc/proj/src", "%/arc/proj/src/sub", 1},
        {"../../keys", "%/arc/proj/src", "%/keys", 0},      /* by its own name */
        {"../../keys", "%/arc/proj/src", "%/arc/proj", -2}, /* an old name */
        {"lib", "%/arc/proj/src", "%/arc/proj/src", 0},     /* further down */
        {"../../repo", "%/arc/proj/src", "%/arc/proj/src/sub", 0},
        {"../repo/sub", "%/made/src", "%/made/src", 1}, /* out of a working tree */
        {"../keys", "%/made/src", "%/made/src", 1},
        {"../sub", "%/repo/inner/src2", "%/repo/inner/src2", 0}, /* within it */
    };
    static const char *const dirs[] = {"%/keys/sub", "%/arc/proj/lib"};
    struct error err = ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        _cleanup_free_ char *dir = scratch_in(dirs[i]);
        must(dir_make_all(dir, 0755, &err), &err);
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char found[PATH_MAX];
        _cleanup_free_ char *link = scratch_in(cases[i].link), *pwd = scratch_in(cases[i].pwd);
        assert_return_code(symlink(cases[i].target, link), errno);
        assert_return_code(chdir(cases[i].want == -2 ? "/" : pwd), errno);
        int want = cases[i].want == 1, got = worktree_pwd_link(pwd, found);
        if (got != want || !str_eq(found, want ? link : ""))
            fail_msg("%s -> %s: %d by %s", pwd, cases[i].target, got, found);
        assert_return_code(unlink(link), errno);
    }
    assert_return_code(chdir("/"), errno);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_git_of_any_kind),
        cmocka_unit_test(goes_up_to_the_top_of_the_host),
        cmocka_unit_test(the_outermost_git_or_the_highest_directory),
        cmocka_unit_test(the_directory_of_dir_counts_as_well),
        cmocka_unit_test(a_tree_of_two_names_is_known_by_both),
        cmocka_unit_test(programs_of_the_host_are_in_no_archive),
        cmocka_unit_test(what_can_not_be_told_is_an_error),
        cmocka_unit_test(without_descriptors_no_tree_is_overlooked),
        cmocka_unit_test(a_directory_that_can_t_be_searched_is_no_answer),
        cmocka_unit_test(the_users_own_is_no_tree),
        cmocka_unit_test(paths_lead_through_step_by_step),
        cmocka_unit_test(paths_pass_the_top_of_a_tree),
        cmocka_unit_test(what_is_there_is_seen_through_no_link_of_a_tree),
        cmocka_unit_test(the_shells_name_tells_by_which_link_one_came),
    };
    return cmocka_run_group_tests(tests, setup, scratch_close);
}
