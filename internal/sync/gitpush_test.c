/* The repository that the guest gets: what git says in it, and what never gets there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/sync.h"
#include "sys/file.h"
#include "testutil/synckit.h"

struct pair {
    struct ssh_conn *c;
    char *base, *src, *to;
    struct sync_store store;
};

static void pair_open(struct pair *p, const char *name, const char *script)
{
    p->c = synckit_connect(&kit);
    p->base = synckit_new_dir(&kit, name);
    p->src = xasprintf("%s/src", p->base);
    p->to = xasprintf("%s/lease/to", p->base);
    p->store = (struct sync_store){.dirfd = open(p->base, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                   .name = "manifest"};
    synckit_sh(p->base, "mkdir src", NULL);
    synckit_sh(p->src, SYNCKIT_INIT, NULL);
    synckit_sh(p->src, script, NULL);
}

static void pair_close(struct pair *p)
{
    ssh_close(p->c);
    synckit_sh(p->base, "test ! -e git-work -a ! -e git-out", NULL);
    (void)close(p->store.dirfd);
    free(p->base);
    free(p->src);
    free(p->to);
}

static void give(struct pair *p, enum sync_git how)
{
    struct deadline d = deadline_in_ms(60000);
    struct sync_result res;
    struct error err = ERROR_INIT;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_scan(p->src, NULL, &l);
    if (sync_update(p->c, &l, p->to, &p->store, NULL, &d, NULL, NULL, &res, &err) < 0 ||
        sync_git(p->c, &l, p->to, &p->store, how, &res, &d, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Both print the same. */
static void assert_says_the_same(const struct pair *p, const char *script)
{
    _cleanup_strbuf_ struct strbuf here = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf there = STRBUF_INIT;
    synckit_sh(p->src, script, &here);
    synckit_sh(p->to, script, &there);
    assert_string_equal(there.buf, here.buf);
}

/* Tags of both kinds, a merge, a tag beside HEAD, something staged and something not. */
#define HISTORY                                                                                    \
    "for i in 1 2 3 4; do mkdir d$i; echo $i >f$i; echo $i >d$i/x; git add -A; git commit -qm "    \
    "c$i;"                                                                                         \
    "done; git tag -a -m one v1.0 HEAD~2; git tag light HEAD~1; git checkout -q -b side HEAD~2;"   \
    "echo s >s; git add s; git commit -qm s; git tag -a -m no beside; git checkout -q -b my/work " \
    "HEAD~1; echo w >w; git add w; git commit -qm w; git merge -q -m m main;"

#define ASK                                                                                        \
    "git rev-parse HEAD; git symbolic-ref HEAD; git describe; git describe --tags --long --dirty;" \
    "git log --format='%H %an %s' HEAD; git status --short; git ls-files; git diff --cached "      \
    "--stat;"                                                                                      \
    "git show HEAD:f1; git tag --merged HEAD; git count-objects >/dev/null; git fsck 2>&1 | grep " \
    "-v "                                                                                          \
    "dangling || :;"

static void test_what_git_says(void **state)
{
    (void)state;
    static const enum sync_git hows[] = {SYNC_GIT_SHALLOW, SYNC_GIT_FULL};
    for (size_t i = 0; i < ARRAY_LEN(hows); i++) {
        struct pair p;
        _cleanup_free_ char *name = xasprintf("says%zu", i);
        pair_open(&p, name,
                  HISTORY "git gc -q; git tag new; echo 2 >>f2; echo new >staged; git add staged;"
                          "echo 1 >untracked; rm f3");
        give(&p, hows[i]);
        assert_says_the_same(&p, ASK);
        if (hows[i] == SYNC_GIT_FULL)
            assert_says_the_same(&p,
                                 "git log --all --format='%H %D' | sort; git show side:s; git diff "
                                 "HEAD~1 --stat; git branch -a");
        else
            synckit_sh(p.to, "test -z \"$(git rev-parse -q --verify side beside)\"", NULL);
        /* The next commit, and back to nothing. */
        synckit_sh(p.src, "git commit -qam next; git tag v2", NULL);
        give(&p, hows[i]);
        assert_says_the_same(&p, ASK);
        give(&p, SYNC_GIT_NONE);
        synckit_sh(p.to, "test ! -e .git", NULL);
        pair_close(&p);
    }
}

