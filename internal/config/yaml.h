/* yaml.h: turns the bytes of one configuration file into checked assignments with their positions.
 *
 * The reader takes a subset of YAML on purpose: one document, a mapping of known keys, at most one
 * level of blocks, plain or quoted scalars, and sequences of scalars for lists. Everything that
 * could hide a value from a person who reads the file is an error: anchors, aliases, merge keys,
 * tags, directives, duplicate keys, a second document, invalid UTF-8, control and invisible
 * characters.
 *
 * Nothing here touches files; see source.h. Free a document with config_doc_free, also after an
 * error.
 */
#ifndef CRABBOX_CONFIG_YAML_H
#define CRABBOX_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "config/keys.h"
#include "config/values.h"

#define CONFIG_FILE_MAX (1 << 20)

struct config_entry {
    const struct config_key *key;
    char *value; /* canonical */
    size_t line, column;
    bool from_home; /* a path that was written with ~ */
};

struct config_doc {
    struct config_entry entries[CONFIG_KEYS_MAX];
    size_t n_entries;
    /* The floor block, in the system's file only. */
    struct {
        size_t locked_line; /* 0: not locked */
        size_t max_line;    /* 0: no ceiling */
        int64_t max;
    } floor[CONFIG_KEYS_MAX];
};

/* Parses `text`. `name` is the file's name in messages ("name:line:column: ..."). `with_floor`
 * allows the floor block. 0, or -1 with ERR_CONFIG. */
int config_parse_yaml(const char *name, const char *text, size_t len, bool with_floor,
                      const struct value_ctx *ctx, struct config_doc *out, struct error *err);
void config_doc_free(struct config_doc *doc);

#endif
