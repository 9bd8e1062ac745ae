/* ignore.c: patterns in the syntax of .gitignore.
 *
 * ignore_add turns lines into patterns; ignore_find tries them from the last to the first, for the
 * path and each directory above it, as git does. Patterns come from the repository, so the matching
 * of a hostile one must not take long. ignore_glob goes back only to the last `*` in a component
 * and to the last `**`, because going back to earlier ones can't help. And each step counts
 * (effort.h): when too many were taken, the sync ends with an error.
 */
#include "sync/ignore.h"

#include <string.h>

#include "base/str.h"
#include "sync/charclass.h"
#include "sync/gitignore.h"

/* In units of effort. */
enum { GLOB_COST = 2, STEP_COST = 1 };

/* "[a-z]" or "[[:digit:]_]" at g against c. Returns the character after the class, NULL if it is
 * not closed. */
static const char *match_class(const char *g, unsigned char c, bool *hit)
{
    const char *p = g + 1;
    const char *close = p;
    bool inverted = *p == '!' || *p == '^';
    bool found = false;
    p += inverted;
    for (bool first = true; *p && (first || *p != ']'); first = false) {
        const struct charclass *named;
        const char *after = charclass_read(p, &close, &named);
        if (after) {
            found = found || (named && charclass_has(named, c));
            p = after;
            continue;
        }
        if (*p == '\\' && p[1])
            p++;
        unsigned char low = (unsigned char)*p++;
        unsigned char high = low;
        if (*p == '-' && p[1] && p[1] != ']') {
            p++;
            if (*p == '\\' && p[1])
                p++;
            high = (unsigned char)*p++;
        }
        found = found || (low <= c && c <= high);
    }
    if (!*p)
        return NULL;
    *hit = found != inverted && c != '/';
    return p + 1;
}

/* To the end of the glob where it is not closed. */
static size_t class_length(const char *g)
{
    bool hit;
    const char *after = match_class(g, 0, &hit);
    return after ? (size_t)(after - g) : strlen(g);
}

/* One character of the glob against one of the text. Returns the rest of the glob, or NULL. */
static const char *match_one(const char *g, char c)
{
    bool hit = false;
    if (*g == '?')
        return c != '/' ? g + 1 : NULL;
    if (*g == '[') {
        const char *rest = match_class(g, (unsigned char)c, &hit);
        if (rest)
            return hit ? rest : NULL;
        return c == '[' ? g + 1 : NULL; /* not closed: a plain bracket */
    }
    if (*g == '\\' && g[1])
        g++;
    return *g && *g == c ? g + 1 : NULL;
}

/* Where to go on when the text no longer fits: the last `*` (within its component) and the last
 * `**`. Going back to earlier ones can't help, which is what keeps this cheap. */
struct retry {
    const char *glob; /* after the star; NULL: none */
    const char *text; /* where its next try starts */
};

static bool is_double_star(const char *g)
{
    return g[0] == '*' && g[1] == '*';
}

/* A run of stars and a class are read to their end each time. */
static int64_t step_cost(const char *g)
{
    size_t len = 0;
    if (*g == '*')
        len = strspn(g, "*");
    else if (*g == '[')
        len = class_length(g);
    return STEP_COST + (int64_t)len;
}

bool ignore_glob(const char *glob, const char *text, struct effort *e)
{
    struct retry star = {NULL, NULL};
    struct retry deep = {NULL, NULL};
    const char *g = glob;
    const char *t = text;
    while (*t) {
        if (!effort_spend(e, step_cost(g)))
            return false;
        if (is_double_star(g)) {
            g += strspn(g, "*");
            if (!*g)
                return true;
            /* A double star with its slash also stands for no directory at all. */
            if (*g == '/')
                g++;
            deep = (struct retry){g, t};
            star.glob = NULL;
            continue;
        }
        if (*g == '*') {
            star = (struct retry){++g, t};
            continue;
        }
        const char *rest = match_one(g, *t);
        if (rest) {
            g = rest;
            t++;
        } else if (star.glob && *star.text != '/') {
            g = star.glob;
            t = ++star.text;
        } else if (deep.glob) {
            /* After a slash in the glob only component starts count. */
            bool component = deep.glob[-1] == '/';
            do {
                deep.text++;
            } while (component && *deep.text && deep.text[-1] != '/');
            if (!*deep.text)
                return false;
            star.glob = NULL;
            g = deep.glob;
            t = deep.text;
        } else {
            return false;
        }
    }
    while (*g == '*')
        g++;
    return !*g;
}

