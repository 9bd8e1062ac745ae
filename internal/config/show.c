/* show.c: shows the values in effect and where each came from. */
#include <string.h>

#include "base/text.h"
#include "config/priv.h"
#include "config/trust.h"
#include "config/values.h"

/* Adds the value as people write it: readable sizes and lists, "" for an empty one. */
static void add_shown(const struct config_key *key, const char *text, struct strbuf *out)
{
    if (!*text) {
        strbuf_adds(out, "\"\"");
    } else if (key->type == CFG_MIB) {
        value_format_number(CFG_MIB, value_number(key, text), out);
    } else if (key->separator == '\n') {
        _cleanup_free_ char *list = xstrdup(text);
        for (char *p = list; (p = strchr(p, '\n'));)
            *p = ' ';
        text_add(out, list);
    } else {
        text_add(out, text);
    }
}

enum { WIDEST = 48 };

/* The column of values is as wide as the widest of them. */
static int value_width(const struct config_priv *p)
{
    size_t width = 0;
    for (size_t i = 0; i < config_keys_len; i++) {
        _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
        add_shown(&config_keys[i], p->slots[i].text, &value);
        width = value.len > width ? value.len : width;
    }
    return width < WIDEST ? (int)width : WIDEST; /* one long list must not widen all rows */
}

void config_show_text(const struct config *cfg, struct strbuf *out)
{
    const struct config_priv *p = config_priv(cfg);
    int width = value_width(p);
    strbuf_addf(out, "%-28s %-*s %s\n", "KEY", width, "VALUE", "SOURCE");
    for (size_t i = 0; i < config_keys_len; i++) {
        _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
        char origin[512];
        add_shown(&config_keys[i], p->slots[i].text, &value);
        text_copy(origin, sizeof origin, p->slots[i].origin);
        strbuf_addf(out, "%-28s %-*s %s%s", config_keys[i].name, width, value.buf, origin,
                    p->slots[i].locked_by ? " (locked)" : "");
        if (p->slots[i].max_by) {
            strbuf_adds(out, " (at most ");
            value_format_number(config_keys[i].type, p->slots[i].max, out);
            strbuf_addc(out, ')');
        }
        strbuf_addc(out, '\n');
    }
}

static cJSON *list_json(const char *text, char separator)
{
    const char separators[2] = {separator, '\0'};
    cJSON *list = cJSON_CreateArray();
    _cleanup_free_ char *copy = xstrdup(text);
    for (char *rest = *copy ? copy : NULL, *item; (item = strsep(&rest, separators));)
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(item));
    return list;
}

/* Numbers as numbers (sizes in MiB), lists as arrays, durations as text. */
static void add_value(cJSON *j, const struct config_key *key, const char *text)
{
    if (key->type == CFG_INT || key->type == CFG_MIB)
        json_add_i64(j, "value", value_number(key, text));
    else if (key->type == CFG_BOOL)
        (void)cJSON_AddBoolToObject(j, "value", value_number(key, text) != 0);
    else if (key->type == CFG_LIST)
        (void)cJSON_AddItemToObject(j, "value", list_json(text, key->separator));
    else
        (void)cJSON_AddStringToObject(j, "value", text);
}

static void add_ceiling(cJSON *j, const struct config_key *key, const struct config_slot *slot)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    value_format_number(key->type, slot->max, &text);
    if (key->type == CFG_DURATION)
        (void)cJSON_AddStringToObject(j, "ceiling", text.buf);
    else
        json_add_i64(j, "ceiling", slot->max);
    (void)cJSON_AddStringToObject(j, "ceilingBy", slot->max_by);
}

static cJSON *files_json(const struct config_priv *p)
{
    cJSON *files = cJSON_CreateArray();
    for (size_t i = 0; i < p->n_files; i++) {
        const struct config_file *f = &p->files[i];
        cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "kind", f->kind);
        if (f->path)
            (void)cJSON_AddStringToObject(j, "path", f->path);
        else
            (void)cJSON_AddNullToObject(j, "path");
        (void)cJSON_AddBoolToObject(j, "read", f->read);
        if (f->read) {
            (void)cJSON_AddBoolToObject(j, "trusted", f->trusted);
            (void)cJSON_AddStringToObject(j, "sha256", f->sha256);
        }
        (void)cJSON_AddItemToArray(files, j);
    }
    return files;
}

cJSON *config_show_json(const struct config *cfg)
{
    const struct config_priv *p = config_priv(cfg);
    cJSON *root = cJSON_CreateObject();
    cJSON *keys = cJSON_AddArrayToObject(root, "keys");
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "key", key->name);
        add_value(j, key, p->slots[i].text);
        (void)cJSON_AddStringToObject(j, "source", p->slots[i].origin);
        (void)cJSON_AddStringToObject(j, "type", config_type_name(key->type));
        if (p->slots[i].locked_by)
            (void)cJSON_AddStringToObject(j, "lockedBy", p->slots[i].locked_by);
        if (p->slots[i].max_by)
            add_ceiling(j, key, &p->slots[i]);
        (void)cJSON_AddItemToArray(keys, j);
    }
    (void)cJSON_AddItemToObject(root, "files", files_json(p));
    return root;
}

void config_paths_text(const struct config *cfg, struct strbuf *out)
{
    const struct config_priv *p = config_priv(cfg);
    for (size_t i = 0; i < p->n_files; i++) {
        const struct config_file *f = &p->files[i];
        strbuf_addf(out, "%-8s %-16s %s\n", f->kind,
                    !f->read                                ? "not there"
                    : f->trusted && str_eq(f->kind, "repo") ? "read, trusted"
                                                            : "read",
                    f->path ? SHOWN(f->path) : "(nowhere to look)");
    }
}

cJSON *config_paths_json(const struct config *cfg)
{
    cJSON *root = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(root, "files", files_json(config_priv(cfg)));
    return root;
}
