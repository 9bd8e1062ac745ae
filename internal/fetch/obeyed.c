/* obeyed.c: names that a guest must not plant: configuration that tools of the host obey without
 * being asked, once someone enters a directory, lists it, or opens any file in it. Files that take
 * effect only when someone builds or runs what was fetched (Makefile, .npmrc, .cargo) are not in
 * the table, because that runs the guest's code anyway. Neither is .gitmodules, which starts
 * nothing by itself, nor are texts that agents read as instructions (AGENTS.md): any text can be
 * that. A file that tools know by two names is left out under both. pyproject.toml, setup.cfg,
 * tox.ini and package.json are not in it either: checkers obey a part of them, but people fetch
 * them for the rest. The same goes for vendor, although editors start programs of its bin. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "fetch/fold.h"
#include "fetch/name.h"

#define HEAD "head"
/* The files that lefthook reads, with one of their endings. */
#define LEFTHOOK(ending)                                                                           \
    {"lefthook" ending, "git hooks that are installed already: commands"},                         \
        {".lefthook" ending, "the same"}, {"lefthook-local" ending, "the same"},                   \
    {                                                                                              \
        ".lefthook-local" ending, "the same"                                                       \
    }

static const struct {
    const char *name; /* in lower case */
    const char *by;
} obeyed[] = {
    {".git", "git, which prompts and editors ask: its config and hooks name programs; a file too"},
    {HEAD, "git: beside objects and refs it makes a bare repository, whose config counts"},
    {".hg", "Mercurial: hgrc names programs"},
    {".sl", "Sapling: config names programs"},
    {".jj", "Jujutsu: its config names programs"},
    {".svn", "editors, for which a project begins here: it makes other names of this table count"},
    {".bzr", "the same"},
    {".crabbox-fc.yaml", "crabbox-fc"},
    {".crabboxignore", "crabbox-fc: what the next sync sends"},
    {".gitignore",
     "git, and so the next sync: with !.env in a directory that was there before, what "
     "the user's own .gitignore above keeps back"},
    {".gitattributes", "git: with -filter, the user's own filter no longer encrypts his secrets"},
    {".gitconfig", "git, where the repository's own config includes it, as shared settings do"},
    {".husky", "git, where core.hooksPath names it: a hook runs at each status"},
    {".githooks", "the same"},
    {"githooks", "the same"},
    {".git-hooks", "the same; Overcommit's own hooks are there, too"},
    {"git-hooks", "the same"},
    {".git_hooks", "the same"},
    {".hooks", "the same"}, /* but not hooks, which many programs name their sources */
    LEFTHOOK(".yml"),
    LEFTHOOK(".yaml"),
    LEFTHOOK(".toml"),
    LEFTHOOK(".json"),
    LEFTHOOK(".jsonc"),
    {".lefthook", "the same: its scripts"},
    {".lefthook-local", "the same"},
    {".pre-commit-config.yaml", "git hooks of pre-commit: commands"},
    {".pre-commit-config.yml", "the same, by prek, which takes its hooks over"},
    {"prek.toml", "the same"},
    {"hk.pkl", "hk: git hooks of the repository"},
    {"hk.local.pkl", "the same"},
    {".lfsconfig", "git with LFS: where the next push sends objects"},
    {"_darcs", "Darcs: prefs/defaults names programs"},
    {".pijul", "Pijul, which prompts ask: its config names programs"},
    {".fslckout", "Fossil, which prompts ask: the repository of a checkout"},
    {"_fossil_", "the same"},
    {".overcommit.yml", "Overcommit: hooks of the repository"},
    {"captainhook.json", "CaptainHook: commands of git hooks that are installed already"},
    {"grumphp.yml", "the same, of GrumPHP"},
    {"grumphp.yml.dist", "the same"},
    {"grumphp.dist.yml", "the same"},
    {"rusty-hook.toml", "the same, of rusty-hook"},
    {".rusty-hook.toml", "the same"},
    {".gitlint", "gitlint, a hook of commits: its extra-path is a program"},
    {".trunk", "Trunk, which editors and git hooks start: commands"},
    {"_mtn", "monotone: its monotonerc is a program"},
    {".p4config", "Perforce, where P4CONFIG names it: P4PORT is a command"},
    {".sops.yaml", "sops: to whom the user's next secret is encrypted"},
    {".direnv", "direnv: its layouts put programs of it first into PATH"},
    {"_opam", "opam, at each prompt: the same"},
    {".envrc", "direnv, where its directory is on the list of those that need no question"},
    {".venv", "plug-ins of zsh, on entering: bin/activate is a script; editors start bin/python"},
    {"venv", "the same"}, /* but not env and ve, which name many things */
    {".virtualenv", "the same"},
    {"virtualenv", "the same"},
    {"node_modules", "editors and git hooks: programs of .bin, and those that checkers load"},
    {".env", "direnv with load_dotenv, and shells with a plug-in for it: the same"},
    {".tool-versions", "asdf: paths of programs"},
    {".sdkmanrc", "SDKMAN!, on entering: the same"},
    {".java-version", "jenv, when anything starts java: the path of one"},
    {".perl-version", "plenv: the same"},
    {"mise.toml", "mise: variables and hooks, on entering"},
    {".mise.toml", "the same"},
    {"mise.local.toml", "the same"},
    {".mise.local.toml", "the same"},
    {".mise", "the same"},
    {".rtx.toml", "the same, by its old name"},
    {"mise", "the same: its config.toml"},
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
    {".aider.model.settings.yml", "the same: where requests go, with the user's key"},
    {".opencode", "the same"},
    {"opencode.json", "the same"},
    {"opencode.jsonc", "the same"},
    {".windsurf", "the same"},
    {".kiro", "the same"},
    {".continue", "the same"},
    {".continuerc.json", "the same"},
    {".roo", "the same"},
    {".roomodes", "the same"},
    {".kilocode", "the same"},
    {".kilocodemodes", "the same"},
    {".clinerules", "the same"},
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
    {".vim", "Vim and Neovim with coc.nvim: commands of language servers"},
    {".lazy.lua", "Neovim with lazy.nvim"},
    {".neoconf.json", "Neovim with neoconf: commands of language servers"},
    {".nlsp-settings", "the same, with nlsp-settings"},
    {".lvimrc", "Vim with localvimrc"},
    {".vimrc.local", "the same"},
    {".local.vimrc", "the same"},
    {".gutctags", "Vim with gutentags: options of ctags, which say where it writes"},
    {"gtags.conf", "the same, and Emacs with ggtags: libraries that gtags loads"},
    {".ycm_extra_conf.py", "Vim with YouCompleteMe: a program"},
    {"compile_commands.json", "editors that check C: flags that load plug-ins"},
    {"compile_flags.txt", "the same"},
    {".ccls", "the same"},
    {"hie.yaml", "editors with Haskell's language server: names a program"},
    {".hie-bios", "the same: is one"},
    {".merlin", "editors with OCaml's: its -ppx names one"},
    {".bsp", "editors with Scala's, and IDEs: command lines of build servers"},
    {"rust-analyzer.toml", "editors with rust-analyzer: its overrideCommand"},
    {".rust-analyzer.toml", "the same"},
    {".rubocop.yml", "RuboCop in editors: files that it requires"},
    {".formatter.exs", "editors with Elixir's language server: a program"},
    {".ruby-lsp", "editors with Ruby's: the Gemfile in it is one"},
    {".externaltoolbuilders", "Eclipse: programs, at each build"},
    {".factorypath", "the same: jars of annotation processors"},
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
    {"irbrc", "the same, also in .config/irb"},
    {"irb.rc", "the same"},
    {"_irbrc", "the same"},
    {"$irbrc", "the same"},
    {".octaverc", "Octave"},
    {".pylintrc", "pylint in editors: its init-hook is a program"},
    {"pylintrc", "the same"},
    {".pylintrc.toml", "the same"},
    {"pylintrc.toml", "the same"},
    {"tslint.json", "tslint in editors: its rulesDirectory has programs"},
    {".flake8", "flake8 in editors: its local plugins are programs"},
    {"mypy.ini", "mypy in editors: its plugins are programs"},
    {".mypy.ini", "the same"},
};

