#include "run/redact.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A value or a line of one; borrowed from the set. */
struct piece {
    const char *text, *name;
    size_t len, name_len;
};

struct pieces {
    struct piece *items;
    size_t n, alloc;
    bool begins[256]; /* whether one begins with this byte */
};

static void pieces_free(struct pieces *p)
{
    free(p->items);
}

static void add_piece(struct pieces *p, const char *entry, const char *text, size_t len)
{
    if (len < REDACT_MIN)
        return;
    if (p->n == p->alloc) {
        p->alloc = p->alloc ? 2 * p->alloc : 16;
        p->items = xrealloc(p->items, p->alloc * sizeof *p->items);
    }
    p->items[p->n++] = (struct piece){text, entry, len, strcspn(entry, "=")};
    p->begins[(unsigned char)*text] = true;
}

static int longest_first(const void *a, const void *b)
{
    size_t x = ((const struct piece *)a)->len, y = ((const struct piece *)b)->len;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void find_pieces(const struct env_set *env, struct pieces *p)
{
    for (size_t i = 0; i < env->n; i++) {
        const char *value = strchr(env->entries[i], '=');
        if (!value)
            continue;
        size_t len = strlen(++value);
        add_piece(p, env->entries[i], value, len);
        for (size_t line = strcspn(value, "\r\n"); line < len;
             value += line + 1, len -= line + 1, line = strcspn(value, "\r\n"))
            add_piece(p, env->entries[i], value, line);
        add_piece(p, env->entries[i], value, len); /* the last line, or all of it again */
    }
    if (p->n)
        qsort(p->items, p->n, sizeof *p->items, longest_first);
}

static void add_name(struct strbuf *out, const struct piece *p)
{
    strbuf_addf(out, "[%.*s]", (int)p->name_len, p->name);
}

/* How many bytes of a value's end the text begins with; 0 where it is none. */
static size_t skip_rest(const struct pieces *p, const struct strbuf *text, struct strbuf *out)
{
    const struct piece *of = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct piece *piece = &p->items[i];
        size_t k = piece->len - 1 < text->len ? piece->len - 1 : text->len;
        while (k > longest && memcmp(text->buf, piece->text + piece->len - k, k) != 0)
            k--;
        if (k > longest) {
            longest = k;
            of = piece;
        }
    }
    if (of)
        add_name(out, of);
    return longest;
}

static const struct piece *piece_at(const struct pieces *p, const char *at, size_t left)
{
    if (!p->begins[(unsigned char)*at])
        return NULL;
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].len <= left && memcmp(at, p->items[i].text, p->items[i].len) == 0)
            return &p->items[i];
    return NULL;
}

void redact(const struct env_set *env, struct strbuf *text, bool cut)
{
    _cleanup_(pieces_free) struct pieces p = {0};
    struct strbuf out = STRBUF_INIT;
    find_pieces(env, &p);
    size_t i = cut ? skip_rest(&p, text, &out) : 0;
    for (size_t from = i; i < text->len;) {
        const struct piece *found = piece_at(&p, text->buf + i, text->len - i);
        i += found ? 0 : 1;
        if (!found && i < text->len)
            continue;
        strbuf_add(&out, text->buf + from, i - from);
        if (found) {
            add_name(&out, found);
            i += found->len;
        }
        from = i;
    }
    strbuf_wipe(text);
    *text = out;
}
