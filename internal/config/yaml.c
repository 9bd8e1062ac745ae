/* yaml.c: the strict reader.
 *
 * It takes libyaml's events one at a time and follows the grammar of a configuration file:
 * read_document reads the top level, read_block one block, read_key one key with its value, and
 * read_floor the system's floor. Each function accepts only the events that may come next. So the
 * recursion is never deeper than the grammar, however deep a hostile file is nested: the first
 * mapping in a wrong place is an error. */
#include "config/yaml.h"

#include <string.h>

#include "base/text.h"
#include "config/plain.h"
#include "config/yaml_event.h"

/* Where a key is: the name of its block ("" at the top level) and its position in the file. */
struct place {
    const char *block;
    yaml_mark_t mark;
};

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

/* The name of a key inside its block, as it is written in the file. */
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

/* Collects the names that may appear in `block`. At the top level these include the names of
 * blocks, which are copied to `pool`. */
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

/* The full name of a key whose last part is `word`, for a key that is in the wrong place. */
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
    text_copy(shown, sizeof shown, word);
    if (*at->block)
        (void)str_format(where, sizeof where, " in \"%s\"", at->block);
    if (str_eq(word, "<<"))
        return reader_fail(r, at->mark, "merge keys (<<) are not allowed: write the values out");
    size_t n = names_of(at->block, names, pool);
    const char *near = str_nearest(word, names, n);
    const char *other = elsewhere(word);
    if (near && !(other && !*at->block))
        return reader_fail(r, at->mark, "unknown key \"%s\"%s; did you mean \"%s\"?", shown, where,
                           near);
    if (other && block_len(other))
        return reader_fail(r, at->mark,
                           "unknown key \"%s\"%s; \"%s\" belongs in the block \"%.*s:\"", shown,
                           where, leaf(other), (int)block_len(other), other);
    if (other)
        return reader_fail(r, at->mark, "unknown key \"%s\"%s; it belongs at the top level", shown,
                           where);
    return reader_fail(r, at->mark, "unknown key \"%s\"%s; docs/CONFIG.md lists the known ones",
                       shown, where);
}

/* ---- values ---- */

/* Checks that the scalar is written in a way that fits the type: 4 is a number, "4" is not. */
static int check_style(struct reader *r, const struct config_key *key)
{
    const yaml_event_t *e = &r->event;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const enum plain_kind kind = plain ? plain_kind(reader_text(r)) : PLAIN_TEXT;
    bool text = key->type == CFG_STRING || key->type == CFG_LIST || key->type == CFG_PATH;
    if (e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
        e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE)
        return reader_fail(r, e->start_mark, "\"%s\" is block text (| or >); write it on one line",
                           key->name);
    if (kind == PLAIN_NOTHING)
        return reader_fail(r, e->start_mark, "\"%s\" has no value%s", key->name,
                           key->may_be_empty ? "; write \"\" for none" : "");
    if (key->type == CFG_INT || key->type == CFG_BOOL) {
        if (!plain)
            return reader_fail(r, e->start_mark, "\"%s\" is a string, not %s; remove the quotes",
                               key->name,
                               key->type == CFG_INT ? "a whole number" : "true or false");
        return 0;
    }
    if (kind == PLAIN_NUMBER && key->type == CFG_DURATION)
        return reader_fail(r, e->start_mark,
                           "\"%s\" is a number without a unit, not a duration "
                           "such as 90m, 1h30m, 10s or 500ms",
                           key->name);
    if (kind != PLAIN_TEXT && !(key->type == CFG_MIB && kind == PLAIN_NUMBER))
        return reader_fail(r, e->start_mark, "\"%s\" is %s, not a %s%s", key->name,
                           plain_kind_name(kind), config_type_name(key->type),
                           text ? "; put it in quotes if it is meant as text" : "");
    return 0;
}

