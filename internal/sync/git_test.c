/* What is listed of a repository, against git's own answer and against those that want more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "sync/gitindex.h"
#include "sync/sync.h"
#include "sys/file.h"
#include "testutil/badreaddir.h"
#include "testutil/synckit.h"

/* ---- nothing runs ---- */

/* Every key by which a repository can name a program, a file or another tree, on top of a sparse
 * index whose missing tree would be fetched. And a git in PATH that tells when it is started. */
#define HOSTILE                                                                                    \
    "mkdir tree bin; printf '#!/bin/sh\\ntouch %s/RAN\\nexit 1\\n' \"$PWD\" >bin/git; "            \
    "cp bin/git bin/evil; chmod 755 bin/*; evil=$PWD/bin/evil; cd tree; " SYNCKIT_INIT             \
    "mkdir -p sub/deep; echo x >sub/deep/f; echo y >top; git add -A; git commit -qm 1; "           \
    "git sparse-checkout set --cone --sparse-index nothing; "                                      \
    "t=$(git rev-parse HEAD:sub); rm -f .git/objects/$(echo $t | cut -c1-2)/$(echo $t | cut "      \
    "-c3-);"                                                                                       \
    "for k in core.fsmonitor core.sshCommand core.pager core.editor core.askPass "                 \
    "credential.helper diff.external filter.x.clean filter.x.process alias.ls-files "              \
    "diff.x.textconv "                                                                             \
    "core.alternateRefsCommand remote.origin.uploadpack; do git config $k $evil; done; "           \
    "git config remote.origin.url /nowhere; git config remote.origin.promisor true; "              \
    "git config core.repositoryformatversion 1; git config extensions.partialClone origin; "       \
    "git config core.hooksPath $PWD/../bin; "                                                      \
    "git config core.worktree /etc; git config core.excludesFile $PWD/none; "                      \
    "echo '* filter=x diff=x' >.gitattributes; for h in post-index-change fsmonitor-watchman; do " \
    "cp $evil .git/hooks/$h; done; "                                                               \
    "printf '[include]\\npath = /etc/passwd\\n' >>.git/config"

static void test_nothing_runs(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "hostile", HOSTILE);
    _cleanup_free_ char *tree = xasprintf("%s/tree", dir);
    _cleanup_free_ char *ran = xasprintf("%s/RAN", dir);
    _cleanup_free_ char *old = xstrdup(getenv("PATH"));
    _cleanup_free_ char *path = xasprintf("%s/bin:%s", dir, old);
    (void)setenv("PATH", path, 1);
    synckit_assert_listed(tree, ".gitattributes\ntop\n");
    (void)setenv("PATH", old, 1);
    assert_int_equal(access(ran, F_OK), -1);
}

/* ---- as git has it ---- */

#define SOME_FILES                                                                                 \
    "echo '*.o' >.gitignore; mkdir -p d/e; for f in a b c d/a d/b d/e/f d-x d.o kept.o; do "       \
    "echo $f >$f; done; git add -A; git add -f kept.o; "

#define SOME_INDEX SYNCKIT_INIT SOME_FILES "git commit -qm x; "

static void test_kinds_of_index(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        SYNCKIT_INIT "echo a >a; echo b >b",
        SYNCKIT_INIT SOME_FILES "git update-index --index-version 2",
        SYNCKIT_INIT SOME_FILES "git update-index --index-version 4; echo new >z; rm b",
        /* version 3: an intent to add, and a file that is not to be looked at */
        SYNCKIT_INIT SOME_FILES "git commit -qm x; echo n >n; git add -N n; git update-index "
                                "--skip-worktree a",
        "git init -q --object-format=sha256 .; " SOME_FILES "git update-index --index-version 4",
        "git init -q --object-format=sha256 .; " SOME_FILES "git update-index --split-index; "
        "echo n >n; git add n",
        SYNCKIT_INIT SOME_FILES
        "git update-index --split-index; git rm -q --cached b d/a; echo n >c; "
        "echo n >n; git add c n",
        SYNCKIT_INIT SOME_FILES
        "git update-index --index-version 4; git update-index --split-index; "
        "git rm -q --cached a; echo n >c; git add c",
        SYNCKIT_INIT SOME_FILES
        "git update-index --untracked-cache; git status >/dev/null; echo n >n",
        SYNCKIT_INIT SOME_FILES
        "git update-index --fsmonitor; git -c core.fsmonitor=true status >/dev/null; "
        "git fsmonitor--daemon stop 2>/dev/null || true",
        /* a conflict has three entries for a path */
        SYNCKIT_INIT SOME_FILES
        "git commit -qm 1; git checkout -qb o; echo o >a; git commit -qam 2; git "
        "checkout -q main; echo m >a; git commit -qam 3; git merge -q o || true",
        SYNCKIT_INIT SOME_FILES
        "git update-index --assume-unchanged a; rm -r d; mkdir ../empty; ln -s "
        "../empty d; rm c; mkdir c; "
        "echo x >c/x; echo x >c/x.o",
        SYNCKIT_INIT SOME_FILES
        "git config index.threads 2; git config index.recordOffsetTable true; "
        "git update-index --index-version 4; touch n; git add n",
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        _cleanup_free_ char *name = xasprintf("kind%zu", i);
        _cleanup_free_ char *dir = synckit_make(&kit, name, scripts[i]);
        synckit_assert_as_git(dir);
    }
}