/* What the user holds back is in a commit all the same. */
static void test_files_that_are_held_back(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "held", "echo k >key; git add key; git commit -qm key; echo f >f");
    give(&p, SYNC_GIT_SHALLOW);
    synckit_sh(p.to, "git show HEAD:key", NULL);
    synckit_sh(p.src, "echo key >.crabboxignore", NULL);
    give(&p, SYNC_GIT_SHALLOW);
    synckit_sh(p.to, "test ! -e key -a ! -e .git -a -e f", NULL);
    give(&p, SYNC_GIT_FULL); /* asked for in so many words */
    synckit_sh(p.to, "test ! -e key; git show HEAD:key", NULL);
    pair_close(&p);
}

/* Refs that are no branches and no tags stay here, also when git has packed them. */
static void test_refs_of_other_kinds(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "stash",
              HISTORY "git remote add o .; git fetch -q o; echo secret >f1; git stash -q; "
                      "git notes add -m n; git update-ref refs/original/x side; "
                      "git symbolic-ref refs/remotes/o/HEAD refs/remotes/o/main; "
                      "git pack-refs --all; git rev-parse refs/stash >../stash");
    give(&p, SYNC_GIT_FULL);
    synckit_sh(p.to,
               "git for-each-ref --format='%(refname)' >../refs; grep -qx refs/remotes/o/side "
               "../refs; grep -qx refs/tags/beside ../refs; "
               "test $(grep -c -E 'stash|notes|original' ../refs) = 0; "
               "test -s ../../stash; ! git cat-file -e $(cat ../../stash)",
               NULL);
    pair_close(&p);
}

/* git keeps the names of untracked files in the index, and the tree's path. */
static void test_what_the_index_is_not_to_tell(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "untracked",
              HISTORY "mkdir dist; touch dist/customers; git config core.untrackedCache true; "
                      "git update-index --untracked-cache; git status >/dev/null; "
                      "grep -q customers .git/index; grep -qF \"$PWD\" .git/index");
    synckit_sh(p.src, "git config status.showUntrackedFiles no", NULL);
    give(&p, SYNC_GIT_FULL);
    synckit_sh(p.to,
               "test $(grep -c -e customers -e UNTR -e \"${PWD%/lease/to}\" .git/index) = 0; "
               "grep -q TREE .git/index",
               NULL);
    assert_says_the_same(&p, "git status -s -uno; git ls-files -s; git fsck --no-dangling 2>&1");
    pair_close(&p);
}

