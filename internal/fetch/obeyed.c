/* obeyed.c: whether a name of the table (obeyed_names.c), or one of a family that is known by how
 * its names begin and end, is meant by a name, however it is spelled. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "fetch/fold.h"
#include "fetch/name.h"
#include "fetch/obeyed_names.h"

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

/* .terraform-version, .scala-version and the like: scripts of one origin read them, most of which
 * take a path with .. in it. The table has the usual ones as well, for their short names. */
static bool is_of_version(const char *folded)
{
    return *folded == '.' && str_has_suffix(folded, "-version");
}

/* What gdb runs when it loads a program or library of that name, where the user has allowed it. */
static bool is_of_gdb(const char *folded)
{
    static const char *const ends[] = {"-gdb.gdb", "-gdb.py", "-gdb.scm"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_has_suffix(folded, ends[i]))
            return true;
    return false;
}

/* Checkers in editors and hooks, whose configuration is a program, or names one that is run or
 * loaded. */
static bool is_of_checker(const char *folded)
{
    static const char *const begins[] = {".eslintrc",
                                         "eslint.config.",
                                         ".prettierrc",
                                         "prettier.config.",
                                         ".lintstagedrc",
                                         "lint-staged.config.",
                                         ".stylelintrc",
                                         "stylelint.config.",
                                         ".huskyrc",
                                         "husky.config.",
                                         ".commitlintrc",
                                         "commitlint.config.",
                                         ".cspell",
                                         "cspell.",
                                         ".textlintrc",
                                         ".remarkrc",
                                         ".template-lintrc",
                                         ".markdownlint",
                                         ".xo-config",
                                         "xo.config.",
                                         ".spectral",
                                         ".oxlintrc",
                                         ".alexrc",
                                         ".cmake-format",
                                         "cmake-format.",
                                         ".phpcs.xml",
                                         "phpcs.xml",
                                         ".php-cs-fixer.",
                                         ".php_cs",
                                         ".phpactor.",
                                         ".pug-lintrc",
                                         ".pymarkdown",
                                         ".prospector",
                                         "prospector.",
                                         ".golangci.",
                                         ".luarc.json",
                                         ".graphqlrc",
                                         "graphql.config.",
                                         ".solhint",
                                         "solhint.config.",
                                         ".jscs",
                                         ".groovylintrc",
                                         ".htmllintrc",
                                         ".linthtml",
                                         ".secretlintrc",
                                         ".nano-staged",
                                         "nano-staged.",
                                         "svelte.config.",
                                         "vetur.config.",
                                         "tailwind.config."};
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
    if (is_of_mise(folded) || is_of_direnv(folded) || is_of_checker(folded) ||
        is_of_version(folded) || is_of_gdb(folded))
        return true;
    for (size_t i = 0; i < obeyed_names_n; i++)
        if ((head_too || !str_eq(obeyed_names[i].name, OBEYED_HEAD)) &&
            stands_for(folded, obeyed_names[i].name))
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