/* Collects the items of a sequence into `raw`, joined by the key's separator. */
static int read_list(struct reader *r, const struct config_key *key, struct strbuf *raw)
{
    for (bool first = true;; first = false) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (reader_want_scalar(r, "a list item") < 0 || check_style(r, key) < 0)
            return -1;
        const char *item = reader_text(r);
        if (!*item)
            return reader_fail(r, r->event.start_mark, "\"%s\" has an empty item", key->name);
        if (strchr(item, key->separator))
            return reader_fail(r, r->event.start_mark,
                               "an item of \"%s\" contains %s; make it two items", key->name,
                               key->separator == ',' ? "a comma" : "a line break");
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
    r->from_home = false;
    if (reader_next(r) < 0)
        return -1;
    yaml_mark_t at = r->event.start_mark;
    if (key->type == CFG_LIST && r->event.type == YAML_SEQUENCE_START_EVENT) {
        if (read_list(r, key, &raw) < 0)
            return -1;
    } else {
        char what[96];
        (void)str_format(what, sizeof what, "\"%s\"", key->name);
        if (reader_want_scalar(r, what) < 0 || check_style(r, key) < 0)
            return -1;
        strbuf_adds(&raw, reader_text(r));
        r->from_home = key->type == CFG_PATH && raw.buf[0] == '~';
    }
    if (value_normalise(key, raw.buf, r->ctx, out, why) < 0)
        return reader_fail(r, at, "\"%s\" %s", key->name, why);
    return 0;
}

static int read_entry(struct reader *r, const struct place *at, const struct config_key *key)
{
    struct config_doc *doc = r->doc;
    _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
    for (size_t i = 0; i < doc->n_entries; i++)
        if (doc->entries[i].key == key)
            return reader_fail(r, at->mark, "\"%s\" is set twice, first in line %zu", key->name,
                               doc->entries[i].line);
    if (read_value(r, key, &value) < 0)
        return -1;
    /* The array has one place for each key and no key is in it twice, so it can't overflow. */
    struct config_entry *e = &doc->entries[doc->n_entries++];
    e->key = key;
    e->value = strbuf_detach(&value);
    e->line = at->mark.line + 1;
    e->column = at->mark.column + 1;
    e->from_home = r->from_home;
    return 0;
}

/* ---- the floor block ---- */

/* The text "did you mean ...?" with the full name of the nearest key; "" if no key is near. */
static const char *maybe_meant(const char *word, char out[static 96])
{
    const char *names[CONFIG_KEYS_MAX];
    for (size_t i = 0; i < config_keys_len; i++)
        names[i] = config_keys[i].name;
    const char *near = elsewhere(word);
    if (!near)
        near = str_nearest(word, names, config_keys_len);
    out[0] = '\0';
    if (near)
        (void)str_format(out, 96, "; did you mean \"%s\"?", near);
    return out;
}

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
    char shown[64], meant[96];
    text_copy(shown, sizeof shown, word);
    return found ? 0
                 : reader_fail(r, at, "\"%s\" in \"floor.locked\" is neither a key nor a block%s",
                               shown, maybe_meant(word, meant));
}

static int read_locked(struct reader *r)
{
    if (reader_next(r) < 0)
        return -1;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return reader_fail(r, r->event.start_mark, "\"floor.locked\" is not a list of keys");
    for (;;) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (reader_want_scalar(r, "a list item") < 0 || lock_name(r, reader_text(r)) < 0)
            return -1;
    }
}

