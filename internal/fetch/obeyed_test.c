/* What a guest may not plant, however it spells it, and what the user gets by naming it. Archives
 * are written as a hostile tar would write them. */
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
#include "base/text.h"
#include "fetch/fetch.h"
#include "fetch/name.h"
#include "fetch/obeyed_names.h"
#include "testutil/archive.h"
#include "testutil/scratch.h"

/* An archive of small files, and of directories where a name ends with "/". */
static int unpack(const struct fetch_rules *rules, const char *const *names, size_t n,
                  struct fetch_result *res, struct error *err)
{
    _cleanup_free_ struct archive_item *items = xcalloc(n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        bool dir = names[i][strlen(names[i]) - 1] == '/';
        items[i] = (struct archive_item){.name = names[i],
                                         .mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644,
                                         .text = dir ? NULL : "x"};
    }
    _cleanup_close_ int fd = archive_of(items, n);
    return fetch_unpack(fd, rules, res, err);
}

static bool exists(const char *path)
{
    struct stat st;
    return fstatat(scratch_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct fetch_limits limits = {100, 1 << 20, 0};

static const char *const planted[] = {
    ".git",
    ".git/config",
    "pylintrc",
    ".mise.ci.toml",
    "mise/config.toml",
    ".Renviron",
    "sub/crush.json",
    "sub/.git/hooks/post-checkout",
    ".GIT/config",
    ".Git",
    ".git.",
    ".git ",
    ".git . .",
    ".git::$INDEX_ALLOCATION",
    "git~1",
    "GIT~1/config",
    "git~2",
    "GIT~12/config",
    "GI7EBA~1/config",
    "VSCODE~1/tasks.json",
    "VSCOD~42/tasks.json",
    "VSA1B2~1/tasks.json",
    "vs~1/tasks.vs.json",
    "CRABBO~1.YAM",
    "CRABBO~1",
    "GITIGN~1",
    "PRE-CO~1.YAM",
    "AUTOEN~1.ZSH",
    "MISELO~1.TOM",
    "MISECI~1.TOM",
    "misepr~3.tom",
    "sub/CRUSH~1.JSO",
    "DEVCON~1/devcontainer.json",
    "HG~1/hgrc",
    "vscode\xe2\x80\x8b~1/x",
    "VSCODE~1::$INDEX_ALLOCATION",
    ".g\xe2\x80\x8cit/config",
    "\xef\xbb\xbf.git",
    ".gi\xe2\x81\xaft",
    "bare/HEAD",
    "bare/HE\xe2\x80\x8b\x41\x44",
    ".g\xe2\x80\x8bit/config",
    ".g\xc2\xadit",
    ".gi\xcd\x8ft",
    ".git\xef\xb8\x8f",
    ".git\xf3\xa0\x80\xa0",
    ".v\xc5\xbf\x63ode/x",
    ".g\xc4\xb1t/config", /* dotless i */
    "m\xc4\xb1se/config.toml",
    ".\xef\xbd\x87\xef\xbd\x89\xef\xbd\x94/config", /* fullwidth */
    "\xef\xbc\x8egit",
    "\xef\xbc\xad\xef\xbc\xa9\xef\xbc\xb3\xef\xbc\xa5/config.toml",
    ".g\xf0\x9d\x92\xbet", /* mathematical */
    ".\xe2\x84\x8ait",     /* letterlike */
    ".g\xe2\x85\xb0t",     /* a Roman numeral */
    ".n\xe2\x85\xb5m.lua", /* one of two letters: vi */
    ".\xe2\x93\x96it",     /* circled */
    ".g\xe2\x81\xb1t",     /* superscript */
    ".\xc5\xbfl/config",
    "ru\xef\xac\x86-toolchain",
    ".gitignore",
    ".gitattributes",
    "frontend/.husky/_/post-index-change",
    ".githooks/post-index-change",
    ".gitconfig",
    "lefthook.yaml",
    ".lefthook.toml",
    "lefthook-local.json",
    ".config/.lefthook-local.jsonc",
    "LEFTHO~1.JSO",
    ".pre-commit-config.yml",
    ".lfsconfig",
    ".devcontainer.json",
    ".continuerc.json",
    ".hie-bios",
    "irb.rc",
    "_irbrc",
    "$irbrc",
    ".config/irb/irbrc",
    ".perldb",
    ".Rprofile",
    "sub/.gitignore",
    "_darcs/prefs/defaults",
    ".env",
    ".helix/languages.toml",
    ".vim/coc-settings.json",
    ".pijul/config",
    "_FOSSIL_",
    ".mcp.json",
    ".hg/hgrc",
    ".crabbox-fc.yaml",
    "deep/er/.Crabbox-FC.yaml",
    ".crabboxignore",
    ".envrc",
    ".vscode/tasks.json",
    ".idea/workspace.xml",
    ".exrc",
    ".dir-locals.el",
    ".gdbinit",
    "$IRBRC",
    "lefthook.yml",
    ".lefthook.json",
    "lefthook-local.toml",
    ".config/lefthook-local.yaml",
    ".eslintrc.cjs",
    "ESLINT~1.CJS",
    "web/eslint.config.mjs",
    ".prettierrc.js",
    ".lintstagedrc.mjs",
    "_MTN/log",
    ".bsp/scala.json",
    ".direnv/python-3.11/bin/git",
    "_opam/bin/ls",
    ".envrc.local",
    "sub/.envrc.private",
    ".env.local",
    "ENV~1.LOC",
    ".clinerules/hooks/TaskStart",
    ".neoconf.json",
    ".nlsp-settings/x.json",
    ".ruby-lsp/Gemfile",
    ".externalToolBuilders/x.launch",
    ".stylelintrc.js",
    "stylelint.config.mjs",
    ".huskyrc.json",
    "husky.config.js",
    ".commitlintrc.cjs",
    ".\xe2\x93\x94slintrc.js", /* names known by how they begin and end, in other forms */
    "eslint.con\xe2\x93\x95ig.js",
    ".lintstagedr\xe2\x93\x92",
    "prettier.\xe2\x93\x92onfig.js",
    "m\xe2\x93\x98se.ci.toml",
    ".mise.x.\xe2\x93\xa3oml",
    ".mise.x.to\xe3\x8e\x96", /* ml */
    ".en\xe2\x93\xa5.local",
    "\xef\xb8\xb3"
    "darcs/prefs/defaults", /* forms of _ */
    "\xef\xb8\xb4mtn/log",
    ".ycm\xef\xb9\x8d"
    "extra_conf.py",
    ".autoenv\xef\xb9\x8fleave.zsh",
    ".pre\xef\xb9\xa3"
    "commit-config.yaml",
    ".gi\xe1\xb5\x97",
    "ES1A2B~1.JS", /* hashed short names of those that are known by how they begin */
    "PRA1B2~1.CON",
    "EN1A2B~1.LOC",
    "MI1A2B~2.TOM",
    "ENVPRO~1.LOC",
    ".git-hooks/pre-commit",
    "GIT-HO~1/pre-commit",
    ".git_hooks/pre-commit",
    ".hooks/pre-commit",
    "githooks/pre-commit",
    ".lefthook/pre-commit/lint.sh",
    ".trunk/trunk.yaml",
    ".venv/bin/activate",
    "venv/bin/python",
    ".virtualenv/bin/activate",
    "virtualenv/bin/activate",
    "node_modules/.bin/eslint",
    "NODE_M~1/.bin/eslint",
    ".sdkmanrc",
    "cspell.config.cjs",
    ".cspell.json",
    ".textlintrc.js",
    ".remarkrc",
    ".template-lintrc.js",
    ".markdownlint-cli2.cjs",
    "xo.config.js",
    ".spectral.yaml",
    ".svn/entries",
    ".bzr/branch",
    "build/compile_commands.json",
    "compile_flags.txt",
    ".ccls",
    ".java-version",
    ".perl-version",
    ".node-version",
    ".nvmrc",
    ".terraform-version",
    "TERRAF~1",
    ".opentofu-version",
    ".lua-version",
    ".swift-version",
    ".scala-version", /* known by how it ends */
    ".SCALA-VER\xe2\x93\xa2ION",
    ".ruby-env",
    ".clang-tidy",
    "src/.Clang-Tidy",
    ".luacheckrc",
    ".cmake-format.py",
    "cmake-format.py",
    ".mdlrc",
    ".rubocop",
    "phpcs.xml",
    ".phpcs.xml.dist",
    "coffeelint.json",
    ".pug-lintrc",
    ".pug-lintrc.js",
    "shell.nix",
    "default.nix",
    "flake.lock",
    "devenv.nix",
    "devbox.json",
    ".flox/env.json",
    "guix.scm",
    ".yarn/sdks/eslint/bin/eslint.js",
    ".pnp.cjs",
    "prog-gdb.py",
    "lib/libx.so.1-gdb.gdb",
    "PROG-GDB.SCM",
    ".php-cs-fixer.dist.php",
    "phpstan.neon",
    ".terraform/providers/x",
    ".lintr",
    "sgconfig.yml",
    ".ctags.d/x.ctags",
    ".lazygit.yml",
    ".jedi/project.json",
    "Steepfile",
    "tailwind.config.ts",
};
/* Not so, though they look like it. */
static const char *const harmless[] = {
    "gitignore",
    "gitattributes",
    ".gitmodules",
    ".github/x",
    "git",
    "x.git",
    "git~",
    ".gitx",
    "env",
    "ve",
    "node-version",
    ".version",
    ".bashrc",
    ".envs",
    "\xff.git",
    ".g\xcc\x81it",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x96\x87",
    ".\xc3\xa9t\xc3\xa9",
    "m\xc2\xb2",
    "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3\xef\xbc\xa4",
    "rust",
    "HEADER",
    "vscode/tasks",
    "...",
    "head~1",
    "HEAD~1",
    "HEAD~1.txt",
    "vscode~1.txt",
    "vscod~1",
    "vscodex~1",
    "vscode~1x",
    "vscode~",
    "~1",
    "report~1",
    "gi7ebag~1",
    "crush~1",
    "vsa1g2~1",
    "git~1234567",
    "lefthook",
    "lefthook.md",
    "irb",
    "pyproject.toml",
    ".env.example",
    ".envelope",
    "env.local",
    "\xe3\x8e\x8f", /* one character for two or more, but not for those of such a name */
    "\xe3\x8e\x8f.toml",
    "\xe3\x8e\x8f.ci.toml",
    ".\xe2\x84\x96.txt",
    "\xe2\x84\xa1\xe2\x84\xa1",
    ".\xe2\x85\xa7\xe2\x93\xa3",
    "\xc2\xb5se.toml",
    ".\xc2\xaa",
    ".en\xe2\x93\xa5.example",
    "hooks/useState.js",
    "gradlew",
    "pom.xml",
    "gdb.py",
    "x-gdb.c",
    "tailwind.css",
    "ES1G2B~1.JS",
};

static void test_in_a_directory(void **state)
{
    (void)state;
    struct fetch_rules rules = {.dirfd = scratch_fd, .name = "got", .limits = limits};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(planted); i++) {
        const char *const names[] = {"./", planted[i], "fine"};
        _cleanup_free_ char *where = xasprintf("got/%s", planted[i]);
        if (unpack(&rules, names, 3, &res, &err) < 0)
            fail_msg("%s: %s", planted[i], err.msg);
        if (res.n_obeyed != 1 || res.n_files != 1 || exists(where))
            fail_msg("%s was taken", planted[i]);
        _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
        text_add(&shown, planted[i]);
        /* Named is what is left out, not what lies in it. */
        if (!str_has_prefix(shown.buf, res.first_obeyed))
            fail_msg("%s instead of %s", res.first_obeyed, planted[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        const char *const names[] = {"./", harmless[i]};
        _cleanup_free_ char *where = xasprintf("got/%s", harmless[i]);
        assert_int_equal(unpack(&rules, names, 2, &res, &err), 0);
        if (res.n_obeyed || !exists(where))
            fail_msg("%s was left out", harmless[i]);
    }
}

/* Each name of the table counts, also in capitals; it is written as names are compared, and once.
 */
static void test_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < obeyed_names_n; i++) {
        const char *name = obeyed_names[i].name;
        _cleanup_free_ char *upper = xstrdup(name);
        for (char *p = upper; *p; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        if (!name_obeyed(name, strlen(name)) || !name_obeyed(upper, strlen(upper)))
            fail_msg("%s is not found", name);
        for (size_t j = 0; j < i; j++)
            if (str_eq(name, obeyed_names[j].name))
                fail_msg("%s is there twice", name);
    }
}

/* A directory entry alone would do for some; each of them is counted once, whatever is in it, and
 * the first is named. */
static void test_directories_and_count(void **state)
{
    (void)state;
    static const char *const names[] = {
        "./",     "a/.git/", "a/.git/config", "a/.git/hooks/.env", "a/.vscode/tasks.json",
        "a/.env", "a/ok"};
    struct fetch_rules rules = {.dirfd = scratch_fd, .name = "got", .limits = limits};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    assert_int_equal(unpack(&rules, names, 7, &res, &err), 0);
    assert_int_equal(res.n_obeyed, 3);
    assert_string_equal(res.first_obeyed, "a/.git");
    assert_int_equal(res.n_skipped, 0);
    assert_true(exists("got/a/ok"));
    assert_false(exists("got/a/.git"));
}

/* With patterns too, also where one would match if names were only names. */
static void test_with_globs(void **state)
{
    (void)state;
    static const char *const wide[] = {
        "**",          "*/*",           ".*",     ".*/*", ".g*/config", "*/.*/*", "H*",
        "?git/config", "[.]git/config", "[H]EAD", NULL};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    struct fetch_rules rules = {.dirfd = scratch_fd, .globs = wide, .limits = limits};
    for (size_t i = 0; i < ARRAY_LEN(planted); i++) {
        if (unpack(&rules, &planted[i], 1, &res, &err) < 0)
            fail_msg("%s: %s", planted[i], err.msg);
        if (res.n_obeyed != 1 || res.n_files || exists(planted[i]))
            fail_msg("%s was taken", planted[i]);
    }
}

static void test_named(void **state)
{
    (void)state;
    static const char *const globs[] = {".git/config", "**/.vscode/*.json", "HEAD", NULL};
    static const char *const names[] = {".git/config", "a/.vscode/x.json", "HEAD"};
    static const char *const others[] = {".git/hooks/x", "a/.vscode/.git/x.json", ".GIT/config"};
    static const char *const repo[] = {"./",    "config",         "HEAD",
                                       "refs/", "modules/m/HEAD", "sub/.git/config"};
    static const char *const one[] = {"config"};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    struct fetch_rules rules = {.dirfd = scratch_fd, .globs = globs, .limits = limits};
    assert_int_equal(unpack(&rules, names, 3, &res, &err), 0);
    assert_int_equal(res.n_files, 3);
    assert_true(exists(".git/config") && exists("a/.vscode/x.json") && exists("HEAD"));
    assert_int_equal(unpack(&rules, others, 3, &res, &err), 0);
    assert_int_equal(res.n_obeyed, 3);
    /* One file by name, and a directory that is itself such a name. */
    struct fetch_rules file = {.dirfd = scratch_fd, .name = ".envrc", .limits = limits};
    assert_int_equal(unpack(&file, one, 1, &res, &err), 0);
    assert_true(exists(".envrc"));
    struct fetch_rules dir = {
        .dirfd = scratch_fd, .name = "mine", .limits = limits, .is_store = true};
    assert_int_equal(unpack(&dir, repo, 6, &res, &err), 0);
    assert_true(exists("mine/HEAD") && exists("mine/modules/m/HEAD"));
    assert_int_equal(res.n_obeyed, 1);
    assert_false(exists("mine/sub/.git"));
}

/* A directory with such a name excuses itself, not what the guest has put into it. */
static void test_in_a_directory_named_so(void **state)
{
    (void)state;
    static const char *const named[] = {"head", "HEAD", ".vscode", ".idea", ".envrc", ".git"};
    static const char *const names[] = {"./", "fine", "sub/.git/config", ".vscode/tasks.json",
                                        ".crabbox-fc.yaml"};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        struct fetch_rules rules = {.dirfd = scratch_fd, .name = named[i], .limits = limits};
        rules.is_store = name_is_store(named[i], strlen(named[i]));
        _cleanup_free_ char *fine = xasprintf("%s/fine", named[i]);
        _cleanup_free_ char *git = xasprintf("%s/sub/.git", named[i]);
        assert_int_equal(unpack(&rules, names, ARRAY_LEN(names), &res, &err), 0);
        assert_int_equal(res.n_obeyed, 3);
        assert_true(exists(fine));
        assert_false(exists(git));
    }
    assert_true(name_is_store(".GIT.", 5) && name_is_store(".jj", 3) && name_is_store("HG~1", 4));
    assert_false(name_is_store("head", 4) || name_is_store("VSCODE~1", 8) ||
                 name_is_store(".vscode", 7));
}

static void test_dots_in_globs(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *path;
        bool want;
    } cases[] = {
        {"*", ".x", false},
        {".*", ".x", true},
        {"?x", ".x", false},
        {"[.]x", ".x", false},
        {"[!a]x", ".x", false},
        {"a*", "a.x", true},
        {"**", ".x", false},
        {"**", "a/.x", false},
        {"**", ".x/a", false},
        {"**/a", ".x/a", false},
        {"**/.x/a", ".x/a", true},
        {"**/.x/a", "b/.x/a", true},
        {"**/.x", "a/b/.x", true},
        {"**/.x", ".y/.x", false},
        {".x/**", ".x/a/b", true},
        {".x/**", ".x/a/.b", false},
        {"d/**", "d/e/f", true},
        {"d/**", "d", false},
        {"*/*.txt", ".a/b.txt", false},
        {"**/*.txt", "a/.b.txt", false},
        {"**/**", "a/b", true},
        {"**/HEAD", "a/HEAD", true},
        {"**/*", "a/HEAD", false},
        {"H*", "HEAD", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (fetch_glob_match(cases[i].glob, cases[i].path) != cases[i].want)
            fail_msg("%s and %s", cases[i].glob, cases[i].path);
}

/* Whose ways, tried one by one, would take longer than anybody waits. */
static void test_many_depths_in_globs(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf glob = STRBUF_INIT, path = STRBUF_INIT;
    for (int i = 0; i < 25; i++)
        strbuf_adds(&glob, "**/a/");
    for (int i = 0; i < 60; i++)
        strbuf_adds(&path, "a/");
    strbuf_adds(&glob, "**/x");
    strbuf_adds(&path, ".env");
    assert_false(fetch_glob_match(glob.buf, path.buf));
    strbuf_adds(&path, "/x");
    assert_false(fetch_glob_match(glob.buf, path.buf));
    path.buf[120] = '\0';
    assert_false(fetch_glob_match(glob.buf, path.buf));
    path.buf[118] = 'x';
    path.buf[119] = '\0';
    assert_true(fetch_glob_match(glob.buf, path.buf));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        TEST(test_in_a_directory),
        cmocka_unit_test(test_the_table),
        TEST(test_directories_and_count),
        TEST(test_with_globs),
        TEST(test_in_a_directory_named_so),
        TEST(test_named),
        cmocka_unit_test(test_dots_in_globs),
        cmocka_unit_test(test_many_depths_in_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