/* ---- hostile indexes ---- */

/* An index may name anything: git's own files, those outside, nothing at all. */
static void test_index_that_names_what_it_may_not(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } names[] = {
        {"xgit/config", ".git/config"}, {"xx/outside", "../outside"},
        {"xetc/passwd", "/etc/passwd"}, {"h/xgit/config", "h/.git/config"},
        {"d/xx/x/f", "d/../d/f"},       {"ex/empty", "e//empty"},
        {"xxself", "./self"},           {".gix/c", ".GIT/c"},
        {"git_1/c", "git~1/c"},
    };
    _cleanup_free_ char *top = synckit_new_dir(&kit, "names");
    synckit_sh(top, "echo x >outside", NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *dir = xasprintf("%s/t", top);
        _cleanup_free_ char *script = xasprintf(
            "mkdir t; cd t; " SYNCKIT_INIT
            "mkdir -p d e h/.git $(dirname %s); echo x >%s; echo f >f; "
            "echo x >d/f; echo x >self; echo x >h/.git/config; echo x >e/empty; git add %s f d/f "
            "self e/empty; rm %s; LC_ALL=C sed -i 's#%s#%s#' .git/index; grep -q '%s' .git/index",
            names[i].from, names[i].from, names[i].from, names[i].from, names[i].from, names[i].to,
            names[i].to);
        _cleanup_free_ char *want = xasprintf("d/f\ne/empty\nf\nself\n-%s\n%s", names[i].to,
                                              names[i].to[0] == 'h' ? "" : "-h\n");
        synckit_sh(top, script, NULL);
        synckit_assert_listed(dir, want);
        synckit_sh(top, "rm -r t", NULL);
    }
}

/* As on a filesystem that takes another name for .git's own, whichever that is. */
static void test_git_by_another_name(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "alias",
        SYNCKIT_INIT
        "mkdir -p alias other; echo x >alias/config; echo f >f; git add f alias/config; "
        "git config remote.o.url https://user:TOKEN@x.example/r; "
        "mount --bind .git alias; mount --bind .git other");
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    synckit_list(dir, &out);
    synckit_sh(dir, "umount alias other", NULL);
    assert_string_equal(out.buf, "f\n");
}

/* Each of these extensions marks ten million places with 34 bytes. */
static void test_index_that_is_split_again_and_again(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "split",
        SYNCKIT_INIT "python3 -c \"" SYNCKIT_WRITE_INDEX
                     "m = struct.pack('>IIQI', 10000000, 1, 1 | 0xffffffff << 1, 0)\n"
                     "link = b'link' + struct.pack('>I', 20 + 2 * len(m)) + bytes(20) + m + m\n"
                     "index('.git/index', [], link * 2)\"");
    synckit_assert_refused(dir, "/.git/index is damaged");
}

