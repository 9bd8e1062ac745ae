/* Repositories in the tree: submodules, and those that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/sync.h"
#include "testutil/synckit.h"

/* ---- repositories that are no submodules ---- */

/* A directory with a .git of any kind is not ours, whatever the index names below it. */
static void test_nested_repositories(void **state)
{
    (void)state;
    static const char *const kinds[] = {"git -C n init -q", "mkdir n/.git", "mkfifo n/.git",
                                        "ln -s /nowhere n/.git", "echo 'gitdir: /etc' >n/.git"};
    _cleanup_free_ char *dir = synckit_make(
        &kit, "nested", SYNCKIT_INIT "mkdir -p n/d o; echo s >n/.env; touch n/d/f o/f");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        _cleanup_free_ char *script = xasprintf("rm -rf n/.git; %s", kinds[i]);
        synckit_sh(dir, script, NULL);
        synckit_assert_listed(dir, "o/f\n-n\n");
        synckit_sh(dir, "rm -rf n/.git; git add n; mkdir n/.git", NULL);
        synckit_sh(dir, script, NULL);
        synckit_assert_listed(dir, "o/f\n-n\n");
        synckit_sh(dir, "git rm -rq --cached n", NULL);
    }
    synckit_sh(dir, "echo /n >.gitignore", NULL);
    synckit_assert_listed(dir, ".gitignore\no/f\n");
}

static size_t count_skipped(const char *dir)
{
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_scan(dir, NULL, &l);
    return l.n_nested;
}

/* The index of an archive knows what people call their secrets, and where they clone what. */
static void test_index_that_names_files_of_a_later_clone(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "later",
        SYNCKIT_INIT
        "mkdir -p sub/deep sub-x out/sub; touch f sub-x/f; for i in sub sub/deep out/sub; do "
        "echo s >$i/secret.txt; echo s >$i/other.txt; done; echo /out/ >.gitignore; "
        "git add -f f sub sub-x out .gitignore; "
        "for i in sub out/sub; do git -C $i init -q; echo '*' >$i/.git/info/exclude; done; "
        "touch sub/new sub/deep/new");
    synckit_assert_listed(dir, ".gitignore\nf\nsub-x/f\n-out/sub\n");
    assert_int_equal(count_skipped(dir), 2);
    /* Also where only what has gone is named, and where it is left out on purpose. */
    synckit_sh(dir, "rm sub/secret.txt sub/other.txt; rm -r sub/deep out/sub", NULL);
    synckit_assert_listed(dir, ".gitignore\nf\nsub-x/f\n-sub\n");
    assert_int_equal(count_skipped(dir), 1);
    synckit_sh(dir, "echo /sub >.crabboxignore", NULL);
    synckit_assert_listed(dir, ".crabboxignore\n.gitignore\nf\nsub-x/f\n");
}

/* A submodule's submodule is that one's to name. If each index named all below it, the deepest of n
 * would be listed 2^n times. */
static void test_gitlinks_below_gitlinks(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "links",
        "mkdir -p d/d; for i in . d d/d; do git -C $i init -q; done; touch d/d/f\n"
        "python3 -c \"" SYNCKIT_WRITE_INDEX "index('.git/index', [b'd', b'd/d'])\n"
        "index('d/.git/index', [b'd'])\"");
    synckit_assert_listed(dir, "d/d/f\n-d/d\n");
}

/* Without a repository around them they have their own rules, and the user's. */
static void test_repositories_in_a_plain_directory(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "plain",
        "mkdir -p t/in/deep lib; echo '*.log' >.gitignore; touch a.log t/in/deep/x; cd "
        "lib; " SYNCKIT_INIT
        "touch l; git add l; git commit -qm l; cd ../t; mkdir a; cd a; " SYNCKIT_INIT
        "echo .env >.gitignore; touch .env f n; git add f .gitignore; "
        "git -c protocol.file.allow=always submodule add -q ../../lib sub; touch sub/x; "
        "echo x >.git/modules/sub/info/exclude; mkdir o; git -C o init -q; touch o/f; "
        "cd ..; git -C a commit -qm x; git -C a worktree add -q ../w");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    synckit_assert_listed(tree, "a/.gitignore\na/.gitmodules\na/f\na/n\na/sub/l\nin/deep/x\n"
                                "w/.gitignore\nw/.gitmodules\nw/f\n-a/o\n?w/sub\n");
    /* What is none, or leads elsewhere, is not treated as if it had no rules. */
    synckit_sh(dir, "mkdir t/b t/b/.git; touch t/b/.env", NULL);
    synckit_assert_refused(tree, "/t/b/.git: fatal: not a git repository: it has no HEAD");
    synckit_sh(dir, "rmdir t/b/.git; ln -s ../a/.git t/b/.git", NULL);
    synckit_assert_refused(tree, "/t/b/.git is a symbolic link");
    synckit_sh(dir, "rm t/b/.git; echo 'gitdir: ../a/.git' >t/b/.git", NULL);
    synckit_assert_refused(tree, "/t/b/.git names the git directory ");
    synckit_sh(dir, "echo b >t/.crabboxignore", NULL);
    synckit_assert_listed(tree, ".crabboxignore\na/.gitignore\na/.gitmodules\na/f\na/n\na/sub/l\n"
                                "in/deep/x\nw/.gitignore\nw/.gitmodules\nw/f\n-a/o\n?w/sub\n");
}