/* Repositories of other kinds than a plain one with commits. */
static void test_other_repositories(void **state)
{
    (void)state;
    static const struct {
        const char *make, *ask;
    } cases[] = {
        {":", "git status --short; git symbolic-ref HEAD"},
        {"echo a >a; git add a; echo b >b", "git status --short; git ls-files -s"},
        {HISTORY "git checkout -q --detach HEAD~1",
         "git rev-parse HEAD; git describe; git status --short"},
        {HISTORY "cd ..; mv src main; git -C main worktree add -q ../src side",
         "git rev-parse HEAD; git describe --all; git symbolic-ref HEAD"},
        {HISTORY "git update-index --split-index; echo x >x; git add x", ASK},
        {HISTORY "git update-index --index-version 4", ASK},
        {HISTORY "cd ..; git clone -q --depth 2 file://$PWD/src s; rm -r src; mv s src",
         "git log --format=%H; git rev-parse HEAD; git status --short"},
        {HISTORY "cd ..; git -C src config uploadpack.allowFilter true; git clone -q "
                 "--filter=blob:none file://$PWD/src s; mv src origin; mv s src",
         "git log --format=%H; git rev-parse HEAD; git status --short; git describe"},
        {"git init -q --object-format=sha256 ../s; rm -r .git; mv ../s/.git .; git config "
         "user.name t;"
         "git config user.email t@t; echo a >a; git add a; git commit -qm a; git tag -am t t",
         "git rev-parse HEAD; git describe; git status --short"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        _cleanup_free_ char *name = xasprintf("other%zu", i);
        pair_open(&p, name, cases[i].make);
        give(&p, SYNC_GIT_SHALLOW);
        assert_says_the_same(&p, cases[i].ask);
        give(&p, SYNC_GIT_FULL);
        assert_says_the_same(&p, cases[i].ask);
        pair_close(&p);
    }
}

/* What git prints with each object is as long as its path from the root. */
static void test_a_deep_tree_of_long_names(void **state)
{
    (void)state;
    struct pair p;
    pair_open(
        &p, "deep",
        "echo a >a; git add a; git commit -qm a; t=$(git rev-parse HEAD^{tree});"
        "n=$(printf %05000d 0); for i in 1 2 3; do t=$(printf '040000 tree %s\\t%s\\n' $t $n | "
        "git mktree); done; git update-ref HEAD $(git commit-tree -m deep $t)");
    for (int how = SYNC_GIT_SHALLOW; how <= SYNC_GIT_FULL; how++) {
        give(&p, (enum sync_git)how);
        assert_says_the_same(&p, "git rev-parse HEAD; git ls-tree -r HEAD");
    }
    pair_close(&p);
}

/* git trusts its index: here an extension has more directories than it says it has. What is staged
 * goes all the same. */
static void test_an_index_that_git_must_not_see(void **state)
{
    (void)state;
    struct pair p;
    pair_open(
        &p, "index",
        "echo a >a; git add a; git commit -qm a; echo staged >s; git add s; python3 -c \""
        "import hashlib, struct\n"
        "def v(n):\n"
        "    o = bytes([n & 127]); n >>= 7\n"
        "    while n: n -= 1; o = bytes([128 | n & 127]) + o; n >>= 7\n"
        "    return o\n"
        "i = open('.git/index', 'rb').read()[:-20]\n"
        "u = v(2) + b'x\\0' + bytes(116) + b'.gitignore\\0' + v(1) + v(0) + v(1000) + b'\\0'\n"
        "u += (v(0) + v(0) + b'A' * 8 + b'\\0') * 1000 + b'\\0'\n"
        "i += b'UNTR' + struct.pack('>I', len(u)) + u\n"
        "open('.git/index', 'wb').write(i + hashlib.sha1(i).digest())\"");
    for (int how = SYNC_GIT_SHALLOW; how <= SYNC_GIT_FULL; how++) {
        give(&p, (enum sync_git)how);
        synckit_sh(p.to,
                   "test $(git log --format=%s) = a; o=$(git hash-object s); "
                   "test $(git cat-file blob $o) = staged",
                   NULL);
    }
    pair_close(&p);
}

#define WITH_SUB                                                                                   \
    "cd ..; mv src priv; git init -q src; cd src; git -c protocol.file.allow=always "              \
    "submodule --quiet add $PWD/../priv sub; cd ..; mv src around; ln -s around/sub src; "         \
    "cd around; "
#define IN_SUB "mkdir sub; echo a >sub/a; echo 'gitdir: ../.git/modules/sub' >sub/.git"

/* On a filesystem that keeps no times of birth; with an overlay above, nothing is known of it. */
#define ON_RAMFS "mkdir ../fs; mount -t ramfs fs ../fs; chmod 755 ../fs; "
#define ON_OVERLAY                                                                                 \
    ON_RAMFS "mkdir ../fs/up ../fs/work ../fs/low ../over; mount -t overlay -o "                   \
             "lowerdir=../fs/low,upperdir=../fs/up,workdir=../fs/work over ../over; "
#define WORKTREE(dir)                                                                              \
    "cd ..; mv src priv; git -C priv worktree add -q ../" dir "/w; ln -s " dir "/w src; "
#define UNPACKED_AGAIN(dir)                                                                        \
    WORKTREE(dir)                                                                                  \
    "cp -p src/.git dot; rm -r " dir "/w; sleep 2.5; mkdir " dir "/w; cp -p dot "                  \
    "src/.git; echo a >src/a"

/* A file .git that an archive has brought, in the user's repository or where the user's worktree
 * was, does not choose whose history goes. At their own places both have theirs. */
static void test_git_directories_of_another_place(void **state)
{
    (void)state;
    static const struct {
        const char *make;
        bool goes;
    } cases[] = {
        {WITH_SUB ":", true},
        {WITH_SUB "mkdir evil; echo a >evil/a; echo 'gitdir: ../.git/modules/sub' >evil/.git; "
                  "rm ../src; ln -s around/evil ../src",
         false},
        {"cd ..; mv src priv; git -C priv worktree add -q ../src -b w", true},
        {"cd ..; mv src priv; git -C priv worktree add -q ../src -b w; cp src/.git dot; rm -r src; "
         "sleep 0.1; mkdir src; cp dot src/.git; echo a >src/a",
         false},
        {"cd ..; mv src priv; git -C priv worktree add -q ../src -b w; cd src; rm .git; "
         "touch -d '1 hour ago' ../priv/.git/worktrees/src/gitdir; chmod 755 .; "
         "echo \"gitdir: $PWD/../priv/.git/worktrees/src\" >.git",
         false},
        {WITH_SUB "git rm -qf sub; " IN_SUB, false},
        {WITH_SUB "rm -rf sub; sleep 3; " IN_SUB, false},
        {WITH_SUB "cp -a ../around ../copy; rm ../src; ln -s copy/sub ../src", true},
        {ON_RAMFS WORKTREE("fs"), true},
        {ON_RAMFS UNPACKED_AGAIN("fs"), false},
        {ON_OVERLAY WORKTREE("over"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        _cleanup_free_ char *name = xasprintf("place%zu", i);
        _cleanup_free_ char *make = xasprintf("echo a >a; git add a; git commit -qm a; %s",
                                              cases[i].make);
        pair_open(&p, name, make);
        give(&p, SYNC_GIT_SHALLOW);
        _cleanup_free_ char *check = xasprintf("test -f a; %s test -e .git",
                                               cases[i].goes ? "" : "!");
        synckit_sh(p.to, check, NULL);
        pair_close(&p);
    }
}

static int take_room(void *left, int64_t bytes, struct error *err)
{
    int64_t *n = left;
    *n -= bytes;
    return *n < 0 ? error_set(err, ERR_ENV, 0, "no room") : 0;
}

/* What is written on the host is asked for before, as long as it may get: here a few bytes of the
 * repository stand for 64 MiB. */
static void test_no_room_for_the_pack(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "room",
              "head -c 65536 /dev/urandom >r; for i in $(seq 1024); do cat r; done >big; rm r; "
              "echo a >a; git add -A; git commit -qm a; rm big");
    int64_t left = 32 << 20;
    p.store.room = take_room;
    p.store.room_ctx = &left;
    give(&p, SYNC_GIT_SHALLOW);
    synckit_sh(p.to, "test -f a -a ! -e .git", NULL);
    left = 256 << 20;
    give(&p, SYNC_GIT_SHALLOW);
    assert_says_the_same(&p, "git rev-parse HEAD");
    assert_true(left < 200 << 20);
    pair_close(&p);
}

/* A git that the objects have taken over, here a script, prints what it likes. */
static void test_git_that_prints_no_commit(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "prints", "echo a >a; git add a; git commit -qm a");
    _cleanup_free_ char *path = xstrdup(getenv("PATH"));
    _cleanup_free_ char *first = xasprintf("%s/bin:%s", p.base, path);
    synckit_sh(p.base,
               "mkdir bin; chmod 755 . bin; printf '#!/bin/sh\\nprintf %%080d 0' >bin/git; "
               "chmod 755 bin/git; test $(bin/git | wc -c) = 80",
               NULL);
    assert_int_equal(setenv("PATH", first, 1), 0);
    give(&p, SYNC_GIT_SHALLOW);
    assert_int_equal(setenv("PATH", path, 1), 0);
    synckit_sh(p.to, "test -e a -a ! -e .git", NULL);
    pair_close(&p);
}

/* Nothing of the configuration, the hooks and the logs, where a URL has a token. */
static void test_no_credential_gets_there(void **state)
{
    (void)state;
    struct pair p;
    pair_open(
        &p, "secrets",
        HISTORY
        "git remote add origin https://user:s3cret@example.invalid/r;"
        "git config http.extraheader 'AUTHORIZATION: basic s3cret';"
        "git config branch.main.merge s3cret; echo 'echo s3cret' >.git/hooks/pre-commit;"
        "echo s3cret >.git/FETCH_HEAD; echo s3cret >.git/logs/x; echo s3cret >.git/credentials;"
        "echo s3cret >.git/info/exclude; git config core.worktree $PWD");
    for (int how = SYNC_GIT_SHALLOW; how <= SYNC_GIT_FULL; how++) {
        give(&p, (enum sync_git)how);
        synckit_sh(p.to,
                   "test -d .git; test -z \"$(grep -r s3cret .git; git remote)\"; git describe",
                   NULL);
    }
    pair_close(&p);
}

/* What such a repository would like git to do; and the guest has the files all the same. */
static void test_hostile_repositories(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "git -C .. init -q --bare other; git -C ../other config x.y z; echo $PWD/../other/objects "
        ">.git/objects/info/alternates",
        "mv .git/objects/pack ../pack; ln -s ../../../pack .git/objects/pack",
        "mv .git/objects ../objects; ln -s ../../objects .git/objects",
        "echo 'ref: refs/heads/../../config' >.git/HEAD",
        "echo 'ref: refs/../../../key' >.git/HEAD",
        "rm .git/refs/heads/main; ln -s ../../../../key .git/refs/heads/main",
        "d=.git/objects/$(git rev-parse HEAD | cut -c 1-2); mv $d ../d; ln -s ../../../d $d",
        "f=.git/objects/$(git rev-parse HEAD | sed 's,..,&/,'); mv $f ../o; ln -s ../../../../o $f",
        "rm -r .git/objects/??",
        "p=.git/objects/pack/pack-1234567890123456789012345678901234567890; mkfifo $p.idx; touch "
        "$p.pack",
        "f=.git/objects/$(git rev-parse HEAD | sed 's,..,&/,'); rm $f; mkfifo $f",
        "mkdir .git/reftable",
    };
    static const char evil[] = HISTORY
        "git checkout -q main; echo s3cret >../key;"
        "for k in core.fsmonitor core.sshCommand core.hooksPath uploadpack.packObjectsHook "
        "core.alternateRefsCommand diff.external core.pager; do git config $k \"sh -c 'touch "
        "$PWD/../pwned'\"; done; git config extensions.partialClone o; git config "
        "remote.o.promisor true; git config remote.o.url \"ext::sh -c 'touch $PWD/../pwned'\"; ";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        _cleanup_free_ char *name = xasprintf("hostile%zu", i);
        _cleanup_free_ char *script = xasprintf("%s%s", evil, cases[i]);
        pair_open(&p, name, script);
        give(&p, SYNC_GIT_FULL);
        _cleanup_free_ char *check = xasprintf(
            "echo %zu; test ! -e pwned; test -f lease/to/f1; test ! -e lease/to/.git", i);
        synckit_sh(p.base, check, NULL);
        pair_close(&p);
    }
}

/* git runs as the owner of the repository; one that the guest made itself stays. */
static void test_owners(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "owner", HISTORY "chown -R 1234:1234 .");
    give(&p, SYNC_GIT_SHALLOW);
    synckit_sh(p.to, "git -c safe.directory='*' describe", NULL);
    synckit_sh(p.to, "rm -rf .git; git init -q; echo mine >.git/own", NULL);
    give(&p, SYNC_GIT_SHALLOW);
    synckit_sh(p.to, "test -f .git/own", NULL);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_git_says),
        cmocka_unit_test(test_files_that_are_held_back),
        cmocka_unit_test(test_refs_of_other_kinds),
        cmocka_unit_test(test_what_the_index_is_not_to_tell),
        cmocka_unit_test(test_other_repositories),
        cmocka_unit_test(test_a_deep_tree_of_long_names),
        cmocka_unit_test(test_an_index_that_git_must_not_see),
        cmocka_unit_test(test_git_directories_of_another_place),
        cmocka_unit_test(test_no_room_for_the_pack),
        cmocka_unit_test(test_git_that_prints_no_commit),
        cmocka_unit_test(test_no_credential_gets_there),
        cmocka_unit_test(test_hostile_repositories),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