/* Cuts comments, the newline and unquoted blanks at the end; "" if nothing is left. */
static size_t line_length(const char *line, size_t len)
{
    if (len && line[0] == '#')
        return 0;
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r')) {
        if (len > 1 && line[len - 2] == '\\')
            break;
        len--;
    }
    return len;
}

/* A class that does not exist would match nothing, and what it was to leave out would be sent. */
static int check_classes(const char *glob, const char *what, struct effort *e, struct error *err)
{
    const struct charclass *named;
    const char *close = glob;
    for (const char *g = glob; *g && effort_spend(e, 2 * step_cost(g));) {
        bool hit;
        const char *after = *g == '[' ? match_class(g, 0, &hit) : NULL;
        if (*g == '\\' && g[1])
            g++;
        for (const char *p = g + 1; after && p < after; p += *p == '\\' && p[1] ? 2 : 1)
            if (charclass_read(p, &close, &named) && !named)
                return error_set(err, ERR_SYNC, 0,
                                 "%s has the pattern %s with %.*s, which is no class of "
                                 "characters; next: take one of [:alnum:] [:alpha:] [:blank:] "
                                 "[:cntrl:] [:digit:] [:graph:] [:lower:] [:print:] [:punct:] "
                                 "[:space:] [:upper:] [:xdigit:]",
                                 what, glob, (int)strcspn(p, "]") + 1, p);
        g = after ? after : g + 1;
    }
    return 0;
}

static int add_line(struct ignore *ig, const char *line, size_t len, const char *what,
                    struct effort *e, struct error *err)
{
    struct ignore_pattern p = {0};
    len = line_length(line, len);
    if (len && line[0] == '!') {
        p.negated = true;
        line++;
        len--;
    }
    if (len && line[len - 1] == '/') {
        p.dir_only = true;
        len--;
    }
    p.anchored = memchr(line, '/', len) != NULL;
    if (len && line[0] == '/') {
        line++;
        len--;
    }
    if (len == 0)
        return 0;
    if (len > GITIGNORE_LINE_MAX)
        return error_set(err, ERR_SYNC, 0,
                         "%s has a line of more than %d bytes; next: make several of it", what,
                         GITIGNORE_LINE_MAX);
    p.glob = xasprintf("%.*s", (int)len, line);
    if (ig->n == ig->alloc) {
        ig->alloc = ig->alloc ? 2 * ig->alloc : 16;
        ig->patterns = xrealloc(ig->patterns, ig->alloc * sizeof p);
    }
    ig->patterns[ig->n++] = p;
    ig->has_negated = ig->has_negated || p.negated;
    return check_classes(p.glob, what, e, err);
}

int ignore_add(struct ignore *ig, const char *text, const char *what, struct effort *e,
               struct error *err)
{
    for (const char *line = text; line && *line && !(e && e->stop);) {
        size_t len = strcspn(line, "\n");
        if (add_line(ig, line, len, what, e, err) < 0)
            return -1;
        line += len + (line[len] == '\n');
    }
    return 0;
}

void ignore_free(struct ignore *ig)
{
    for (size_t i = 0; i < ig->n; i++)
        free(ig->patterns[i].glob);
    free(ig->patterns);
    *ig = (struct ignore)IGNORE_INIT;
}

/* One pattern against one path, without regard to the path's parents. */
static bool match_self(const struct ignore_pattern *p, const char *path, bool is_dir,
                       struct effort *e)
{
    if (!effort_spend(e, GLOB_COST) || (p->dir_only && !is_dir))
        return false;
    const char *slash = strrchr(path, '/');
    return ignore_glob(p->glob, p->anchored || !slash ? path : slash + 1, e);
}

/* One pattern against a path and each directory above it. `path` is changed and restored. */
static bool match_any_level(const struct ignore_pattern *p, char *path, bool is_dir,
                            struct effort *e)
{
    if (match_self(p, path, is_dir, e))
        return true;
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool hit = match_self(p, path, true, e);
        *slash = '/';
        if (hit)
            return true;
    }
    return false;
}

const struct ignore_pattern *ignore_find(const struct ignore *ig, const char *path, bool is_dir,
                                         struct effort *e)
{
    if (ig->n == 0)
        return NULL;
    _cleanup_free_ char *copy = xstrdup(path);
    for (size_t i = ig->n; i-- > 0 && !(e && e->stop);)
        if (match_any_level(&ig->patterns[i], copy, is_dir, e))
            return &ig->patterns[i];
    return NULL;
}

bool ignore_match(const struct ignore *ig, const char *path, bool is_dir, struct effort *e)
{
    const struct ignore_pattern *p = ignore_find(ig, path, is_dir, e);
    return p && !p->negated;
}
