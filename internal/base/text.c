#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    JOINER = 0x200d,
    KEYCAP = 0x20e3,
    PIECE = 12, /* the longest escape is \U and eight digits */
    FORMATTED_MAX = 4096,
};

/* ---- characters ---- */

static size_t sequence_len(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >> 5 == 6)
        return 2;
    if (first >> 4 == 14)
        return 3;
    return first >> 3 == 30 ? 4 : 0;
}

size_t text_decode(const char *text, size_t len, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    size_t n = len ? sequence_len(s[0]) : 0;
    if (!n || n > len)
        return 0;
    *cp = n == 1 ? s[0] : s[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        *cp = *cp << 6 | (s[i] & 0x3f);
    }
    if (*cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
        return 0;
    return n;
}

/* Whether more bytes could make a character of these few. */
static bool is_partial(const char *text, size_t len)
{
    size_t n = len ? sequence_len((unsigned char)text[0]) : 0;
    if (n <= len)
        return false;
    for (size_t i = 1; i < len; i++)
        if ((unsigned char)text[i] >> 6 != 2)
            return false;
    return true;
}

bool text_is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

struct range {
    uint32_t first, last;
};

static bool in_ranges(uint32_t cp, const struct range *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= table[i].first && cp <= table[i].last)
            return true;
    return false;
}

/* Unicode's controls and default ignorables, the separators of lines and paragraphs, and what is
 * no character. */
