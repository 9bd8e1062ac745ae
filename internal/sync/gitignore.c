/* gitignore.c: a pattern is compiled to tokens once; a match keeps the set of all places in the
 * pattern where the text may have got to, so no pattern takes more than its length times the
 * text's. The meaning is that of git's dir.c and wildmatch.c, oddities included. */
#include "sync/gitignore.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

enum token_kind {
    T_CHAR,
    T_SET,      /* one byte of the set, never a slash */
    T_STAR,     /* any bytes but slashes */
    T_DEEP,     /* any bytes */
    T_DEEP_DIR, /* nothing, or any bytes that end in a slash */
    T_NEVER,    /* a bracket that is not closed, a lone backslash: nothing matches */
};

struct gitignore_token {
    enum token_kind kind;
    unsigned char c;
    uint64_t set[4];
};

static void set_add(struct gitignore_token *t, unsigned char c)
{
    t->set[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool set_has(const struct gitignore_token *t, unsigned char c)
{
    return t->set[c / 64] >> (c % 64) & 1;
}

static int is_blank(int c)
{
    return c == ' ' || c == '\t';
}

/* git's own notion. */
static int is_space(int c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

/* "[:alpha:]", its name at s. False if there is no such class. */
static bool set_add_class(struct gitignore_token *t, const char *s, size_t len)
{
    static const struct {
        const char *name;
        int (*has)(int);
    } classes[] = {{"alnum", isalnum},  {"alpha", isalpha}, {"blank", is_blank},
                   {"cntrl", iscntrl},  {"digit", isdigit}, {"graph", isgraph},
                   {"lower", islower},  {"print", isprint}, {"punct", ispunct},
                   {"space", is_space}, {"upper", isupper}, {"xdigit", isxdigit}};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (strlen(classes[i].name) != len || memcmp(classes[i].name, s, len) != 0)
            continue;
        for (int c = 1; c < 128; c++)
            if (classes[i].has(c))
                set_add(t, (unsigned char)c);
        return true;
    }
    return false;
}

/* One member of a set, at p. *prev is the byte that a range could begin with, 0 for none. Returns
 * the last byte that it took, NULL if the set is not well formed. */
static const char *set_member(struct gitignore_token *t, const char *p, unsigned char *prev)
{
    if (*p == '-' && *prev && p[1] && p[1] != ']') {
        p++;
        if (*p == '\\' && !*++p)
            return NULL;
        for (unsigned c = *prev; c <= (unsigned char)*p; c++)
            set_add(t, (unsigned char)c);
        *prev = 0;
        return p;
    }
    if (p[0] == '[' && p[1] == ':') {
        const char *name = p + 2;
        const char *end = strchr(name, ']');
        if (!end)
            return NULL;
        if (end > name && end[-1] == ':') {
            *prev = 0;
            return set_add_class(t, name, (size_t)(end - name) - 1) ? end : NULL;
        }
    }
    if (*p == '\\' && !*++p)
        return NULL;
    set_add(t, (unsigned char)*p);
    *prev = (unsigned char)*p;
    return p;
}

/* A bracket expression at p. Returns what follows it, NULL if it is not well formed. */
static const char *compile_set(struct gitignore_token *t, const char *p)
{
    unsigned char prev = 0;
    t->kind = T_SET;
    p++;
    bool inverted = *p == '!' || *p == '^';
    p += inverted;
    do {
        if (!*p)
            return NULL;
        p = set_member(t, p, &prev);
        if (!p)
            return NULL;
        p++;
    } while (*p != ']');
    for (size_t i = 0; inverted && i < ARRAY_LEN(t->set); i++)
        t->set[i] = ~t->set[i];
    t->set['/' / 64] &= ~(UINT64_C(1) << ('/' % 64));
    return p + 1;
}

/* One or more stars at p. Two count as such only where they are a component of their own. */
static const char *compile_star(struct gitignore_token *t, const char *start, const char *p)
{
    const char *end = p + strspn(p, "*");
    bool own = end - p > 1 && (p == start || p[-1] == '/') &&
               (!*end || *end == '/' || (end[0] == '\\' && end[1] == '/'));
    t->kind = T_STAR;
    if (!own)
        return end;
    t->kind = *end == '/' ? T_DEEP_DIR : T_DEEP;
    return end + (*end == '/');
}

static const char *compile_token(struct gitignore_token *t, const char *start, const char *p)
{
    if (*p == '*')
        return compile_star(t, start, p);
    if (*p == '[')
        return compile_set(t, p);
    if (*p == '?') {
        t->kind = T_SET;
        memset(t->set, 0xff, sizeof t->set);
        t->set['/' / 64] &= ~(UINT64_C(1) << ('/' % 64));
        return p + 1;
    }
    if (*p == '\\' && !*++p)
        return NULL;
    t->kind = T_CHAR;
    t->c = (unsigned char)*p;
    return p + 1;
}

static void compile(struct gitignore_pattern *pat)
{
    const char *start = pat->text + pat->literal;
    const char *p = start;
    if (!*p)
        return;
    pat->tokens = xcalloc(strlen(p), sizeof *pat->tokens);
    while (*p) {
        struct gitignore_token *t = &pat->tokens[pat->n_tokens++];
        p = compile_token(t, start, p);
        if (!p) {
            t->kind = T_NEVER;
            return;
        }
    }
}

/* Puts place i into the set, with those that are reached from it without a byte. */
static void enter(const struct gitignore_pattern *pat, bool *at, size_t i)
{
    while (!at[i]) {
        at[i] = true;
        if (i == pat->n_tokens || pat->tokens[i].kind < T_STAR || pat->tokens[i].kind == T_NEVER)
            return;
        i++;
    }
}

static void step(const struct gitignore_pattern *pat, size_t i, unsigned char c, bool *next)
{
    const struct gitignore_token *t = &pat->tokens[i];
    if ((t->kind == T_CHAR && t->c == c) || (t->kind == T_SET && set_has(t, c))) {
        enter(pat, next, i + 1);
    } else if (t->kind == T_DEEP || (t->kind == T_STAR && c != '/')) {
        enter(pat, next, i);
    } else if (t->kind == T_DEEP_DIR) {
        /* Not by way of enter: what follows may come only after a slash. */
        if (c == '/')
            enter(pat, next, i + 1);
        next[i] = true;
    }
}

static bool match_tokens(const struct gitignore_pattern *pat, const char *text)
{
    size_t n = pat->n_tokens;
    _cleanup_free_ bool *places = xcalloc(2 * (n + 1), sizeof *places);
    bool *now = places;
    bool *next = places + n + 1;
    enter(pat, now, 0);
    for (; *text; text++) {
        memset(next, 0, n + 1);
        for (size_t i = 0; i < n; i++)
            if (now[i])
                step(pat, i, (unsigned char)*text, next);
        if (!memchr(next, 1, n + 1))
            return false;
        bool *swap = now;
        now = next;
        next = swap;
    }
    return now[n];
}

/* `name` begins below the directory of the pattern's file. */
static bool match_pattern(const struct gitignore_pattern *p, const char *name, const char *base,
                          bool is_dir)
{
    if (p->dir_only && !is_dir)
        return false;
    const char *text = p->base_name ? base : name;
    if (p->suffix) {
        size_t len = strlen(text);
        return len >= p->len - 1 && memcmp(text + len - (p->len - 1), p->text + 1, p->len - 1) == 0;
    }
    if (strncmp(text, p->text, p->literal) != 0)
        return false;
    if (!p->tokens)
        return !text[p->literal];
    return match_tokens(p, text + p->literal);
}

bool gitignore_match(const struct gitignore *g, const char *path, bool is_dir)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    for (; g; g = g->above)
        for (size_t i = g->n; i-- > 0;)
            if (match_pattern(&g->patterns[i], path + g->base, base, is_dir))
                return !g->patterns[i].negated;
    return false;
}

/* Blanks at the end go unless a backslash stands before the first of them. */
static void trim(char *line)
{
    char *blank = NULL;
    for (char *p = line; *p; p++) {
        if (*p == ' ') {
            blank = blank ? blank : p;
            continue;
        }
        if (*p == '\\' && !*++p)
            return;
        blank = NULL;
    }
    if (blank)
        *blank = '\0';
}

static void add_pattern(struct gitignore *g, const char *line)
{
    struct gitignore_pattern p = {0};
    p.negated = *line == '!';
    line += p.negated;
    size_t len = strlen(line);
    if (len && line[len - 1] == '/') {
        p.dir_only = true;
        len--;
    }
    p.base_name = !memchr(line, '/', len);
    if (!p.base_name && *line == '/') {
        line++;
        len--;
    }
    if (!len)
        return; /* matches nothing */
    p.text = xasprintf("%.*s", (int)len, line);
    p.len = len;
    p.literal = strcspn(p.text, "*?[\\");
    p.suffix = p.base_name && *p.text == '*' && !p.text[1 + strcspn(p.text + 1, "*?[\\")];
    if (!p.suffix)
        compile(&p);
    if (g->n == g->alloc) {
        g->alloc = g->alloc ? 2 * g->alloc : 16;
        g->patterns = xrealloc(g->patterns, g->alloc * sizeof p);
    }
    g->patterns[g->n++] = p;
}

int gitignore_parse(struct gitignore *g, const char *text, size_t len)
{
    const char *end = text + len;
    g->bytes += len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        if (n > GITIGNORE_LINE_MAX)
            return -1;
        _cleanup_free_ char *line = xcalloc(1, n + 1);
        memcpy(line, text, n);
        if (n && line[n - 1] == '\r')
            line[n - 1] = '\0';
        if (*line != '#') {
            trim(line);
            add_pattern(g, line);
        }
        text += n + 1;
        if (!newline)
            break;
    }
    return 0;
}

void gitignore_free(struct gitignore *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->patterns[i].text);
        free(g->patterns[i].tokens);
    }
    free(g->patterns);
    *g = (struct gitignore){0};
}
