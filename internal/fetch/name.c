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

int fetch_check_glob(const char *glob, struct error *err)
{
    char clean[PATH_MAX];
    if (name_clean(glob, clean, sizeof clean) != NAME_OK || !*clean)
        return error_set(
            err, ERR_USAGE, 0,
            "the pattern \"%s\" must be relative to the work directory, without \"..\" and without "
            "characters that can't be seen",
            glob);
    return 0;
}

/* Compares one component with one component of a glob. */
static bool match_component(const char *glob, size_t glob_len, const char *name, size_t name_len)
{
    char g[NAME_MAX + 1];
    char n[NAME_MAX + 1];
    if (str_format(g, sizeof g, "%.*s", (int)glob_len, glob) < 0 ||
        str_format(n, sizeof n, "%.*s", (int)name_len, name) < 0)
        return false;
    return name_obeyed(n, name_len) ? str_eq(g, n) : fnmatch(g, n, FNM_PERIOD) == 0;
}

/* Names that "**" does not match: they have to be written out. */
static bool hidden(const char *name, size_t len)
{
    return *name == '.' || name_obeyed(name, len);
}

/* The beginning of the next component, or the end. */
static const char *after(const char *p, size_t len)
{
    return p + len + (p[len] == '/');
}

static bool match(const char *glob, const char *path)
{
    if (!*glob || !*path)
        return !*glob && !*path;
    size_t g = strcspn(glob, "/");
    size_t p = strcspn(path, "/");
    if (g == 2 && memcmp(glob, "**", 2) == 0) {
        if (glob[g] && match(after(glob, g), path))
            return true;
        if (hidden(path, p))
            return false;
        return (!glob[g] && !path[p]) || match(glob, after(path, p));
    }
    return match_component(glob, g, path, p) && match(after(glob, g), after(path, p));
}

bool fetch_glob_match(const char *glob, const char *path)
{
    char clean[PATH_MAX];
    return name_clean(glob, clean, sizeof clean) == NAME_OK && match(clean, path);
}
