/* What git would not take for a repository, against git itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "testutil/synckit.h"

#define COMMITTED SYNCKIT_INIT "touch a; git add a; git commit -qm a; "
#define VERSION   "git config core.repositoryformatversion "

/* A damaged repository is neither listed by rules that git would not apply, nor taken for a plain
 * directory. */
static void test_rejected_by_git(void **state)
{
    (void)state;
    static const struct {
        const char *script, *part;
    } cases[] = {
        {"rm .git/HEAD", "not a git repository: it has no HEAD"},
        {": >.git/HEAD", "not a git repository: its HEAD is empty"},
        {"echo garbage >.git/HEAD", "not a git repository: its HEAD names no ref and no commit"},
        {"echo ref: heads/main >.git/HEAD", "its HEAD names no ref and no commit"},
        {"h=$(git rev-parse HEAD | cut -c1-39); echo $h >.git/HEAD", "its HEAD names no ref"},
        {"rm .git/HEAD; mkdir .git/HEAD", "its HEAD is not a file"},
        {"rm .git/HEAD; ln -s nowhere .git/HEAD", "its HEAD is a link that leads to no ref"},
        {"rm -r .git/objects", "not a git repository: it has no directory objects"},
        {"rm -r .git/refs", "not a git repository: it has no directory refs"},
        {"rm -r .git/refs; touch .git/refs", "this is not a directory in it: refs"},
        {"echo nowhere >.git/commondir", "it has a commondir"},
        {": >.git/commondir", "it has a commondir"},
        {VERSION "99", "Expected git repo version <= 1, found 99"},
        {VERSION "1k", "Expected git repo version <= 1, found 1024"},
        {VERSION "x", "bad numeric config value 'x' for 'core.repositoryformatversion' in file /"},
        {VERSION "9999999999", ".git/config: out of range"},
        {VERSION "1; git config extensions.foo 1", "unknown repository extension found: foo"},
        {VERSION "1; git config extensions.A.B 1", "unknown repository extension found: A.b"},
        {"git config extensions.objectformat sha1",
         "repo version is 0, but v1-only extension found: objectformat"},
        {VERSION "1; git config extensions.objectformat md5",
         "invalid value for 'extensions.objectformat': 'md5' in file /"},
        {"echo '[extensions] objectformat' >>.git/config", "missing value for 'extensions.obj"},
        {"git config core.bare true", "this operation must be run in a work tree"},
        {"git config core.bare maybe", "bad boolean config value 'maybe' for 'core.bare'"},
        {VERSION "1; git config extensions.worktreeconfig true; "
                 "git config --unset core.bare; git config --worktree core.bare true",
         "this operation must be run in a work tree"},
        {"echo '[core' >>.git/config", "bad config line 9 in file /"},
        {"printf '[x]\\n\\ta = \"b\\n' >>.git/config", "bad config line 10 in file /"},
        {"printf '[x]\\n\\ta = \\\\x\\n' >>.git/config", "bad config line 10 in file /"},
        {"echo 'foo bar' >>.git/config", "bad config line 9 in file /"},
        {"printf '[]\n' >>.git/config", "bad config line 9 in file /"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *name = xasprintf("rejected%zu", i);
        _cleanup_free_ char *script = xasprintf(COMMITTED "%s", cases[i].script);
        _cleanup_free_ char *dir = synckit_make(&kit, name, script);
        synckit_assert_refused(dir, cases[i].part);
        synckit_sh(dir, "! git ls-files -co >/dev/null 2>&1", NULL); /* so does git */
    }
}

/* Nothing more than git is refused. */
static void test_odd_but_accepted_by_git(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "rm .git/HEAD; ln -s refs/heads/main .git/HEAD",
        "printf 'ref:\\t refs/heads/../x' >.git/HEAD",
        "h=$(git rev-parse HEAD); echo ${h}x >.git/HEAD",
        "rm .git/config",
        VERSION "1; git config extensions.noop 1",
        "git config extensions.foo 1",
        "git config extensions.preciousobjects 2",
        VERSION "-1; git config extensions.objectformat sha1",
        "printf '[core]\\nrepositoryformatversion=99 # no\\nrepositoryformatversion=0' "
        ">.git/config",
        "printf '[core]\\r\\n\\tBare = \"fal\"se ; \"\\r\\n' >>.git/config",
        "printf '[core]\\nbare\\n' >.git/config",
        "printf '\\357\\273\\277[a \"b]\\\\x\"]c=1\\\\\\n2\\n[core "
        "\"x\"]repositoryformatversion=9' "
        ">.git/config",
        "echo '[core \"x\"] bare' >>.git/config",
        "truncate -s -1 .git/index; printf X >>.git/index",
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        _cleanup_free_ char *name = xasprintf("accepted%zu", i);
        _cleanup_free_ char *script = xasprintf(COMMITTED "%s", scripts[i]);
        _cleanup_free_ char *dir = synckit_make(&kit, name, script);
        synckit_assert_listed(dir, "a\n");
        synckit_assert_as_git(dir);
    }
    /* A worktree of a bare repository. */
    _cleanup_free_ char *dir = synckit_make(
        &kit, "bare", COMMITTED "git worktree add -q w; git config core.bare true");
    _cleanup_free_ char *linked = xasprintf("%s/w", dir);
    synckit_assert_listed(linked, "a\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejected_by_git),
        cmocka_unit_test(test_odd_but_accepted_by_git),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