/* ---- submodules ---- */

/* What has a place but no repository is told, with what lies there instead. */
static void test_submodules_that_are_not_initialised(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "absent",
        SYNCKIT_INIT "git commit -q --allow-empty -m x; c=$(git rev-parse HEAD); touch f; "
                     "for i in a b gone; do git update-index --add --cacheinfo 160000,$c,$i; done; "
                     "mkdir a b; touch b/stray");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_scan(dir, NULL, &l);
    assert_int_equal(l.n_absent, 2);
    assert_int_equal(l.n_skipped, 0);
    synckit_assert_listed(dir, "f\n?a\n");
    _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
    synckit_warnings(dir, &told);
    assert_non_null(strstr(told.buf, "not synced: the submodule a (and 1 more), which is not "
                                     "initialised; next: name it in .crabboxignore, or if "
                                     "you trust the repository: git -C "));
    assert_non_null(strstr(told.buf, "absent' submodule update --init"));
    synckit_sh(dir, "echo /a >.crabboxignore", NULL);
    synckit_assert_listed(dir, ".crabboxignore\nf\n?b\n");
}

/* ---- what they cost ---- */

/* A chain of submodules, all with one index of 200,000 entries. Each names the next one and
 * otherwise files that no index may name, so nothing is looked at. */
#define CHAIN(levels)                                                                              \
    "python3 -c \"" SYNCKIT_WRITE_INDEX "import os\n"                                              \
    "index('index', [b'.git/%06d' % i for i in range(199999)] + [b'd'])\n"                         \
    "for i in range(" levels "):\n"                                                                \
    "    os.makedirs('.git/refs'); os.mkdir('.git/objects'); os.link('index', '.git/index')\n"     \
    "    open('.git/HEAD', 'w').write('ref: refs/heads/x')\n"                                      \
    "    os.mkdir('d'); os.rename('index', 'd/index'); os.chdir('d')\"\n"

/* The index of one level takes some 15 MiB as bytes and 14 as entries. */
enum { ONE_INDEX_KIB = 32 * 1024 };

static void test_memory_of_submodules_in_submodules(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "memory", CHAIN("14"));
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sync_list l = {0};
        struct rusage before, after;
        (void)getrusage(RUSAGE_SELF, &before);
        int r = synckit_try(dir, NULL, NULL, NULL, &l, NULL);
        (void)getrusage(RUSAGE_SELF, &after);
#ifdef __SANITIZE_ADDRESS__
        after = before; /* the sanitizers keep freed memory */
#endif
        _exit(r < 0 ? 1 : after.ru_maxrss - before.ru_maxrss > 2 * ONE_INDEX_KIB ? 2 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_entries_of_all_submodules(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "entries", CHAIN("17"));
    synckit_assert_refused(dir, "the indexes and configurations of the repositories in ");
}

/* One index of 100 MiB, of which next to nothing is on the disk, for all of them. */
static void test_index_bytes_of_all_repositories(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "bytes",
        "python3 -c \"" SYNCKIT_WRITE_INDEX
        "index('index', [], b'XXXX' + struct.pack('>I', 100 << 20))\n"
        "open('index', 'r+b').truncate(12 + 8 + (100 << 20) + 20)\"\n"
        "for i in 1 2 3 4 5 6; do mkdir -p $i/.git/objects $i/.git/refs; "
        "echo ref: refs/heads/x >$i/.git/HEAD; "
        "[ $i = 6 ] || ln index $i/.git/index; done; mv index ..");
    synckit_assert_listed(dir, "");
    synckit_sh(dir, "ln ../index 6/.git/index", NULL);
    synckit_assert_refused(dir, "the indexes and configurations of the repositories in ");
    synckit_sh(dir, "rm ../index", NULL);
}

/* Where it can't be seen whether a directory is a repository, it counts as one: left out, and
 * reported. */
static void test_directories_that_cannot_be_entered(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    static const char *const kinds[] = {"", SYNCKIT_INIT "chmod -R a+rX .git; "};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        _cleanup_free_ char *name = xasprintf("entered%zu", i);
        _cleanup_free_ char *script = xasprintf(
            "chmod 755 .. .; mkdir t; cd t; %s mkdir shut; touch f shut/x; chmod 744 shut",
            kinds[i]);
        _cleanup_free_ char *dir = synckit_make(&kit, name, script);
        _cleanup_free_ char *tree = xasprintf("%s/t", dir);
        assert_int_equal(seteuid(65534), 0);
        synckit_list(tree, &out);
        assert_int_equal(seteuid(0), 0);
        assert_string_equal(out.buf, "f\n-shut\n");
    }
}

