#include "run/redact.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A value or a line of one; borrowed from the set. */
struct redact_piece {
    const char *text, *name;
    size_t len, name_len;
    size_t order;  /* of the variable */
    size_t begins; /* with this other one, the longest: its index + 1; 0: with none */
};

static void add_piece(struct redactor *r, const struct env_set *env, size_t i, const char *text,
                      size_t len)
{
    if (len < REDACT_MIN || !effort_spend(&r->effort, (int64_t)len))
        return;
    if (r->n == r->alloc) {
        r->alloc = r->alloc ? 2 * r->alloc : 16;
        r->pieces = xrealloc(r->pieces, r->alloc * sizeof *r->pieces);
    }
    const char *name = env->entries[i];
    r->pieces[r->n++] = (struct redact_piece){text, name, len, strcspn(name, "="), i, 0};
    r->begins[(unsigned char)*text] = true;
    if (len > r->longest)
        r->longest = len;
}

static int by_text(const struct redact_piece *x, const struct redact_piece *y)
{
    int c = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* Of the same text, the variable that comes first. */
static int by_text_and_order(const void *a, const void *b)
{
    const struct redact_piece *x = a, *y = b;
    int c = by_text(x, y);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* How many bytes both begin with. */
static size_t in_common(struct redactor *r, const char *a, size_t a_len, const char *b,
                        size_t b_len)
{
    size_t k = 0, max = a_len < b_len ? a_len : b_len;
    while (k < max && a[k] == b[k])
        k++;
    (void)effort_spend(&r->effort, (int64_t)k + 1);
    return k;
}

/* The longest piece that is not longer than `len`: this one, or one that it begins with. */
static struct redact_piece *shorten(struct redactor *r, struct redact_piece *p, size_t len)
{
    while (p && p->len > len) {
        p = p->begins ? &r->pieces[p->begins - 1] : NULL;
        (void)effort_spend(&r->effort, 1);
    }
    return p;
}

static void sort_pieces(struct redactor *r)
{
    size_t n = 0;
    if (r->n)
        qsort(r->pieces, r->n, sizeof *r->pieces, by_text_and_order);
    for (size_t i = 0; i < r->n; i++) {
        if (n && by_text(&r->pieces[n - 1], &r->pieces[i]) == 0)
            continue;
        struct redact_piece *p = &r->pieces[n], *before = n ? p - 1 : NULL;
        *p = r->pieces[i];
        if (before)
            before = shorten(r, before, in_common(r, p->text, p->len, before->text, before->len));
        p->begins = before ? (size_t)(before - r->pieces) + 1 : 0;
        n++;
    }
    r->n = n;
}

void redact_begin(struct redactor *r, const struct env_set *env, const struct deadline *d)
{
    *r = (struct redactor){.effort = EFFORT_INIT(d)};
    r->effort.left = REDACT_STEPS;
    for (size_t i = 0; i < env->n; i++) {
        const char *value = strchr(env->entries[i], '=');
        if (!value)
            continue;
        size_t len = strlen(++value);
        add_piece(r, env, i, value, len);
        for (size_t line = strcspn(value, "\r\n"); line < len;
             value += line + 1, len -= line + 1, line = strcspn(value, "\r\n"))
            add_piece(r, env, i, value, line);
        add_piece(r, env, i, value, len); /* the last line, or all of it again */
    }
    sort_pieces(r);
}

void redact_end(struct redactor *r)
{
    free(r->pieces);
    r->pieces = NULL;
}

static void add_name(struct strbuf *out, const struct redact_piece *p)
{
    strbuf_addf(out, "[%.*s]", (int)p->name_len, p->name);
}

/* For each length, how much of its beginning is also its end (Knuth, Morris, Pratt). */
static uint32_t *borders(const char *text, size_t len)
{
    uint32_t *b = xcalloc(len + 1, sizeof *b);
    for (size_t i = 1, k = 0; i < len; i++) {
        while (k && text[i] != text[k])
            k = b[k];
        k += text[i] == text[k];
        b[i + 1] = (uint32_t)k;
    }
    return b;
}

/* How many bytes of the text's beginning are the end of a value; 0 where it begins with none. */
static size_t skip_rest(struct redactor *r, const struct strbuf *text, struct strbuf *out)
{
    const struct redact_piece *of = NULL;
    size_t most = 0, max = text->len < r->longest ? text->len : r->longest;
    if (!max || !effort_spend(&r->effort, (int64_t)max))
        return 0;
    _cleanup_free_ uint32_t *border = borders(text->buf, max);
    for (const struct redact_piece *p = r->pieces; p < r->pieces + r->n; p++) {
        size_t k = 0;
        for (size_t i = 0; i < p->len; i++) {
            while (k && (k == max || text->buf[k] != p->text[i]))
                k = border[k];
            k += text->buf[k] == p->text[i];
        }
        if (k > most) {
            most = k;
            of = p;
        }
        if (!effort_spend(&r->effort, (int64_t)p->len))
            return 0;
    }
    if (of)
        add_name(out, of);
    return most;
}

/* The longest piece that is there. All that the text begins with come before it in the order, and
 * the last one that does begins with them. */
static const struct redact_piece *piece_at(struct redactor *r, const char *at, size_t left)
{
    size_t from = 0, to = r->n, same = 0;
    if (!r->begins[(unsigned char)*at])
        return NULL;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        const struct redact_piece *p = &r->pieces[mid];
        size_t k = in_common(r, p->text, p->len, at, left);
        if (k == p->len || (k < left && (unsigned char)p->text[k] < (unsigned char)at[k])) {
            from = mid + 1;
            same = k;
        } else
            to = mid;
    }
    return from ? shorten(r, &r->pieces[from - 1], same) : NULL;
}

bool redact(struct redactor *r, struct strbuf *text, bool cut)
{
    struct strbuf out = STRBUF_INIT;
    size_t i = cut ? skip_rest(r, text, &out) : 0;
    for (size_t from = i; i < text->len && effort_spend(&r->effort, 1);) {
        const struct redact_piece *found = piece_at(r, text->buf + i, text->len - i);
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
    strbuf_wipe(r->effort.stop ? &out : text);
    if (r->effort.stop)
        return false;
    *text = out;
    return true;
}
