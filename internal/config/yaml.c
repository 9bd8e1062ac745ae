/* yaml.c: the strict reader, a recursive descent over libyaml's events. Its depth is the grammar's,
 * so hostile nesting ends at the first mapping that has no business there. */
#include "config/yaml.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#define NAME_SHOWN_MAX 240

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    char name[NAME_SHOWN_MAX];
    const struct value_ctx *ctx;
    struct config_doc *doc;
    bool with_floor;
    bool floor_seen;
    bool block_seen[CONFIG_KEYS_MAX]; /* by the index of the block's first key */
    struct error *err;
};

/* Where a key stands: the block's name ("" at the top) and the mark of the key itself. */
struct place {
    const char *block;
    yaml_mark_t mark;
};

static int fail(struct reader *r, yaml_mark_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, yaml_mark_t at, const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_set(r->err, ERR_CONFIG, 0, "%s:%zu:%zu: %s", r->name, at.line + 1, at.column + 1,
                     text);
}

/* ---- events ---- */

static int fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return error_set(r->err, ERR_INTERNAL, 0, "%s: out of memory", r->name);
    return fail(r, p->problem_mark, "not valid YAML: %s%s%s", p->problem ? p->problem : "?",
                p->context ? ", " : "", p->context ? p->context : "");
}

/* Anchors, aliases, tags and directives make a value something else than what stands there. */
static int check_plain(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return fail(r, e->start_mark, "aliases (*name) are not allowed: write the value out");
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
            return fail(r, e->start_mark, "directives (%%YAML, %%TAG) are not allowed");
        break;
    default:
        break;
    }
    if (anchor)
        return fail(r, e->start_mark, "anchors (&name) are not allowed: write the value out");
    if (tag)
        return fail(r, e->start_mark, "tags (!type) are not allowed");
    return 0;
}

/* Moves to the next event. */
static int next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return fail_parser(r);
    r->has_event = true;
    return check_plain(r);
}

static const char *scalar_text(const struct reader *r)
{
    return (const char *)r->event.data.scalar.value;
}

/* The current event is a scalar without NUL bytes (a "\0" escape in quotes makes one). */
static int want_scalar(struct reader *r, const char *what)
{
    const yaml_event_t *e = &r->event;
    if (e->type == YAML_MAPPING_START_EVENT)
        return fail(r, e->start_mark, "%s is a mapping, not a single value", what);
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return fail(r, e->start_mark, "%s is a list, not a single value", what);
    if (e->type != YAML_SCALAR_EVENT)
        return fail(r, e->start_mark, "%s is missing", what);
    if (strlen(scalar_text(r)) != e->data.scalar.length)
        return fail(r, e->start_mark, "%s contains a NUL byte", what);
    return 0;
}

/* ---- names ---- */

