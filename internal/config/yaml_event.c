#include "config/yaml_event.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int reader_fail(struct reader *r, yaml_mark_t at, const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_set(r->err, ERR_CONFIG, 0, "%s:%zu:%zu: %s", r->name, at.line + 1, at.column + 1,
                     text);
}

static int fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return error_set(r->err, ERR_INTERNAL, 0, "%s: out of memory", r->name);
    if (p->error == YAML_SCANNER_ERROR && p->buffer.pointer < p->buffer.last &&
        *p->buffer.pointer == '\t')
        return reader_fail(r, p->problem_mark,
                           "not valid YAML: there is a tab; use spaces to indent");
    return reader_fail(r, p->problem_mark, "not valid YAML: %s%s%s", p->problem ? p->problem : "?",
                       p->context ? ", " : "", p->context ? p->context : "");
}

/* Anchors, aliases, tags and directives can give a value another meaning than the text that is
 * there. */
static int check_plain(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return reader_fail(r, e->start_mark,
                           "aliases (*name) are not allowed: write the value out");
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (e->data.document_start.version_directive ||
            e->data.document_start.tag_directives.start !=
                e->data.document_start.tag_directives.end)
            return reader_fail(r, e->start_mark, "directives (%%YAML, %%TAG) are not allowed");
        break;
    default:
        break;
    }
    if (anchor)
        return reader_fail(r, e->start_mark,
                           "anchors (&name) are not allowed: write the value out");
    if (tag)
        return reader_fail(r, e->start_mark, "tags (!type) are not allowed");
    return 0;
}

/* Moves to the next event. */
int reader_next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return fail_parser(r);
    r->has_event = true;
    return check_plain(r);
}

const char *reader_text(const struct reader *r)
{
    return (const char *)r->event.data.scalar.value;
}

/* The current event is a scalar without NUL bytes (a "\0" escape in quotes makes one). */
int reader_want_scalar(struct reader *r, const char *what)
{
    const yaml_event_t *e = &r->event;
    if (e->type == YAML_MAPPING_START_EVENT)
        return reader_fail(r, e->start_mark, "%s is a mapping, not a single value", what);
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return reader_fail(r, e->start_mark, "%s is a list, not a single value", what);
    if (e->type != YAML_SCALAR_EVENT)
        return reader_fail(r, e->start_mark, "%s is missing", what);
    if (strlen(reader_text(r)) != e->data.scalar.length)
        return reader_fail(r, e->start_mark, "%s contains a NUL byte", what);
    return 0;
}

/* The position of a byte, in lines and characters. */
static yaml_mark_t mark_of(const char *text, size_t at)
{
    yaml_mark_t mark = {.index = at, .line = 0, .column = 0};
    for (size_t i = 0; i < at; i++) {
        mark.column = text[i] == '\n' ? 0 : mark.column + ((text[i] & 0xc0) != 0x80);
        mark.line += text[i] == '\n';
    }
    return mark;
}

/* Offset of the first line that starts with "%", or len. */
static size_t find_directive(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '%' && (i == 0 || text[i - 1] == '\n'))
            return i;
    return len;
}

/* Offset of the first carriage return without a line feed, or len. A terminal prints the text after
 * it over the text before it, and YAML takes it for the end of a line. */
static size_t find_lone_return(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\r' && (i + 1 == len || text[i + 1] != '\n'))
            return i;
    return len;
}

int reader_check_bytes(struct reader *r, const char *text, size_t len)
{
    size_t at = 0;
    if (!text_ok(text, len, true, &at))
        return reader_fail(r, mark_of(text, at),
                           "byte 0x%02x: invalid UTF-8, or a control or invisible character",
                           (unsigned char)text[at]);
    at = find_lone_return(text, len);
    if (at < len)
        return reader_fail(r, mark_of(text, at), "a carriage return without a line feed");
    /* Directives are refused before libyaml sees them, because it takes seconds for thousands of
     * them. */
    at = find_directive(text, len);
    if (at < len)
        return reader_fail(r, mark_of(text, at),
                           "directives (%%YAML, %%TAG) are not allowed, nor a line that starts "
                           "with %%");
    return 0;
}