/* What is made again where it is needed is left out, but never what git tracks, nor what a pattern
 * of the tree's own brings back; and nothing of that outside of a repository. */
static void test_built_in_patterns(void **state)
{
    (void)state;
    static const char make[] =
        "mkdir -p node_modules/a dist src/target src/x .venv .cache coverage .crabbox/captures "
        "artifacts/run_1 artifacts/kept; for d in node_modules/a dist src/target src/x .venv "
        ".cache "
        "coverage .crabbox/captures artifacts/run_1 artifacts/kept; do echo $d >$d/f; done; "
        "echo t >dist/tracked; echo file >target; ";
    _cleanup_free_ char *dir = synckit_make(&kit, "builtin", make);
    synckit_sh(dir, "git init -q; git add dist/tracked", NULL);
    synckit_assert_listed(dir, "artifacts/kept/f\ndist/tracked\nsrc/x/f\ntarget\n");
    struct sync_list l = {0};
    synckit_scan(dir, NULL, &l);
    assert_int_equal(l.n_left, 8);
    for (size_t i = 0; i < l.n_left; i++)
        if (str_eq(l.left[i].path, "src/target/"))
            assert_string_equal(l.left[i].pattern, "target/");
    sync_list_free(&l);
    synckit_sh(dir, "printf '!dist\\n!/.cache/f\\n' >.crabboxignore", NULL);
    synckit_assert_listed(dir, ".cache/f\n.crabboxignore\nartifacts/kept/f\ndist/f\n"
                               "dist/tracked\nsrc/x/f\ntarget\n");
    synckit_sh(dir, "rm -r .git .crabboxignore; rm -r .venv .cache coverage .crabbox artifacts",
               NULL);
    synckit_assert_listed(dir, "dist/f\ndist/tracked\nnode_modules/a/f\nsrc/target/f\nsrc/x/f\n"
                               "target\n");
}

static void listed_with(const char *dir, const struct sync_limits *limits, const char *want)
{
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    if (synckit_try(dir, "*.o", limits, NULL, &l, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < l.n_files; i++)
        strbuf_addf(&out, "%s\n", l.files[i].path);
    sync_list_free(&l);
    assert_string_equal(out.buf, want);
}

/* Only what sync.include names, seen from the root, and of that nothing that is left out. */
static void test_include(void **state)
{
    (void)state;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    _cleanup_free_ char *dir = synckit_make(&kit, "include",
                                            "mkdir -p src/a lib/src out; for f in src/a/c src/b.o "
                                            "lib/src/d top.json out/x; do echo 1 >$f; "
                                            "done; git init -q; git add src/a/c");
    limits.include = "src\n/top.*\nlib/*/d";
    listed_with(dir, &limits, "lib/src/d\nsrc/a/c\ntop.json\n");
    limits.include = "none";
    listed_with(dir, &limits, "");
    limits.include = "";
    listed_with(dir, &limits, "lib/src/d\nout/x\nsrc/a/c\ntop.json\n");
}

/* A .git that git would reject is an error, unless it is to mean nothing. */
static void test_no_git(void **state)
{
    (void)state;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "nogit",
        "mkdir -p .git sub/.git; echo .env >.gitignore; echo 1 >.env; echo 2 >sub/f; "
        "echo gitdir: nowhere >sub/.git/x");
    _cleanup_free_ char *sub = xasprintf("%s/sub", dir);
    synckit_assert_refused(
        dir, "it has no HEAD; next: repair it if you trust the repository, or --no-git");
    synckit_assert_refused(sub, "it has no HEAD");
    limits.no_git = true;
    listed_with(dir, &limits, ".env\n.gitignore\nsub/f\n");
    listed_with(sub, &limits, "f\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_patterns),
        cmocka_unit_test(test_include),
        cmocka_unit_test(test_no_git),
        cmocka_unit_test(test_nested_repositories),
        cmocka_unit_test(test_index_that_names_files_of_a_later_clone),
        cmocka_unit_test(test_gitlinks_below_gitlinks),
        cmocka_unit_test(test_repositories_in_a_plain_directory),
        cmocka_unit_test(test_submodules_that_are_not_initialised),
        cmocka_unit_test(test_memory_of_submodules_in_submodules),
        cmocka_unit_test(test_entries_of_all_submodules),
        cmocka_unit_test(test_index_bytes_of_all_repositories),
        cmocka_unit_test(test_directories_that_cannot_be_entered),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
