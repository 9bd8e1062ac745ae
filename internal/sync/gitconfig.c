/* gitconfig.c: the syntax is in the section "Syntax" of git-config(1). Characters are classified as
 * in the C locale, whatever the user's is. */
#include "sync/gitconfig.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

struct reader {
    const char *at, *end;
    int line; /* of what next_char has returned */
    bool eof;
    bool fresh; /* the last character ended a line */
    struct strbuf name, value;
};

/* The end of the text is a newline, too. */
static int next_char(struct reader *r)
{
    r->line += r->fresh;
    r->fresh = false;
    if (r->at == r->end) {
        r->eof = true;
        return '\n';
    }
    if (r->end - r->at > 1 && r->at[0] == '\r' && r->at[1] == '\n')
        r->at++;
    r->fresh = *r->at == '\n';
    return (unsigned char)*r->at++;
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_of_name(int c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
}

static void add_lower(struct strbuf *out, int c)
{
    strbuf_addc(out, (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
}

/* "subsection"] */
static int read_subsection(struct reader *r, int c)
{
    while (is_space(c)) {
        if (c == '\n')
            return -1;
        c = next_char(r);
    }
    if (c != '"')
        return -1;
    strbuf_addc(&r->name, '.');
    while ((c = next_char(r)) != '"') {
        if (c == '\\')
            c = next_char(r);
        if (c == '\n')
            return -1;
        strbuf_addc(&r->name, (char)c);
    }
    return next_char(r) == ']' ? 0 : -1;
}

static int read_section(struct reader *r)
{
    strbuf_reset(&r->name);
    for (;;) {
        int c = next_char(r);
        if (c == ']')
            return r->name.len ? 0 : -1;
        r->line += r->eof; /* as git counts */
        if (is_space(c) && !r->eof)
            return read_subsection(r, c);
        if (!is_of_name(c) && c != '.')
            return -1;
        add_lower(&r->name, c);
    }
}

/* What a backslash and `c` stand for: 0 for a line that goes on, -1. */
static int unescape(int c)
{
    switch (c) {
    case '\n':
        return 0;
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'n':
        return '\n';
    case '\\':
    case '"':
        return c;
    default:
        return -1;
    }
}

/* To the end of the line. Blanks at either end and comments are no part of it. */
static int read_value(struct reader *r)
{
    bool quoted = false, comment = false;
    size_t blanks = 0;
    strbuf_reset(&r->value);
    for (int c; (c = next_char(r)) != '\n';) {
        if (comment)
            continue;
        if (!quoted && is_space(c)) {
            blanks += r->value.len != 0;
            continue;
        }
        if (!quoted && (c == ';' || c == '#')) {
            comment = true;
            continue;
        }
        for (; blanks; blanks--)
            strbuf_addc(&r->value, ' ');
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && (c = unescape(next_char(r))) < 0)
            return -1;
        if (c)
            strbuf_addc(&r->value, (char)c);
    }
    return quoted ? -1 : 0;
}

/* The rest of a setting, whose name begins with `c`. 0, -1 if it can't be read, 1 if fn ended it.
 */
static int read_setting(struct reader *r, int c, gitconfig_fn *fn, void *ctx)
{
    for (; is_of_name(c); c = next_char(r))
        add_lower(&r->name, c);
    while (c == ' ' || c == '\t')
        c = next_char(r);
    if (c != '\n' && (c != '=' || read_value(r) < 0))
        return -1;
    return fn(ctx, r->name.buf, c == '\n' ? NULL : r->value.buf) < 0 ? 1 : 0;
}

/* 0, the number of a line, or -1. */
static int read_all(struct reader *r, gitconfig_fn *fn, void *ctx)
{
    size_t section = 0; /* how much of the name it is */
    int c;
    while ((c = next_char(r)) != '\n' || !r->eof) {
        if (is_space(c))
            continue;
        if (c == '#' || c == ';') {
            while (next_char(r) != '\n')
                ;
            continue;
        }
        if (c == '[') {
            if (read_section(r) < 0)
                return r->line;
            strbuf_addc(&r->name, '.');
            section = r->name.len;
            continue;
        }
        r->name.len = section;
        int done = is_letter(c) ? read_setting(r, c, fn, ctx) : -1;
        if (done)
            return done < 0 ? r->line : -1;
    }
    return 0;
}

int gitconfig_read(const char *text, size_t len, gitconfig_fn *fn, void *ctx)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'}; /* of UTF-8 */
    struct reader r = {text, text + len, 1, false, false, STRBUF_INIT, STRBUF_INIT};
    if (len >= sizeof mark && memcmp(text, mark, sizeof mark) == 0)
        r.at += sizeof mark;
    int done = read_all(&r, fn, ctx);
    strbuf_free(&r.name);
    strbuf_free(&r.value);
    return done;
}