/* ---- short names ---- */

/* On FAT and NTFS, a name that does not fit into eight and three characters has a second name that
 * does: "vscode~1" for ".vscode", "crush~1.jso" for "crush.json". If many names in a directory
 * begin with the same characters, only two of these are kept, followed by four hash digits:
 * "vsa1b2~1". */
enum { SHORT_BASE = 8, SHORT_EXT = 3, HASH_KEEPS = 2 };

struct short_name {
    size_t base;     /* characters before the "~" */
    size_t may_have; /* and how many could be there, given the length of the number */
    const char *ext; /* "" or ".jso" */
};

static bool is_short(const char *folded, struct short_name *out)
{
    out->base = strcspn(folded, "~");
    const char *number = folded + out->base + (folded[out->base] == '~');
    size_t digits = strspn(number, "0123456789");
    out->ext = number + digits;
    if (!digits || digits > SHORT_BASE - 2 || (*out->ext && *out->ext != '.'))
        return false;
    out->may_have = SHORT_BASE - 1 - digits;
    return out->base <= out->may_have;
}

/* Whether a name of the table is itself short, so that it has no second name. */
static bool fits(const char *name)
{
    const char *ext = strchrnul(name, '.');
    size_t base = (size_t)(ext - name);
    return base > 0 && base <= SHORT_BASE && strlen(ext) <= SHORT_EXT + 1 &&
           strchr(ext, '.') == strrchr(ext, '.');
}

