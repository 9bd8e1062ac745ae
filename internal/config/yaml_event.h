/* yaml_event.h: libyaml's events one at a time, for the reader in yaml.c.
 *
 * Call reader_check_bytes() on the whole text, then reader_next() for each event. The current event
 * belongs to the reader. Anchors, aliases, tags and directives fail here, because they can give a
 * value another meaning than the text that is there. Errors are ERR_CONFIG with the position, in
 * the reader's `err`; functions return 0 or -1.
 */
#ifndef CRABBOX_CONFIG_YAML_EVENT_H
#define CRABBOX_CONFIG_YAML_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include <yaml.h>

#include "base/text.h"
#include "config/yaml.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    char name[SHOWN_MAX];
    const struct value_ctx *ctx;
    struct config_doc *doc;
    bool with_floor;
    bool floor_seen;
    bool from_home;                   /* the last value was a path that starts with ~ */
    bool block_seen[CONFIG_KEYS_MAX]; /* by the index of the block's first key */
    struct error *err;
};

/* Sets the error "name:line:column: text". The mark counts from 0, the message from 1. */
int reader_fail(struct reader *r, yaml_mark_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves to the next event. */
int reader_next(struct reader *r);

/* The text of the current event, which must be a scalar. It is valid until the next event. */
const char *reader_text(const struct reader *r);

/* Fails unless the current event is a scalar without NUL bytes (a "\0" escape makes one). */
int reader_want_scalar(struct reader *r, const char *what);

/* Fails on bytes that no configuration file needs, before libyaml sees them. */
int reader_check_bytes(struct reader *r, const char *text, size_t len);

#endif