/* Cut anywhere, or with a bit turned: an error or a list, and nothing outside of it. */
static void test_damaged_index(void **state)
{
    (void)state;
    static const char *const versions[] = {"2", "4"};
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        _cleanup_free_ char *script = xasprintf(SOME_INDEX "git update-index --index-version %s",
                                                versions[v]);
        _cleanup_free_ char *dir = synckit_make(&kit, v ? "damaged4" : "damaged2", script);
        _cleanup_free_ char *path = xasprintf("%s/.git/index", dir);
        _cleanup_strbuf_ struct strbuf whole = STRBUF_INIT;
        struct gitindex x;
        assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 20, &whole, NULL), 0);
        for (size_t len = 0; len < whole.len; len++) {
            _cleanup_free_ char *part = xcalloc(1, len + 1);
            memcpy(part, whole.buf, len);
            /* What lacks only an extension can't be told from one that never had it. */
            if (gitindex_parse(&x, part, len, "index", NULL) == 0)
                assert_int_equal(x.n, 9);
            gitindex_free(&x);
        }
        for (size_t bit = 0; bit < 8 * whole.len; bit++) {
            whole.buf[bit / 8] ^= (char)(1 << bit % 8);
            if (gitindex_parse(&x, whole.buf, whole.len, "index", NULL) == 0)
                (void)gitindex_settle(&x, "index", NULL);
            gitindex_free(&x);
            whole.buf[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
}

static void test_index_that_is_not_understood(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "odd-index", SOME_INDEX "cp .git/index ../kept");
    synckit_sh(dir, "printf 'DIRC\\0\\0\\0\\5' | dd of=.git/index conv=notrunc 2>/dev/null", NULL);
    synckit_assert_refused(dir, "/.git/index has version 5");
    synckit_sh(dir, "cp ../kept .git/index; sed -i 's/TREE/tree/' .git/index", NULL);
    synckit_assert_refused(dir, "has an extension 'tree'");
    synckit_sh(dir, "echo >.git/index", NULL);
    synckit_assert_refused(dir, "/.git/index is not a git index");
    synckit_sh(dir, "rm .git/index; ln -s ../../kept .git/index", NULL);
    synckit_assert_refused(dir, "/.git/index is reached by a symbolic link");
    synckit_sh(dir, "rm .git/index; mkfifo .git/index", NULL);
    synckit_assert_refused(dir, "/.git/index is not a regular file");
    synckit_sh(dir, "rm .git/index ../kept; cp /dev/null .git/index", NULL);
    synckit_assert_refused(dir, "/.git/index is not a git index");
    synckit_sh(dir,
               "rm .git/index; git add -A; git update-index --split-index; rm .git/sharedindex.*",
               NULL);
    synckit_assert_refused(dir, "a part of the index, is missing");
}

/* ---- sparse ---- */

#define SPARSE(how)                                                                                \
    SYNCKIT_INIT                                                                                   \
    "mkdir -p in out/deep; echo secret >out/.gitignore; echo k >in/keep; echo o >out/f; "          \
    "echo d >out/deep/f; echo t >top; git add -A; git commit -qm 1; "                              \
    "git sparse-checkout set --cone " how " in; mkdir -p out/deep; echo s >out/secret; "           \
    "echo s >out/deep/secret; echo n >in/new"

/* Without the objects nobody knows what a .gitignore that was left out would say. */
static void test_sparse_checkout(void **state)
{
    (void)state;
    _cleanup_free_ char *sparse = synckit_make(&kit, "sparse", SPARSE("--sparse-index"));
    _cleanup_free_ char *full = synckit_make(&kit, "full", SPARSE("--no-sparse-index"));
    synckit_assert_listed(sparse, "in/keep\nin/new\ntop\n-out\n");
    synckit_assert_listed(full, "in/keep\nin/new\ntop\n-out/.gitignore\n");
}

/* ---- patterns that do not count ---- */

/* A clone can have any number of them, and the warnings that matter must not be lost among them. */
static void test_odd_gitignores_are_one_line(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "odd",
                                            SYNCKIT_INIT
                                            "for i in a b c; do mkdir $i; touch $i/x; "
                                            "ln -s x $i/.gitignore; done; rm b/.gitignore; "
                                            "mkfifo b/.gitignore");
    _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
    synckit_warnings(dir, &told);
    if (!strstr(told.buf, "/.gitignore (and 2 more) is not a regular file: git ignores its "
                          "patterns, and so does sync\n") ||
        strchr(told.buf, '\n') != told.buf + told.len - 1)
        fail_msg("%s", told.buf);
}

/* ---- a tree that changes ---- */

/* For git too, what is tracked beyond a link is gone, and the link is a new file. */
static void test_link_in_the_middle_of_a_tracked_path(void **state)
{
    (void)state;
    _cleanup_free_ char *top = synckit_make(
        &kit, "middle",
        "mkdir -p outside/b t; echo s >outside/b/c; echo s >outside/c; cd t; " SYNCKIT_INIT
        "mkdir -p a/b d/b; touch a/b/c d/b/c; git add -A; rm -r a d/b; ln -s ../outside a; "
        "ln -s ../../outside/b d/b");
    _cleanup_free_ char *dir = xasprintf("%s/t", top);
    synckit_assert_listed(dir, "a\nd/b\n");
    synckit_sh(dir, "echo a >.gitignore", NULL);
    synckit_assert_listed(dir, ".gitignore\nd/b\n");
}

enum { PAIRS = 100, SCANS = 100 };