/* "blockname" of "blockname.key"; 0 for a key at the top. */
static size_t block_len(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

static bool in_block(const struct config_key *key, const char *block)
{
    return block_len(key->name) == strlen(block) && strncmp(key->name, block, strlen(block)) == 0;
}

/* The part of a key's name that stands in the file, inside its block. */
static const char *leaf(const char *name)
{
    size_t n = block_len(name);
    return n ? name + n + 1 : name;
}

/* Index of the first key of a block; config_keys_len if there is no such block. */
static size_t block_index(const char *word)
{
    for (size_t i = 0; i < config_keys_len; i++)
        if (*word && in_block(&config_keys[i], word))
            return i;
    return config_keys_len;
}

/* Adds names that may stand in `block`. Those of blocks, at the top, are cut out into `pool`. */
static size_t names_of(const char *block, const char *names[], char pool[][32])
{
    size_t n = 0;
    for (size_t i = 0; i < config_keys_len; i++) {
        const char *name = config_keys[i].name;
        size_t len = block_len(name);
        if (in_block(&config_keys[i], block))
            names[n++] = leaf(name);
        else if (!*block && len && str_format(pool[i], 32, "%.*s", (int)len, name) == 0)
            names[n++] = pool[i];
    }
    return n;
}

/* A full name whose last part is `word`, for a key that stands in the wrong place. */
static const char *elsewhere(const char *word)
{
    for (size_t i = 0; i < config_keys_len; i++)
        if (str_eq(leaf(config_keys[i].name), word) || str_eq(config_keys[i].name, word))
            return config_keys[i].name;
    return NULL;
}

/* "unknown key", with the nearest one that could have been meant. */
static int fail_unknown(struct reader *r, const struct place *at, const char *word)
{
    const char *names[CONFIG_KEYS_MAX];
    char pool[CONFIG_KEYS_MAX][32];
    char shown[64], where[96] = "";
    value_printable(word, shown, sizeof shown);
    if (*at->block)
        (void)str_format(where, sizeof where, " in \"%s\"", at->block);
    if (str_eq(word, "<<"))
        return fail(r, at->mark, "merge keys (<<) are not allowed: write the values out");
    size_t n = names_of(at->block, names, pool);
    const char *near = str_nearest(word, names, n);
    const char *other = elsewhere(word);
    if (near && !(other && !*at->block))
        return fail(r, at->mark, "unknown key \"%s\"%s; did you mean \"%s\"?", shown, where, near);
    if (other && block_len(other))
        return fail(r, at->mark, "unknown key \"%s\"%s; \"%s\" stands in the block \"%.*s:\"",
                    shown, where, leaf(other), (int)block_len(other), other);
    if (other)
        return fail(r, at->mark, "unknown key \"%s\"%s; it stands at the top level", shown, where);
    return fail(r, at->mark, "unknown key \"%s\"%s; see docs/CONFIG.md for those there are", shown,
                where);
}

/* ---- values ---- */

/* What a plain scalar that is no ordinary string would be to a YAML reader; NULL for a string. */
static const char *plain_kind(const char *s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE",
                                        "yes",  "Yes",  "YES",  "no",    "No",    "NO",
                                        "on",   "On",   "ON",   "off",   "Off",   "OFF"};
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
        if (str_eq(s, nulls[i]))
            return "nothing";
    for (size_t i = 0; i < ARRAY_LEN(bools); i++)
        if (str_eq(s, bools[i]))
            return "a boolean";
    const char *t = s + (*s == '-' || *s == '+');
    if (t[strspn(t, "0123456789")] == '\0' ||
        (*t && t[strspn(t, "0123456789.")] == '\0' && strchr(t, '.') == strrchr(t, '.')))
        return "a number";
    return NULL;
}

/* Whether the way the scalar is written fits the type: 4 is a number, "4" is not. */
static int check_style(struct reader *r, const struct config_key *key)
{
    const yaml_event_t *e = &r->event;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *kind = plain ? plain_kind(scalar_text(r)) : NULL;
    if (e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
        e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE)
        return fail(r, e->start_mark, "\"%s\" is block text (| or >); write it on one line",
                    key->name);
    if (kind && str_eq(kind, "nothing"))
        return fail(r, e->start_mark, "\"%s\" has no value%s", key->name,
                    key->may_be_empty ? "; write \"\" for none" : "");
    if (key->type == CFG_INT || key->type == CFG_BOOL) {
        if (!plain)
            return fail(r, e->start_mark, "\"%s\" is a string, not %s; remove the quotes",
                        key->name, key->type == CFG_INT ? "a whole number" : "true or false");
        return 0;
    }
    if (kind && !(key->type == CFG_MIB && str_eq(kind, "a number")))
        return fail(r, e->start_mark, "\"%s\" is %s, not a %s", key->name, kind,
                    config_type_name(key->type));
    return 0;
}

/* Collects the items of a sequence into `raw`, joined by the key's separator. */
static int read_list(struct reader *r, const struct config_key *key, struct strbuf *raw)
{
    for (bool first = true;; first = false) {
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (want_scalar(r, "a list item") < 0 || check_style(r, key) < 0)
            return -1;
        const char *item = scalar_text(r);
        if (!*item)
            return fail(r, r->event.start_mark, "\"%s\" has an empty item", key->name);
        if (strchr(item, key->separator))
            return fail(r, r->event.start_mark, "an item of \"%s\" contains %s; make it two items",
                        key->name, key->separator == ',' ? "a comma" : "a line break");
        if (!first)
            strbuf_addc(raw, key->separator);
        strbuf_adds(raw, item);
    }
}