static int read_max(struct reader *r)
{
    if (reader_next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return reader_fail(r, r->event.start_mark,
                           "\"floor.max\" is not a mapping of keys to values");
    for (;;) {
        _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (reader_want_scalar(r, "a key") < 0)
            return -1;
        yaml_mark_t at = r->event.start_mark;
        const struct config_key *key = config_key_by_name(reader_text(r));
        char meant[96];
        if (!key || !config_key_is_number(key))
            return reader_fail(r, at,
                               "\"floor.max\" takes full names of numeric keys, such as "
                               "\"firecracker.cpus\"%s",
                               key ? "" : maybe_meant(reader_text(r), meant));
        size_t i = config_key_index(key);
        if (r->doc->floor[i].max_line)
            return reader_fail(r, at, "\"%s\" is in \"floor.max\" twice", key->name);
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
        return reader_fail(r, at, "\"floor\" is allowed only in the system's file");
    if (r->floor_seen)
        return reader_fail(r, at, "\"floor\" appears twice");
    r->floor_seen = true;
    if (reader_next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return reader_fail(r, r->event.start_mark, "\"floor\" is not a block");
    for (;;) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (reader_want_scalar(r, "a key") < 0)
            return -1;
        bool is_locked = str_eq(reader_text(r), "locked");
        bool is_max = str_eq(reader_text(r), "max");
        if (!is_locked && !is_max)
            return reader_fail(r, r->event.start_mark,
                               "\"floor\" may have only the keys \"locked\" and \"max\"");
        if ((is_locked && locked) || (is_max && max))
            return reader_fail(r, r->event.start_mark, "\"floor.%s\" appears twice",
                               reader_text(r));
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
    if (reader_want_scalar(r, "a key") < 0)
        return -1;
    const struct place at = {block, r->event.start_mark};
    const char *word = reader_text(r);
    const struct config_key *key = NULL;
    if (str_format(full, sizeof full, "%s%s%s", block, *block ? "." : "", word) == 0 &&
        !strchr(word, '.'))
        key = config_key_by_name(full);
    if (key)
        return read_entry(r, &at, key);
    if (!*block && str_eq(word, "floor"))
        return read_floor(r, at.mark);
    if (!*block && config_is_block_of_same(word)) {
        _cleanup_free_ char *name = xstrdup(word);
        return read_block(r, name);
    }
    size_t index = *block ? config_keys_len : block_index(word);
    if (index < config_keys_len) {
        if (r->block_seen[index])
            return reader_fail(r, at.mark, "the block \"%s\" appears twice", word);
        r->block_seen[index] = true;
        _cleanup_free_ char *name = xstrdup(word);
        return read_block(r, name);
    }
    return fail_unknown(r, &at, word);
}

/* A value where the keys of a block should follow: some are called as a key is in another block. */
static int fail_block(struct reader *r, const char *block)
{
    const yaml_mark_t at = r->event.start_mark;
    const char *key = elsewhere(block);
    const char *names[CONFIG_KEYS_MAX];
    char pool[CONFIG_KEYS_MAX][32];
    if (r->event.type == YAML_SCALAR_EVENT && !*reader_text(r))
        return reader_fail(
            r, at, "\"%s\" is not a block of keys: there is nothing in it; remove the line", block);
    if (key && block_len(key))
        return reader_fail(r, at,
                           "\"%s\" is not a block of keys here; did you mean \"%s\" in the block "
                           "\"%.*s:\"?",
                           block, leaf(key), (int)block_len(key), key);
    return reader_fail(r, at,
                       "\"%s\" is not a block of keys; write its keys below it, such as \"%s:\", "
                       "indented",
                       block, names_of(block, names, pool) ? names[0] : "key");
}

/* Reads the mapping that follows the name of a block. */
static int read_block(struct reader *r, const char *block)
{
    if (reader_next(r) < 0)
        return -1;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail_block(r, block);
    for (;;) {
        if (reader_next(r) < 0)
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
    if (reader_next(r) < 0 || reader_next(r) < 0) /* the stream's start, then the document's */
        return -1;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return 0;
    if (reader_next(r) < 0)
        return -1;
    bool nothing = r->event.type == YAML_SCALAR_EVENT &&
                   r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !*reader_text(r);
    if (!nothing && r->event.type != YAML_MAPPING_START_EVENT)
        return reader_fail(r, r->event.start_mark, "the file is not a mapping of keys to values");
    while (!nothing) {
        if (reader_next(r) < 0)
            return -1;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (read_key(r, "") < 0)
            return -1;
    }
    if (reader_next(r) < 0 || reader_next(r) < 0) /* the document's end, then the stream's */
        return -1;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return reader_fail(r, r->event.start_mark, "a second document (---) is not allowed");
    return 0;
}

int config_parse_yaml(const char *name, const char *text, size_t len, bool with_floor,
                      const struct value_ctx *ctx, struct config_doc *out, struct error *err)
{
    struct reader r = {.ctx = ctx, .doc = out, .with_floor = with_floor, .err = err};
    memset(out, 0, sizeof *out);
    (void)str_copy(r.name, sizeof r.name, SHOWN(name));
    if (len > CONFIG_FILE_MAX)
        return error_set(err, ERR_CONFIG, 0, "%s is larger than 1 MiB", r.name);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        text += 3;
        len -= 3;
    }
    if (reader_check_bytes(&r, text, len) < 0)
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
