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
#include "testutil/synckit.h"

#define INIT                                                                                       \
    "git init -q -b main .; git config user.name t; git config user.email t@example.invalid; "

/* ---- nothing runs ---- */

/* Every key by which a repository can name a program, a file or another tree, on top of a sparse
 * index whose missing tree would be fetched. And a git in PATH that tells when it is started. */
#define HOSTILE                                                                                    \
    "mkdir tree bin; printf '#!/bin/sh\\ntouch %s/RAN\\nexit 1\\n' \"$PWD\" >bin/git; "            \
    "cp bin/git bin/evil; chmod 755 bin/*; evil=$PWD/bin/evil; cd tree; " INIT                     \
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

/* git's answer, of which only what is there and no directory counts. */
static void assert_as_git(const char *dir)
{
    _cleanup_strbuf_ struct strbuf ours = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf theirs = STRBUF_INIT;
    synckit_list(dir, &ours);
    synckit_sh(dir,
               "git -c core.quotePath=false ls-files -co --exclude-standard | LC_ALL=C sort -u | "
               "while IFS= read -r f; do [ -d \"$f\" ] && [ ! -L \"$f\" ] || [ ! -e \"$f\" ] && "
               "[ ! -L \"$f\" ] || printf '%s\\n' \"$f\"; done",
               &theirs);
    assert_string_equal(ours.buf, theirs.buf);
    assert_true(theirs.len > 0);
}

#define SOME_FILES                                                                                 \
    "echo '*.o' >.gitignore; mkdir -p d/e; for f in a b c d/a d/b d/e/f d-x d.o kept.o; do "       \
    "echo $f >$f; done; git add -A; git add -f kept.o; "

#define SOME_INDEX INIT SOME_FILES "git commit -qm x; "

static void test_kinds_of_index(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        INIT "echo a >a; echo b >b",
        INIT SOME_FILES "git update-index --index-version 2",
        INIT SOME_FILES "git update-index --index-version 4; echo new >z; rm b",
        /* version 3: an intent to add, and a file that is not to be looked at */
        INIT SOME_FILES "git commit -qm x; echo n >n; git add -N n; git update-index "
                        "--skip-worktree a",
        "git init -q --object-format=sha256 .; " SOME_FILES "git update-index --index-version 4",
        "git init -q --object-format=sha256 .; " SOME_FILES "git update-index --split-index; "
        "echo n >n; git add n",
        INIT SOME_FILES "git update-index --split-index; git rm -q --cached b d/a; echo n >c; "
                        "echo n >n; git add c n",
        INIT SOME_FILES "git update-index --index-version 4; git update-index --split-index; "
                        "git rm -q --cached a; echo n >c; git add c",
        INIT SOME_FILES "git update-index --untracked-cache; git status >/dev/null; echo n >n",
        INIT SOME_FILES
        "git update-index --fsmonitor; git -c core.fsmonitor=true status >/dev/null; "
        "git fsmonitor--daemon stop 2>/dev/null || true",
        /* a conflict has three entries for a path */
        INIT SOME_FILES "git commit -qm 1; git checkout -qb o; echo o >a; git commit -qam 2; git "
                        "checkout -q main; echo m >a; git commit -qam 3; git merge -q o || true",
        INIT SOME_FILES "git update-index --assume-unchanged a; rm -r d; mkdir ../empty; ln -s "
                        "../empty d; rm c; mkdir c; "
                        "echo x >c/x; echo x >c/x.o",
        INIT SOME_FILES "git config index.threads 2; git config index.recordOffsetTable true; "
                        "git update-index --index-version 4; touch n; git add n",
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        _cleanup_free_ char *name = xasprintf("kind%zu", i);
        _cleanup_free_ char *dir = synckit_make(&kit, name, scripts[i]);
        assert_as_git(dir);
    }
}

