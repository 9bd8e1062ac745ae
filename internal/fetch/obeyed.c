/* obeyed.c: names that a guest must not plant: configuration that tools of the host obey without
 * being asked, once someone enters a directory, lists it, or opens any file in it. Files that take
 * effect only when someone builds or runs what was fetched (Makefile, .npmrc, .cargo) are not in
 * the table, because that runs the guest's code anyway. Neither is .gitmodules, which starts
 * nothing by itself, nor are texts that agents read as instructions (AGENTS.md): any text can be
 * that. What is known by two names is left out by both. pyproject.toml, setup.cfg, tox.ini and
 * package.json are not in it either: checkers obey a part of them, but people fetch them for the
 * rest.
 */
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "fetch/name.h"

#define HEAD "head"

static const struct {
    const char *name; /* in lower case */
    const char *by;
} obeyed[] = {
    {".git", "git, which prompts and editors ask: its config and hooks name programs; a file too"},
    {"git~1", "the same, by the short name that FAT and NTFS give it"},
    {HEAD, "git: beside objects and refs it makes a bare repository, whose config counts"},
    {".hg", "Mercurial: hgrc names programs"},
    {".sl", "Sapling: config names programs"},
    {".jj", "Jujutsu: its config names programs"},
    {".crabbox-fc.yaml", "crabbox-fc"},
    {".crabboxignore", "crabbox-fc: what the next sync sends"},
    {".gitignore",
     "git, and so the next sync: with !.env in a directory that was there before, what "
     "the user's own .gitignore above keeps back"},
    {".gitattributes", "git: with -filter, the user's own filter no longer encrypts his secrets"},
    {".gitconfig", "git, where the repository's own config includes it, as shared settings do"},
    {".husky", "git, where core.hooksPath names it: a hook runs at each status"},
    {".githooks", "the same"},
    {".lfsconfig", "git-lfs, from the user's own filters and hooks: where his files are sent"},
    {".pre-commit-config.yaml", "git hooks that are installed already: commands"},
    {".pre-commit-config.yml", "the same, prek"},
    {"prek.toml", "the same"},
    {".overcommit.yml", "the same"},
    {"_darcs", "Darcs: prefs/defaults names programs"},
    {".pijul", "Pijul: its config names programs"},
    {"_mtn", "monotone: its monotonerc is a program"},
    {".fslckout", "Fossil: names a repository whose settings name programs"},
    {"_fossil_", "the same"},
    {".p4config", "Perforce, where P4CONFIG names it: P4PORT is a command"},
    {".sops.yaml", "sops: to whom the user's next secret is encrypted"},
    {".envrc", "direnv, where its directory is on the list of those that need no question"},
    {".env", "direnv with load_dotenv, and shells with a plug-in for it: the same"},
    {".tool-versions", "asdf: paths of programs"},
    {"mise.toml", "mise: variables and hooks, on entering"},
    {".mise.toml", "the same"},
    {"mise.local.toml", "the same"},
    {".mise.local.toml", "the same"},
    {".mise", "the same"},
    {"mise", "the same: its config.toml"},
    {".rtx.toml", "the same, by its old name"},
    {".rtx", "the same"},
    {".autoenv", "autoenv, on entering: a script"},
    {".autoenv.zsh", "the same"},
    {".autoenv_leave.zsh", "the same"},
    {".autoenv.leave", "the same, on leaving"},
    {".env.leave", "the same"},
    {".rvmrc", "RVM, on entering: a script"},
    {"rust-toolchain", "rustup, when an editor starts rust-analyzer: its path names programs"},
    {"rust-toolchain.toml", "the same"},
    {".vscode", "Visual Studio Code: tasks and paths of programs"},
    {".idea", "the IDEs of JetBrains: the same"},
    {".zed", "Zed: the same"},
    {".vs", "Visual Studio: the same"},
    {".fleet", "Fleet: the same"},
    {".nova", "Nova: the same"},
    {".helix", "Helix: commands of language servers"},
    {".devcontainer", "editors that offer or start containers: commands of the host"},
    {".devcontainer.json", "the same"},
    {".claude", "agents, when started here: hooks and servers of the directory"},
    {".mcp.json", "the same"},
    {".cursor", "the same"},
    {".gemini", "the same"},
    {".codex", "the same"},
    {".aider.conf.yml", "the same"},
    {".opencode", "the same"},
    {"opencode.json", "the same"},
    {"opencode.jsonc", "the same"},
    {".windsurf", "the same"},
    {".kiro", "the same"},
    {".continue", "the same"},
    {".roo", "the same"},
    {".roomodes", "the same"},
    {".kilocode", "the same"},
    {".kilocodemodes", "the same"},
    {".amazonq", "the same"},
    {".factory", "the same"},
    {".junie", "the same"},
    {".cursorrules", "the same"},
    {".windsurfrules", "the same"},
    {".qwen", "the same"},
    {".crush.json", "the same"},
    {"crush.json", "the same"},
    {".exrc", "vi, Vim and Neovim with exrc"},
    {".vimrc", "Vim with exrc"},
    {".nvimrc", "Neovim with exrc"},
    {".nvim.lua", "Neovim with exrc"},
    {".gvimrc", "the same, gvim"},
    {".nvim", "Neovim with plug-ins for it"},
    {".lazy.lua", "Neovim with lazy.nvim"},
    {".lvimrc", "Vim with localvimrc"},
    {".vimrc.local", "the same"},
    {".local.vimrc", "the same"},
    {".ycm_extra_conf.py", "Vim with YouCompleteMe: a program"},
    {".vim", "Vim with coc.nvim: its coc-settings.json names programs"},
    {"hie.yaml", "editors with Haskell's language server: names a program"},
    {".merlin", "editors with OCaml's: its -ppx names one"},
    {".bsp", "editors with Scala's, and IDEs: command lines of build servers"},
    {"rust-analyzer.toml", "editors with rust-analyzer: its overrideCommand"},
    {".rust-analyzer.toml", "the same"},
    {".rubocop.yml", "RuboCop in editors: files that it requires"},
    {".sqlfluff", "sqlfluff in editors: its library_path is a program"},
    {".dir-locals.el", "Emacs, when any file below is opened"},
    {".dir-locals-2.el", "the same"},
    {".gdbinit", "gdb"},
    {".lldbinit", "lldb"},
    {".pdbrc", "pdb"},
    {".perldb", "perl -d"},
    {".rprofile", "R and RStudio"},
    {".renviron", "the same: names another .Rprofile"},
    {".rdata", "the same: objects that are loaded at the start"},
    {".ocamlinit", "the ocaml toplevel"},
    {".ghci", "ghci"},
    {".iex.exs", "iex"},
    {".pryrc", "pry"},
    {".byebugrc", "byebug"},
    {".psysh.php", "PsySH"},
    {".irbrc", "irb"},
    {"_irbrc", "the same"},
    {"irb.rc", "the same"},
    {"$irbrc", "the same"},
    {"irbrc", "the same, in .config/irb"},
    {".octaverc", "Octave"},
    {".pylintrc", "pylint in editors: its init-hook is a program"},
    {"pylintrc", "the same"},
    {".pylintrc.toml", "the same"},
    {"pylintrc.toml", "the same"},
    {".flake8", "flake8 in editors: its local plugins are programs"},
    {"mypy.ini", "mypy in editors: its plugins are programs"},
    {".mypy.ini", "the same"},
};