bool text_hidden(uint32_t cp)
{
    static const struct range table[] = {
        {0, 0x1f},          {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},
        {0x61c, 0x61c},     {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
        {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},
        {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
        {0xfff0, 0xfffb},   {0x13430, 0x1345f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
        {0xe0000, 0xe0fff},
    };
    return in_ranges(cp, table, ARRAY_LEN(table)) || (cp & 0xfffe) == 0xfffe;
}

/* Pictures, and marks of one. */
static bool is_symbol(uint32_t cp)
{
    static const struct range table[] = {
        {0xa9, 0xa9},     {0xae, 0xae},     {0x203c, 0x203c},   {0x2049, 0x2049},
        {0x2122, 0x2122}, {0x2139, 0x2139}, {0x2190, 0x2bff},   {0x3030, 0x3030},
        {0x303d, 0x303d}, {0x3297, 0x3299}, {0x1f000, 0x1faff},
    };
    return in_ranges(cp, table, ARRAY_LEN(table));
}

static bool is_keycap(uint32_t cp)
{
    return cp == '#' || cp == '*' || (cp >= '0' && cp <= '9');
}

static bool is_variation(uint32_t cp)
{
    return cp == 0xfe0e || cp == 0xfe0f;
}

/* ---- one character, as it is shown ---- */

struct rules {
    bool lines; /* new lines and tabs stay */
    bool more;  /* what follows `len` is not known yet */
};

/* Whether a hidden character is the part of an emoji that it looks like. */
static bool joins(uint32_t last, uint32_t cp, const char *next, size_t len)
{
    uint32_t after;
    if (!text_decode(next, len, &after))
        after = 0;
    if (is_variation(cp))
        return is_symbol(last) || (is_keycap(last) && after == KEYCAP);
    return cp == JOINER && (is_symbol(last) || is_variation(last)) && is_symbol(after);
}

static size_t escape(uint32_t cp, bool valid, char out[static PIECE])
{
    static const char letters[] = {['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};
    int n;
    if (cp < sizeof letters && letters[cp])
        n = snprintf(out, PIECE, "\\%c", letters[cp]);
    else if (cp < 0x80 || !valid)
        n = snprintf(out, PIECE, "\\x%02x", (unsigned)cp);
    else if (cp <= 0xffff)
        n = snprintf(out, PIECE, "\\u%04x", (unsigned)cp);
    else
        n = snprintf(out, PIECE, "\\U%08x", (unsigned)cp);
    return (size_t)n;
}

/* Takes one character from `s` and puts what is to be seen of it into out[*n]. Returns how many
 * bytes it was; 0 where the next ones decide about it. */
static size_t take(struct rules r, uint32_t *last, const char *s, size_t len,
                   char out[static PIECE], size_t *n)
{
    uint32_t cp = 0;
    size_t used = text_decode(s, len, &cp);
    if (!used && r.more && is_partial(s, len))
        return 0;
    if (!used) {
        *last = 0;
        *n = escape((unsigned char)*s, false, out);
        return 1;
    }
    const char *next = s + used;
    size_t left = len - used;
    bool looks_on = *last && (cp == JOINER || is_variation(cp));
    if (r.more && looks_on && (!left || is_partial(next, left)))
        return 0;
    bool stays = !text_hidden(cp) || joins(*last, cp, next, left) ||
                 (r.lines && (cp == '\n' || cp == '\t'));
    *last = stays ? cp : 0;
    *n = stays ? used : escape(cp, true, out);
    if (stays)
        memcpy(out, s, used);
    return used;
}

/* ---- one line ---- */

void text_add(struct strbuf *out, const char *s)
{
    const struct rules r = {.lines = false};
    uint32_t last = 0;
    for (size_t len = strlen(s); len;) {
        char piece[PIECE];
        size_t n;
        size_t used = take(r, &last, s, len, piece, &n);
        strbuf_add(out, piece, n);
        s += used;
        len -= used;
    }
}

/* Without memory of its own: a child between fork and exec may fail as well. */
void text_copy(char *dst, size_t size, const char *src)
{
    const struct rules r = {.lines = false};
    uint32_t last = 0;
    size_t used = 0, fits = 0; /* fits: where "..." can still follow */
    bool keycap = false;
    size_t len = strlen(src);
    while (len) {
        char piece[PIECE];
        size_t n;
        size_t step = take(r, &last, src, len, piece, &n);
        if (used + n + 1 > size)
            break;
        memcpy(dst + used, piece, n);
        used += n;
        keycap = is_keycap(last) || (keycap && is_variation(last));
        if (used + 4 <= size && last != JOINER && !(keycap && is_variation(last)))
            fits = used;
        src += step;
        len -= step;
    }
    dst[used] = '\0';
    if (len && size >= 4)
        memcpy(dst + fits, "...", 4);
}

void text_format(char *dst, size_t size, const char *fmt, va_list ap)
{
    char text[FORMATTED_MAX];
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    text_copy(dst, size, text);
}

void text_flatten(struct strbuf *sb, size_t max)
{
    _cleanup_strbuf_ struct strbuf joined = STRBUF_INIT;
    _cleanup_free_ char *shown = xcalloc(1, max + 1);
    static const char breaks[] = "\r\n";
    for (const char *p = sb->buf + strspn(sb->buf, breaks); *p; p += strspn(p, breaks)) {
        size_t len = strcspn(p, breaks);
        strbuf_addf(&joined, "%s", joined.len ? "; " : "");
        strbuf_add(&joined, p, len);
        p += len;
    }
    for (char *p = joined.buf; (p = strchr(p, '\t'));)
        *p = ' ';
    text_copy(shown, max + 1, joined.buf);
    strbuf_reset(sb);
    strbuf_adds(sb, shown);
}

struct shown text_shown_path(const char *path)
{
    struct shown out = {"..."};
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    text_add(&all, path);
    if (all.len < SHOWN_MAX) {
        memcpy(out.text, all.buf, all.len + 1);
        return out;
    }
    const char *end = all.buf + all.len - (SHOWN_MAX - 4);
    while (((unsigned char)*end & 0xc0) == 0x80) /* not from the middle of a character */
        end++;
    text_copy(out.text + 3, sizeof out.text - 3, end);
    return out;
}

/* ---- lines ---- */

/* A carriage return that no new line follows would let the next words stand over the last. */
static void add_returns(struct text_stream *s, struct strbuf *out)
{
    for (; s->returns; s->returns--)
        strbuf_adds(out, "\\r");
}

/* Returns how many bytes are left over. */
static size_t add_chunk(struct text_stream *s, const char *data, size_t len, bool more,
                        struct strbuf *out)
{
    const struct rules r = {.lines = true, .more = more};
    while (len) {
        char piece[PIECE];
        size_t n, used = 1;
        if (*data == '\r') {
            s->returns++;
            s->last = 0;
        } else {
            used = take(r, &s->last, data, len, piece, &n);
            if (!used)
                break;
            if (*data == '\n')
                s->returns = 0;
            add_returns(s, out);
            strbuf_add(out, piece, n);
        }
        data += used;
        len -= used;
    }
    return len;
}

void text_stream_add(struct text_stream *s, const void *data, size_t len, struct strbuf *out)
{
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    strbuf_add(&all, s->held, s->n_held);
    strbuf_add(&all, data, len);
    s->n_held = add_chunk(s, all.buf, all.len, true, out);
    memcpy(s->held, all.buf + all.len - s->n_held, s->n_held);
}

void text_stream_end(struct text_stream *s, struct strbuf *out)
{
    (void)add_chunk(s, (const char *)s->held, s->n_held, false, out);
    add_returns(s, out);
    *s = (struct text_stream)TEXT_STREAM_INIT;
}

void text_add_lines(struct strbuf *out, const void *data, size_t len)
{
    struct text_stream s = TEXT_STREAM_INIT;
    (void)add_chunk(&s, data, len, false, out);
    text_stream_end(&s, out);
}

/* ---- judging ---- */

bool text_ok(const char *s, size_t len, bool lines, size_t *at)
{
    const struct rules r = {.lines = lines};
    uint32_t last = 0;
    for (size_t i = 0; i < len;) {
        char piece[PIECE];
        size_t n;
        size_t used = take(r, &last, s + i, len - i, piece, &n);
        bool same = n == used && memcmp(piece, s + i, n) == 0;
        if (!same && !(lines && s[i] == '\r')) {
            *at = i;
            return false;
        }
        i += used;
    }
    return true;
}
