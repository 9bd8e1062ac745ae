/* gitignore.c: a pattern is compiled to tokens once; a match keeps the set of all places in the
 * pattern where the text may have got to, so no pattern takes more than its length times the
 * text's. The meaning is that of git's dir.c and wildmatch.c, oddities included. */
#include "sync/gitignore.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "sync/charclass.h"

enum token_kind {
    T_CHAR,
    T_ANY,      /* one byte that is no slash */
    T_SET,      /* one byte of the set, never a slash */
    T_STAR,     /* any bytes but slashes */
    T_DEEP,     /* any bytes */
    T_DEEP_DIR, /* nothing, or any bytes that end in a slash */
    T_NEVER,    /* a bracket that is not closed, a lone backslash: nothing matches */
};

struct gitignore_set {
    uint64_t bits[4];
};

struct gitignore_token {
    uint8_t kind;
    unsigned char c;
    uint16_t set; /* of those of the pattern */
};

/* In units of effort: a pattern that is looked at, one whose tokens are, and a byte that is
 * compiled. */
enum { PATTERN_COST = 1, MATCH_COST = 4, PARSE_COST = 8 };
/* What one unit compares. */
enum { BYTES_COMPARED = 16 };

static void set_add(struct gitignore_set *t, unsigned char c)
{
    t->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool set_has(const struct gitignore_set *t, unsigned char c)
{
    return t->bits[c / 64] >> (c % 64) & 1;
}

/* One member of a set, at p. *prev is the byte that a range could begin with, 0 for none. Returns
 * the last byte that it took, NULL if the set is not well formed. */
static const char *set_member(struct gitignore_set *t, const char *p, const char **close,
                              unsigned char *prev)
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
    const struct charclass *named;
    const char *after = charclass_read(p, close, &named);
    if (after) {
        *prev = 0;
        for (unsigned c = 1; named && c < 128; c++)
            if (charclass_has(named, (unsigned char)c))
                set_add(t, (unsigned char)c);
        return named ? after - 1 : NULL;
    }
    if (*p == '\\' && !*++p)
        return NULL;
    set_add(t, (unsigned char)*p);
    *prev = (unsigned char)*p;
    return p;
}