/* Reads the value of `key` into canonical form. */
static int read_value(struct reader *r, const struct config_key *key, struct strbuf *out)
{
    char why[VALUE_WHY_MAX];
    _cleanup_strbuf_ struct strbuf raw = STRBUF_INIT;
    if (next(r) < 0)
        return -1;
    yaml_mark_t at = r->event.start_mark;
    if (key->type == CFG_LIST && r->event.type == YAML_SEQUENCE_START_EVENT) {
        if (read_list(r, key, &raw) < 0)
            return -1;
    } else {
        char what[96];
        (void)str_format(what, sizeof what, "\"%s\"", key->name);
        if (want_scalar(r, what) < 0 || check_style(r, key) < 0)
            return -1;
        strbuf_adds(&raw, scalar_text(r));
    }
    if (value_normalise(key, raw.buf, r->ctx, out, why) < 0)
        return fail(r, at, "\"%s\" %s", key->name, why);
    return 0;
}

static int read_entry(struct reader *r, const struct place *at, const struct config_key *key)
{
    struct config_doc *doc = r->doc;
    _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
    for (size_t i = 0; i < doc->n_entries; i++)
        if (doc->entries[i].key == key)
            return fail(r, at->mark, "\"%s\" is set twice, first in line %zu", key->name,
                        doc->entries[i].line);
    if (read_value(r, key, &value) < 0)
        return -1;
    /* No key is there twice, so the array, one place a key, can't overflow. */
    struct config_entry *e = &doc->entries[doc->n_entries++];
    e->key = key;
    e->value = strbuf_detach(&value);
    e->line = at->mark.line + 1;
    e->column = at->mark.column + 1;
    return 0;
}

/* ---- the floor block ---- */

/* Marks one key, or every key of a block, as locked. */
static int lock_name(struct reader *r, const char *word)
{
    yaml_mark_t at = r->event.start_mark;
    bool found = false;
    for (size_t i = 0; i < config_keys_len; i++) {
        if (!str_eq(config_keys[i].name, word) && !(*word && in_block(&config_keys[i], word)))
            continue;
        r->doc->floor[i].locked_line = at.line + 1;
        found = true;
    }
    char shown[64];
    value_printable(word, shown, sizeof shown);
    return found ? 0 : fail(r, at, "\"%s\" in \"floor.locked\" is no key and no block", shown);
}

static int read_locked(struct reader *r)
{
    if (next(r) < 0)
        return -1;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return fail(r, r->event.start_mark, "\"floor.locked\" is not a list of keys");
    for (;;) {
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (want_scalar(r, "a list item") < 0 || lock_name(r, scalar_text(r)) < 0)
            return -1;
    }
}

static int read_max(struct reader *r)
{
    if (next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, r->event.start_mark, "\"floor.max\" is not a mapping of keys to values");
    for (;;) {
        _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (want_scalar(r, "a key") < 0)
            return -1;
        yaml_mark_t at = r->event.start_mark;
        const struct config_key *key = config_key_by_name(scalar_text(r));
        if (!key || (key->type != CFG_INT && key->type != CFG_MIB && key->type != CFG_DURATION))
            return fail(r, at,
                        "\"floor.max\" takes full names of numeric keys, such as "
                        "\"firecracker.cpus\"");
        size_t i = config_key_index(key);
        if (r->doc->floor[i].max_line)
            return fail(r, at, "\"%s\" is in \"floor.max\" twice", key->name);
        if (read_value(r, key, &value) < 0)
            return -1;
        r->doc->floor[i].max_line = at.line + 1;
        r->doc->floor[i].max = value_number(key, value.buf);
    }
}

static int read_floor(struct reader *r, yaml_mark_t at)
{
    bool locked = false, max = false;
    if (!r->with_floor)
        return fail(r, at, "\"floor\" counts only in the system's file");
    if (r->floor_seen)
        return fail(r, at, "\"floor\" is there twice");
    r->floor_seen = true;
    if (next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, r->event.start_mark, "\"floor\" is not a block");
    for (;;) {
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (want_scalar(r, "a key") < 0)
            return -1;
        bool is_locked = str_eq(scalar_text(r), "locked");
        bool is_max = str_eq(scalar_text(r), "max");
        if (!is_locked && !is_max)
            return fail(r, r->event.start_mark,
                        "\"floor\" has the keys \"locked\" and \"max\" only");
        if ((is_locked && locked) || (is_max && max))
            return fail(r, r->event.start_mark, "\"floor.%s\" is there twice", scalar_text(r));
        locked |= is_locked;
        max |= is_max;
        if ((is_locked ? read_locked(r) : read_max(r)) < 0)
            return -1;
    }
}