static bool is_hash_of(const char *folded, const struct short_name *s, const char *begin)
{
    return s->base == s->may_have && memcmp(folded, begin, HASH_KEEPS) == 0 &&
           strspn(folded + HASH_KEEPS, "0123456789abcdef") >= s->base - HASH_KEEPS;
}

static bool is_short_of(const char *folded, const struct short_name *s, const char *name)
{
    char base[SHORT_BASE], ext[SHORT_EXT + 2] = "";
    size_t n = 0;
    name += strspn(name, ".");
    const char *last = strrchr(name, '.');
    for (; *name && name != last && n < s->may_have; name++)
        if (*name != '.')
            base[n++] = *name;
    if (last)
        (void)str_format(ext, sizeof ext, "%.*s", SHORT_EXT + 1, last);
    if (!str_eq(s->ext, ext))
        return false;
    if (s->base == n && memcmp(folded, base, n) == 0)
        return true;
    return n >= HASH_KEEPS && is_hash_of(folded, s, base);
}

/* Whether it is short for some name that begins like this: dots but the last one are not kept. */
static bool is_short_of_begin(const char *folded, const struct short_name *s, const char *begin)
{
    char base[NAME_MAX + 1];
    size_t n = 0;
    for (; *begin; begin++)
        if (*begin != '.')
            base[n++] = *begin;
    bool reaches = s->base >= n || s->base == s->may_have;
    return (reaches && memcmp(folded, base, s->base < n ? s->base : n) == 0) ||
           is_hash_of(folded, s, base);
}

/* Whether the name is `name` or its short name. */
static bool stands_for(const char *folded, const char *name)
{
    struct short_name s;
    return str_eq(folded, name) ||
           (!fits(name) && is_short(folded, &s) && is_short_of(folded, &s, name));
}

/* mise.ci.toml, .mise.ci.toml, and others with something else in the middle. */
static bool is_of_mise(const char *folded)
{
    struct short_name s;
    const char *name = folded + (*folded == '.');
    if (is_short(folded, &s))
        return is_short_of_begin(folded, &s, "mise") && str_eq(s.ext, ".tom");
    return str_has_prefix(name, "mise.") && str_has_suffix(name, ".toml");
}

/* .env.local, .envrc.private and the like, which the user's own .envrc may load without a question.
 * An .env.example does not count, because it is there for people to copy. */
static bool is_of_direnv(const char *folded)
{
    static const char *const begins[] = {".env.", ".envrc."};
    static const char *const ends[] = {"example", "sample", "template", "dist"};
    struct short_name s;
    if (is_short(folded, &s)) /* "env~1.loc", "envrc~1.pri", "envpro~1.loc" */
        return *s.ext && is_short_of_begin(folded, &s, ".env");
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_has_prefix(folded, begins[i])) {
            for (size_t j = 0; j < ARRAY_LEN(ends); j++)
                if (str_eq(folded + strlen(begins[i]), ends[j]))
                    return false;
            return true;
        }
    return false;
}

/* Checkers in editors and hooks, whose configuration is a program, or names one that is run or
 * loaded. */
static bool is_of_checker(const char *folded)
{
    static const char *const begins[] = {".eslintrc",        "eslint.config.",
                                         ".prettierrc",      "prettier.config.",
                                         ".lintstagedrc",    "lint-staged.config.",
                                         ".stylelintrc",     "stylelint.config.",
                                         ".huskyrc",         "husky.config.",
                                         ".commitlintrc",    "commitlint.config.",
                                         ".cspell",          "cspell.",
                                         ".textlintrc",      ".remarkrc",
                                         ".template-lintrc", ".markdownlint",
                                         ".xo-config",       "xo.config.",
                                         ".spectral",        ".oxlintrc",
                                         ".alexrc"};
    struct short_name s;
    bool is_abbreviated = is_short(folded, &s);
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_has_prefix(folded, begins[i]) ||
            (is_abbreviated && is_short_of_begin(folded, &s, begins[i])))
            return true;
    return false;
}

static bool is_obeyed(const char *component, size_t len, bool head_too)
{
    char folded[FOLDED_MAX];
    fold_name(component, len, folded);
    if (is_of_mise(folded) || is_of_direnv(folded) || is_of_checker(folded))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(obeyed); i++)
        if ((head_too || !str_eq(obeyed[i].name, HEAD)) && stands_for(folded, obeyed[i].name))
            return true;
    return false;
}

bool name_obeyed(const char *component, size_t len)
{
    return is_obeyed(component, len, true);
}

bool name_is_store(const char *component, size_t len)
{
    static const char *const stores[] = {".git", ".hg", ".sl", ".jj", "_darcs"};
    char folded[FOLDED_MAX];
    fold_name(component, len, folded);
    for (size_t i = 0; i < ARRAY_LEN(stores); i++)
        if (stands_for(folded, stores[i]))
            return true;
    return false;
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