/* A bracket expression at p. Returns what follows it, NULL if it is not well formed. */
static const char *compile_set(struct gitignore_set *t, const char *p)
{
    unsigned char prev = 0;
    const char *close = p;
    p++;
    bool inverted = *p == '!' || *p == '^';
    p += inverted;
    do {
        if (!*p)
            return NULL;
        p = set_member(t, p, &close, &prev);
        if (!p)
            return NULL;
        p++;
    } while (*p != ']');
    for (size_t i = 0; inverted && i < ARRAY_LEN(t->bits); i++)
        t->bits[i] = ~t->bits[i];
    t->bits['/' / 64] &= ~(UINT64_C(1) << ('/' % 64));
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

static struct gitignore_set *new_set(struct gitignore *g)
{
    if (g->n_sets == g->sets_alloc) {
        g->sets_alloc = g->sets_alloc ? 2 * g->sets_alloc : 4;
        g->sets = xrealloc(g->sets, g->sets_alloc * sizeof *g->sets);
    }
    g->sets[g->n_sets] = (struct gitignore_set){0};
    return &g->sets[g->n_sets++];
}

static struct gitignore_token *new_token(struct gitignore *g)
{
    if (g->n_tokens == g->tokens_alloc) {
        g->tokens_alloc = g->tokens_alloc ? 2 * g->tokens_alloc : 32;
        g->tokens = xrealloc(g->tokens, g->tokens_alloc * sizeof *g->tokens);
    }
    g->tokens[g->n_tokens] = (struct gitignore_token){0};
    return &g->tokens[g->n_tokens++];
}

static const char *compile_token(struct gitignore *g, const struct gitignore_pattern *pat,
                                 struct gitignore_token *t, const char *start, const char *p)
{
    if (*p == '*')
        return compile_star(t, start, p);
    if (*p == '[') {
        t->kind = T_SET;
        t->set = (uint16_t)(g->n_sets - pat->sets);
        return compile_set(new_set(g), p);
    }
    if (*p == '?') {
        t->kind = T_ANY;
        return p + 1;
    }
    if (*p == '\\' && !*++p)
        return NULL;
    t->kind = T_CHAR;
    t->c = (unsigned char)*p;
    return p + 1;
}

static void compile(struct gitignore *g, struct gitignore_pattern *pat)
{
    const char *start = g->text + pat->text + pat->literal;
    const char *p = start;
    pat->tokens = (uint32_t)g->n_tokens;
    pat->sets = (uint32_t)g->n_sets;
    while (*p) {
        struct gitignore_token *t = new_token(g);
        pat->n_tokens++;
        p = compile_token(g, pat, t, start, p);
        if (!p) {
            t->kind = T_NEVER;
            return;
        }
    }
}

/* Where in a pattern the text may have got to: nowhere below `low` nor from `high` on. */
struct places {
    size_t low, high;
    bool at[GITIGNORE_LINE_MAX + 1];
};

struct matcher {
    const struct gitignore_token *tokens;
    const struct gitignore_set *sets;
    size_t n;
    struct places places[2];
};

static void mark(struct places *s, size_t i)
{
    s->at[i] = true;
    s->low = i < s->low ? i : s->low;
    s->high = i < s->high ? s->high : i + 1;
}

static void clear(struct places *s)
{
    if (s->high > s->low)
        memset(s->at + s->low, 0, s->high - s->low);
    s->low = SIZE_MAX;
    s->high = 0;
}

/* Puts place i into the set, with those that are reached from it without a byte. */
static void enter(const struct matcher *m, struct places *s, size_t i)
{
    while (!s->at[i]) {
        mark(s, i);
        if (i == m->n || m->tokens[i].kind < T_STAR || m->tokens[i].kind == T_NEVER)
            return;
        i++;
    }
}

static void step(const struct matcher *m, size_t i, unsigned char c, struct places *next)
{
    const struct gitignore_token *t = &m->tokens[i];
    if ((t->kind == T_CHAR && t->c == c) || (t->kind == T_ANY && c != '/') ||
        (t->kind == T_SET && set_has(&m->sets[t->set], c))) {
        enter(m, next, i + 1);
    } else if (t->kind == T_DEEP || (t->kind == T_STAR && c != '/')) {
        enter(m, next, i);
    } else if (t->kind == T_DEEP_DIR) {
        /* Not by way of enter: what follows may come only after a slash. */
        if (c == '/')
            enter(m, next, i + 1);
        mark(next, i);
    }
}

static bool match_tokens(const struct gitignore *g, const struct gitignore_pattern *pat,
                         const char *text, struct effort *e)
{
    struct matcher m;
    struct places *now = &m.places[0];
    struct places *next = &m.places[1];
    /* A list without a set, or of empty patterns only, has no array. */
    static const struct gitignore_token no_token[1];
    static const struct gitignore_set no_set[1];
    m.tokens = g->tokens ? g->tokens + pat->tokens : no_token;
    m.sets = g->sets ? g->sets + pat->sets : no_set;
    m.n = pat->n_tokens;
    for (size_t i = 0; i < ARRAY_LEN(m.places); i++) {
        m.places[i].low = 0;
        m.places[i].high = m.n + 1;
        clear(&m.places[i]);
    }
    enter(&m, now, 0);
    if (!effort_spend(e, MATCH_COST))
        return false;
    for (; *text; text++) {
        if (!effort_spend(e, (int64_t)(now->high - now->low)))
            return false;
        /* Nowhere but before a directory: nothing else can happen up to the next slash. */
        if (now->high - now->low == 1 && now->low < m.n && m.tokens[now->low].kind == T_DEEP_DIR) {
            text = strchr(text, '/');
            if (!text)
                return false;
        }
        for (size_t i = now->low; i < now->high && i < m.n; i++)
            if (now->at[i])
                step(&m, i, (unsigned char)*text, next);
        if (next->high == 0)
            return false;
        clear(now);
        struct places *swap = now;
        now = next;
        next = swap;
    }
    return now->at[m.n];
}

/* `name` begins below the directory of the pattern's file. */
static bool match_pattern(const struct gitignore *g, const struct gitignore_pattern *p,
                          const char *name, const char *base, bool is_dir, struct effort *e)
{
    if (p->dir_only && !is_dir)
        return false;
    /* Texts that begin alike are compared to the end. */
    if (!effort_spend(e, (p->suffix ? p->len : p->literal) / BYTES_COMPARED))
        return false;
    const char *own = g->text + p->text;
    const char *text = p->base_name ? base : name;
    if (p->suffix) {
        size_t len = strlen(text);
        size_t want = p->len - 1U;
        return len >= want && memcmp(text + len - want, own + 1, want) == 0;
    }
    if (strncmp(text, own, p->literal) != 0)
        return false;
    if (!p->n_tokens)
        return !text[p->literal];
    return match_tokens(g, p, text + p->literal, e);
}

bool gitignore_match(const struct gitignore *g, const char *path, bool is_dir, struct effort *e)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    for (; g; g = g->above)
        for (size_t i = g->n; i-- > 0;) {
            if (!effort_spend(e, PATTERN_COST))
                return false;
            if (match_pattern(g, &g->patterns[i], path + g->base, base, is_dir, e))
                return !g->patterns[i].negated;
        }
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
    char *text = g->text + g->text_len;
    memcpy(text, line, len);
    text[len] = '\0';
    p.text = (uint32_t)g->text_len;
    g->text_len += len + 1;
    p.len = (uint16_t)len;
    p.literal = (uint16_t)strcspn(text, "*?[\\");
    p.suffix = p.base_name && *text == '*' && !text[1 + strcspn(text + 1, "*?[\\")];
    if (!p.suffix)
        compile(g, &p);
    if (g->n == g->alloc) {
        g->alloc = g->alloc ? 2 * g->alloc : 16;
        g->patterns = xrealloc(g->patterns, g->alloc * sizeof p);
    }
    g->patterns[g->n++] = p;
}

int gitignore_parse(struct gitignore *g, const char *text, size_t len, struct effort *e)
{
    const char *end = text + len;
    char line[GITIGNORE_LINE_MAX + 1];
    if (len > GITIGNORE_MAX - g->bytes)
        return -1;
    g->bytes += len;
    g->text = xrealloc(g->text, g->text_len + len + 2);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        if (n > GITIGNORE_LINE_MAX)
            return -1;
        memcpy(line, text, n);
        line[n] = '\0';
        if (n && line[n - 1] == '\r')
            line[n - 1] = '\0';
        if (*line != '#') {
            trim(line);
            add_pattern(g, line);
        }
        text += n + 1;
        if (!newline || !effort_spend(e, PARSE_COST * (int64_t)(n + 1)))
            break;
    }
    return 0;
}

void gitignore_free(struct gitignore *g)
{
    free(g->patterns);
    free(g->text);
    free(g->tokens);
    free(g->sets);
    *g = (struct gitignore){0};
}