/* ---- blocks ---- */

static int read_block(struct reader *r, const char *block);

/* Handles one key whose scalar is the current event. */
static int read_key(struct reader *r, const char *block)
{
    char full[128];
    if (want_scalar(r, "a key") < 0)
        return -1;
    const struct place at = {block, r->event.start_mark};
    const char *word = scalar_text(r);
    const struct config_key *key = NULL;
    if (str_format(full, sizeof full, "%s%s%s", block, *block ? "." : "", word) == 0 &&
        !strchr(word, '.'))
        key = config_key_by_name(full);
    if (key)
        return read_entry(r, &at, key);
    if (!*block && str_eq(word, "floor"))
        return read_floor(r, at.mark);
    size_t index = *block ? config_keys_len : block_index(word);
    if (index < config_keys_len) {
        if (r->block_seen[index])
            return fail(r, at.mark, "the block \"%s\" is there twice", word);
        r->block_seen[index] = true;
        _cleanup_free_ char *name = xstrdup(word);
        return read_block(r, name);
    }
    return fail_unknown(r, &at, word);
}

/* Reads the mapping that follows the name of a block. */
static int read_block(struct reader *r, const char *block)
{
    if (next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, r->event.start_mark, "\"%s\" is not a block of keys", block);
    for (;;) {
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (read_key(r, block) < 0)
            return -1;
    }
}

/* The document's mapping, up to the end of the stream. An empty file sets nothing. */
static int read_document(struct reader *r)
{
    if (next(r) < 0 || next(r) < 0) /* the stream's start, then the document's */
        return -1;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return 0;
    if (next(r) < 0)
        return -1;
    bool nothing = r->event.type == YAML_SCALAR_EVENT &&
                   r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !*scalar_text(r);
    if (!nothing && r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, r->event.start_mark, "the file is not a mapping of keys to values");
    while (!nothing) {
        if (next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (read_key(r, "") < 0)
            return -1;
    }
    if (next(r) < 0 || next(r) < 0) /* the document's end, then the stream's */
        return -1;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return fail(r, r->event.start_mark, "a second document (---) is not allowed");
    return 0;
}

/* Checks the bytes before libyaml sees them. */
static int check_text(struct reader *r, const char *text, size_t len)
{
    size_t at = 0;
    if (value_text_ok(text, len, true, &at))
        return 0;
    yaml_mark_t mark = {.index = at, .line = 0, .column = 0};
    for (size_t i = 0; i < at; i++) {
        mark.column = text[i] == '\n' ? 0 : mark.column + ((text[i] & 0xc0) != 0x80);
        mark.line += text[i] == '\n';
    }
    return fail(r, mark, "byte 0x%02x: invalid UTF-8, or a control or invisible character",
                (unsigned char)text[at]);
}

int config_parse_yaml(const char *name, const char *text, size_t len, bool with_floor,
                      const struct value_ctx *ctx, struct config_doc *out, struct error *err)
{
    struct reader r = {.ctx = ctx, .doc = out, .with_floor = with_floor, .err = err};
    size_t n = strlen(name);
    const char *tail = n < NAME_SHOWN_MAX ? name : name + n - (NAME_SHOWN_MAX - 1);
    memset(out, 0, sizeof *out);
    value_printable(tail, r.name, sizeof r.name);
    if (len > CONFIG_FILE_MAX)
        return error_set(err, ERR_CONFIG, 0, "%s is larger than 1 MiB", r.name);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark is no character */
        text += 3;
        len -= 3;
    }
    if (check_text(&r, text, len) < 0)
        return -1;
    if (!yaml_parser_initialize(&r.parser))
        return error_set(err, ERR_INTERNAL, 0, "%s: out of memory", r.name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    int rc = read_document(&r);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return rc;
}

void config_doc_free(struct config_doc *doc)
{
    for (size_t i = 0; i < doc->n_entries; i++)
        free(doc->entries[i].value);
    doc->n_entries = 0;
}