/* Exchanges directories and links that lead out of the tree, until it is killed. */
static _Noreturn void exchange_for_ever(int fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0;; i = (i + 1) % PAIRS) {
        char dir[16], link[16];
        (void)str_format(dir, sizeof dir, "d%u", i);
        (void)str_format(link, sizeof link, "l%u", i);
        (void)renameat2(fd, dir, fd, link, RENAME_EXCHANGE);
    }
}

/* Many, so that much time passes between the reading of their names and the opening of the last. */
static void test_directory_that_turns_into_a_link_meanwhile(void **state)
{
    (void)state;
    _cleanup_free_ char *top = synckit_make(
        &kit, "race",
        "mkdir -p outside/sub t; cd t; " SYNCKIT_INIT
        "for f in tracked other secret sub/secret; do echo outside >../outside/$f; done; "
        "for i in $(seq 0 99); do mkdir d$i; echo in >d$i/tracked; echo in >d$i/other; "
        "ln -s ../outside l$i; done; git add d*/tracked");
    _cleanup_free_ char *dir = xasprintf("%s/t", top);
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t seen = 0;
    size_t outside = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        exchange_for_ever(fd);
    for (int i = 0; i < SCANS; i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        synckit_scan(dir, NULL, &l);
        for (size_t f = 0; f < l.n_files; f++) {
            seen += S_ISREG(l.files[f].mode);
            outside += strstr(l.files[f].path, "secret") ||
                       (S_ISREG(l.files[f].mode) && l.files[f].size != 3);
        }
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(seen > 0);
    assert_int_equal(outside, 0);
}

/* A filesystem with short names has the user's files under names that no directory lists, and so
 * has one that ignores case. What the index names so is not sent. */
static void test_names_that_no_directory_lists(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "short",
        SYNCKIT_INIT
        "mkdir private PRIVAT~1 ignored ignored/e lib; echo s >.env; echo s >private/key; "
        "ln .env ENV~1; ln private/key PRIVAT~1/key; ln .env ignored/ENV~1; touch ignored/x; "
        "touch ignored/e/x; ln .env ignored/e/ENV~1; mkdir ignored/e/PRIVAT~1; "
        "touch ignored/e/PRIVAT~1/x a lib/z; printf '.env\\nprivate\\nignored\\n' >.gitignore; "
        "git -C PRIVAT~1 init -q; git add -f a ignored ENV~1; rm -r PRIVAT~1/.git; "
        "git add -f PRIVAT~1");
    readdir_hides = "ENV~1";
    synckit_assert_listed(dir, ".gitignore\nPRIVAT~1/key\na\nignored/e/PRIVAT~1/x\nignored/e/x\n"
                               "ignored/x\nlib/z\n~ENV~1\n");
    readdir_hides = "PRIVAT~1";
    synckit_assert_listed(dir, ".gitignore\nENV~1\na\nignored/ENV~1\nignored/e/ENV~1\n"
                               "ignored/e/x\nignored/x\nlib/z\n~PRIVAT~1/key\n");
    /* A submodule, too. */
    synckit_sh(dir,
               "git rm -rq --cached PRIVAT~1; cd PRIVAT~1; " SYNCKIT_INIT
               "git add .; git commit -qm a; cd ..; git add PRIVAT~1 2>/dev/null",
               NULL);
    synckit_assert_listed(dir, ".gitignore\nENV~1\na\nignored/ENV~1\nignored/e/ENV~1\n"
                               "ignored/e/x\nignored/x\nlib/z\n~PRIVAT~1\n");
    _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
    synckit_warnings(dir, &told);
    readdir_hides = NULL;
    synckit_assert_listed(dir, ".gitignore\nENV~1\nPRIVAT~1/key\na\nignored/ENV~1\n"
                               "ignored/e/ENV~1\nignored/e/PRIVAT~1/x\nignored/e/x\nignored/x\n"
                               "lib/z\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_runs),
        cmocka_unit_test(test_kinds_of_index),
        cmocka_unit_test(test_index_that_names_what_it_may_not),
        cmocka_unit_test(test_git_by_another_name),
        cmocka_unit_test(test_index_that_is_split_again_and_again),
        cmocka_unit_test(test_damaged_index),
        cmocka_unit_test(test_index_that_is_not_understood),
        cmocka_unit_test(test_sparse_checkout),
        cmocka_unit_test(test_odd_gitignores_are_one_line),
        cmocka_unit_test(test_link_in_the_middle_of_a_tracked_path),
        cmocka_unit_test(test_directory_that_turns_into_a_link_meanwhile),
        cmocka_unit_test(test_names_that_no_directory_lists),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
