#include "fetch/name.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"
#include "fetch/fetch.h"
#include "sys/file.h"

enum { DEPTH_MAX = 64 };
_Static_assert(DEPTH_MAX + 16 < DIR_REMOVE_DEPTH, "what a guest sends can be removed again");

/* Whether the name has characters that would be escaped when shown. Bytes from 0xa0 on are allowed
 * even if they are not UTF-8, because they are letters in old encodings. Bytes below that are
 * control characters, which some terminals obey. */
static bool is_odd(const char *name)
{
    size_t at;
    for (size_t len; len = strlen(name), !text_ok(name, len, false, &at); name += at + 1) {
        uint32_t cp;
        if ((unsigned char)name[at] < 0xa0 || text_decode(name + at, len - at, &cp))
            return true;
    }
    return false;
}

enum name_verdict name_clean(const char *name, char *out, size_t size)
{
    size_t n = 0;
    int depth = 0;
    out[0] = '\0';
    if (!name || !*name || *name == '/')
        return NAME_HOSTILE;
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, "/");
        bool dot = len == 0 || (len == 1 && p[0] == '.');
        if ((len == 2 && p[0] == '.' && p[1] == '.') || len > NAME_MAX || ++depth > DEPTH_MAX)
            return NAME_HOSTILE;
        if (!dot && n + len + 2 > size)
            return NAME_HOSTILE;
        if (!dot) {
            if (n)
                out[n++] = '/';
            memcpy(out + n, p, len);
            n += len;
        }
        p += len;
        p += *p == '/';
    }
    out[n] = '\0';
    return is_odd(name) ? NAME_ODD : NAME_OK;
}

int fetch_home(const char *what, const char **path, struct error *err)
{
    const char *p = *path;
    if (*p != '~')
        return 0;
    if (p[1] && p[1] != '/')
        return error_set(err, ERR_USAGE, 0,
                         "%s: \"%s\" begins with the home of another user; next: write its whole "
                         "path, or ./%s for a file with this name",
                         what, p, p);
    p++;
    *path = p + strspn(p, "/");
    return 1;
}

int fetch_check_glob(const char *glob, struct error *err)
{
    char clean[PATH_MAX];
    const char *rest = glob;
    if (fetch_home("the pattern", &rest, err) < 0)
        return -1;
    if (name_clean(rest, clean, sizeof clean) != NAME_OK || !*clean)
        return error_set(
            err, ERR_USAGE, 0,
            "the pattern \"%s\" must be relative to the work directory, or begin with ~/, without "
            "\"..\" and without characters that can't be seen",
            glob);
    return 0;
}

/* One component, of a glob or of a path. */
struct component {
    const char *text;
    size_t len;
};

static struct component first_of(const char *path)
{
    return (struct component){path, strcspn(path, "/")};
}

/* The beginning of the next component, or the end. */
static const char *after(struct component c)
{
    return c.text + c.len + (c.text[c.len] == '/');
}

/* Compares one component with one component of a glob. */
static bool match_component(struct component glob, struct component name, bool is_obeyed)
{
    char g[NAME_MAX + 1];
    char n[NAME_MAX + 1];
    if (str_format(g, sizeof g, "%.*s", (int)glob.len, glob.text) < 0 ||
        str_format(n, sizeof n, "%.*s", (int)name.len, name.text) < 0)
        return false;
    return is_obeyed ? str_eq(g, n) : fnmatch(g, n, FNM_PERIOD) == 0;
}

/* A glob with all the places in it that the path so far leads to. place[i] is the one before
 * component i; the one behind the last is the end. Each component of the path is looked at once:
 * to try one way after the other would take a time that grows with each "**" (the guest chooses the
 * path). */
struct matching {
    struct component glob[DEPTH_MAX];
    size_t n;
    bool place[DEPTH_MAX + 1];
};

static bool any_depth(struct component c)
{
    return c.len == 2 && memcmp(c.text, "**", 2) == 0;
}

/* "**" stands for no component too, but not as the last one. */
static void skip_any_depth(struct matching *m)
{
    for (size_t i = 0; i + 1 < m->n; i++)
        m->place[i + 1] |= m->place[i] && any_depth(m->glob[i]);
}

/* "**" does not match hidden names and those that tools obey: they have to be written out. */
static void advance(struct matching *m, struct component name)
{
    bool next[DEPTH_MAX + 1] = {false};
    bool is_obeyed = name_obeyed(name.text, name.len);
    bool is_hidden = is_obeyed || *name.text == '.';
    for (size_t i = 0; i < m->n; i++) {
        bool deep = any_depth(m->glob[i]);
        if (!m->place[i] || (deep ? is_hidden : !match_component(m->glob[i], name, is_obeyed)))
            continue;
        next[i] |= deep;
        next[i + 1] |= !deep || i + 1 == m->n;
    }
    memcpy(m->place, next, sizeof next);
    skip_any_depth(m);
}

/* The glob is clean, so it has at most DEPTH_MAX components. */
static bool match(const char *glob, const char *path)
{
    struct matching m = {.place = {true}};
    for (; *glob; glob = after(m.glob[m.n++]))
        m.glob[m.n] = first_of(glob);
    skip_any_depth(&m);
    for (; *path; path = after(first_of(path)))
        advance(&m, first_of(path));
    return m.place[m.n];
}

bool fetch_glob_match(const char *glob, const char *path)
{
    char clean[PATH_MAX];
    return name_clean(glob, clean, sizeof clean) == NAME_OK && match(clean, path);
}