/* Each pattern alone, as its oddities must not hide each other, over the same names. */
static void test_patterns(void **state)
{
    (void)state;
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
    _cleanup_free_ char *dir = synckit_make(
        &kit, "patterns",
        INIT "mkdir -p d/e/d dx; for f in a b c a.o d/a d/b.o d/e/f d/e/a d/e/d/f "
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

/* No pattern takes time without bound. */
static void test_a_pattern_made_to_be_slow(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "slow",
        INIT "n=$(printf 'a%.0s' $(seq 250)); touch $n; printf '%.0s*a' $(seq 1000) "
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
        INIT "yes '?x' | head -c 999999 >../many; d=.; for i in 1 2 3 4 5 6; do "
             "cp ../many $d/.gitignore; d=$d/d; mkdir $d; done; touch $d/f");
    synckit_assert_refused(dir, "d/d/d/d/.gitignore and those above it add up to more than");
    synckit_sh(dir, "rm d/d/.gitignore d/d/d/.gitignore", NULL);
    synckit_assert_listed(dir, ".gitignore\nd/.gitignore\nd/d/d/d/.gitignore\n"
                               "d/d/d/d/d/.gitignore\nd/d/d/d/d/d/f\n");
}

/* From the deepest .gitignore to info/exclude to the user's own. */
static void test_order_of_pattern_files(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "order",
        INIT "mkdir -p d/e out; touch 1 2 3 d/1 d/2 d/3 d/e/1 d/e/2 out/x; "
             "printf '1\\n2\\n3\\nout\\n' >../mine; echo '!1' >.git/info/exclude; "
             "printf '1\\n!2\\n' >.gitignore; echo '!1' >d/.gitignore; "
             "echo 2 >d/e/.gitignore; git config --global core.excludesFile '~/mine'; "
             "git config core.excludesFile /nonexistent");
    synckit_sh(dir, "git config --unset core.excludesFile", NULL);
    assert_as_git(dir);
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

/* ---- hostile indexes ---- */

/* An index may name anything: git's own files, those outside, nothing at all. */
static void test_index_that_names_what_it_may_not(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } names[] = {
        {"xgit/config", ".git/config"}, {"xx/outside", "../outside"},
        {"xetc/passwd", "/etc/passwd"}, {"d/xgit/config", "d/.git/config"},
        {"d/xx/x/f", "d/../d/f"},       {"ex/empty", "e//empty"},
        {"xxself", "./self"},
    };
    _cleanup_free_ char *top = synckit_new_dir(&kit, "names");
    synckit_sh(top, "echo x >outside", NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *dir = xasprintf("%s/t", top);
        _cleanup_free_ char *script = xasprintf(
            "mkdir t; cd t; " INIT "mkdir -p d/.git e $(dirname %s); echo x >%s; echo f >f; "
            "echo x >d/f; echo x >self; echo x >d/.git/config; echo x >e/empty; git add %s f d/f "
            "self e/empty; rm %s; LC_ALL=C sed -i 's#%s#%s#' .git/index; grep -q '%s' .git/index",
            names[i].from, names[i].from, names[i].from, names[i].from, names[i].from, names[i].to,
            names[i].to);
        _cleanup_free_ char *want = xasprintf("d/f\ne/empty\nf\nself\n-%s\n", names[i].to);
        synckit_sh(top, script, NULL);
        synckit_assert_listed(dir, want);
        synckit_sh(top, "rm -r t", NULL);
    }
}

#define WRITE_INDEX                                                                                \
    "import struct, hashlib, sys\n"                                                                \
    "def index(path, links, tail=b''):\n"                                                          \
    "    out = b'DIRC' + struct.pack('>II', 2, len(links))\n"                                      \
    "    for p in links:\n"                                                                        \
    "        e = bytes(24) + struct.pack('>I', 0o160000) + bytes(12) + b'1' * 20\n"                \
    "        e += struct.pack('>H', len(p)) + p\n"                                                 \
    "        out += e + bytes(8 - len(e) % 8)\n"                                                   \
    "    out += tail\n"                                                                            \
    "    open(path, 'wb').write(out + hashlib.sha1(out).digest())\n"

/* A submodule's submodule is that one's to name. If each index named all below it, the deepest of n
 * would be listed 2^n times. */
static void test_gitlinks_below_gitlinks(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "links",
        "mkdir -p d/d; for i in . d d/d; do git -C $i init -q; done; touch d/d/f\n"
        "python3 -c \"" WRITE_INDEX "index('.git/index', [b'd', b'd/d'])\n"
        "index('d/.git/index', [b'd'])\"");
    synckit_assert_listed(dir, "d/d/f\n-d/d\n");
}

/* Each of these extensions marks ten million places with 34 bytes. */
static void test_index_that_is_split_again_and_again(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "split",
        INIT "python3 -c \"" WRITE_INDEX
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
    INIT "mkdir -p in out/deep; echo secret >out/.gitignore; echo k >in/keep; echo o >out/f; "     \
         "echo d >out/deep/f; echo t >top; git add -A; git commit -qm 1; "                         \
         "git sparse-checkout set --cone " how " in; mkdir -p out/deep; echo s >out/secret; "      \
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

/* ---- pattern files that are none ---- */

static void test_pattern_files_that_are_none(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "none",
        INIT "mkdir a b c; mkfifo a/.gitignore; ln -s /etc/passwd b/.gitignore; mkdir "
             "c/.gitignore; touch a/f b/f c/f");
    synckit_assert_listed(dir, "a/f\nb/.gitignore\nb/f\nc/f\n");
    synckit_sh(dir, "mkfifo .crabboxignore", NULL);
    synckit_assert_refused(dir, "/.crabboxignore is not a regular file");
    synckit_sh(dir, "rm .crabboxignore; ln -s a/f .crabboxignore", NULL);
    synckit_assert_refused(dir, "/.crabboxignore is reached by a symbolic link");
    synckit_sh(dir, "rm .crabboxignore .git/info/exclude; ln -s /etc/passwd .git/info/exclude",
               NULL);
    synckit_assert_refused(dir, "/.git/info/exclude is reached by a symbolic link");
    synckit_sh(dir, "rm -r .git/info; ln -s /etc .git/info", NULL);
    synckit_assert_refused(dir, "/.git/info/exclude is reached by a symbolic link");
}

/* ---- a tree that changes ---- */

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
        "mkdir -p outside/sub t; cd t; " INIT
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_runs),
        cmocka_unit_test(test_kinds_of_index),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_a_pattern_made_to_be_slow),
        cmocka_unit_test(test_pattern_files_without_end),
        cmocka_unit_test(test_order_of_pattern_files),
        cmocka_unit_test(test_index_that_names_what_it_may_not),
        cmocka_unit_test(test_gitlinks_below_gitlinks),
        cmocka_unit_test(test_index_that_is_split_again_and_again),
        cmocka_unit_test(test_damaged_index),
        cmocka_unit_test(test_index_that_is_not_understood),
        cmocka_unit_test(test_sparse_checkout),
        cmocka_unit_test(test_pattern_files_that_are_none),
        cmocka_unit_test(test_directory_that_turns_into_a_link_meanwhile),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