/* Characters that a case-insensitive filesystem treats as others, as ext4's casefold does. */
static const struct {
    uint32_t cp;
    const char *is;
} folded_to[] = {
    {0xdf, "ss"},    {0x17f, "s"},   {0x1e9e, "ss"}, {0x212a, "k"},
    {0xfb00, "ff"},  {0xfb01, "fi"}, {0xfb02, "fl"}, {0xfb03, "ffi"},
    {0xfb04, "ffl"}, {0xfb05, "st"}, {0xfb06, "st"},
};

/* What a character counts as, in at most 4 bytes; "" for what is passed over. `s` is the character
 * itself, of `len` bytes. */
static void fold_one(uint32_t cp, const char *s, size_t len, char out[static 5])
{
    (void)str_format(out, 5, "%.*s", (int)len, s);
    if (cp >= 'A' && cp <= 'Z')
        out[0] = (char)(cp + 'a' - 'A');
    else if (text_hidden(cp))
        out[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(folded_to); i++)
        if (cp == folded_to[i].cp)
            (void)str_copy(out, 5, folded_to[i].is);
}

/* The name as seen by a filesystem that ignores case and invisible characters, ends a name at ":"
 * (NTFS streams) and strips dots and blanks from its end. */
static void fold(const char *name, size_t len, char out[static NAME_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < len && name[i] != ':';) {
        char one[5];
        uint32_t cp = 0xfffd;
        size_t used = text_decode(name + i, len - i, &cp);
        used += used == 0; /* bytes that are no text count as they are */
        fold_one(cp, name + i, used, one);
        i += used;
        if (str_copy(out + n, NAME_MAX + 1 - n, one) < 0)
            break; /* longer than any name of the table */
        n += strlen(one);
    }
    while (n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
        n--;
    out[n] = '\0';
}

static bool one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

/* mise.ci.toml, .mise.ci.toml and whatever else stands between. */
static bool is_of_mise(const char *folded)
{
    const char *name = folded + (*folded == '.');
    return str_has_prefix(name, "mise.") && str_has_suffix(name, ".toml");
}

/* Git hooks that are installed already: its commands and those that are merged into them. */
static bool is_of_lefthook(const char *folded)
{
    static const char *const ends[] = {".yml", ".yaml", ".toml", ".json", ".jsonc"};
    const char *name = folded + (*folded == '.');
    if (!str_has_prefix(name, "lefthook"))
        return false;
    name += strlen("lefthook");
    name += str_has_prefix(name, "-local") ? strlen("-local") : 0;
    return one_of(name, ends, ARRAY_LEN(ends));
}

/* Checkers in editors, whose configuration is a program, or names one that is run or loaded. */
static bool is_of_checker(const char *folded)
{
    static const char *const begins[] = {".eslintrc",     "eslint.config.",
                                         ".prettierrc",   "prettier.config.",
                                         ".lintstagedrc", "lint-staged.config."};
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_has_prefix(folded, begins[i]))
            return true;
    return false;
}

static bool is_obeyed(const char *component, size_t len, bool head_too)
{
    char folded[NAME_MAX + 1];
    fold(component, len, folded);
    if (!head_too && str_eq(folded, HEAD))
        return false;
    if (is_of_mise(folded) || is_of_lefthook(folded) || is_of_checker(folded))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(obeyed); i++)
        if (str_eq(folded, obeyed[i].name))
            return true;
    return false;
}

bool name_obeyed(const char *component, size_t len)
{
    return is_obeyed(component, len, true);
}

bool name_is_store(const char *component, size_t len)
{
    static const char *const stores[] = {".git", "git~1", ".hg", ".sl", ".jj", "_darcs"};
    char folded[NAME_MAX + 1];
    fold(component, len, folded);
    return one_of(folded, stores, ARRAY_LEN(stores));
}

size_t name_upto_obeyed(const char *path, bool head_too)
{
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (is_obeyed(p, len, head_too))
            return (size_t)(p + len - path);
        p += len;
        p += *p == '/';
    }
    return 0;
}
