/* values.h: one value's text, checked and brought to its canonical form.
 *
 * The same rules apply to every source. If a source has a rule of its own, struct value_ctx
 * describes it (relative paths of flags), or the caller checks it (types in YAML). Canonical forms:
 * integers decimal, sizes in MiB, durations "1h30m", lists joined by the key's separator, paths
 * absolute.
 */
#ifndef CRABBOX_CONFIG_VALUES_H
#define CRABBOX_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"

#define VALUE_WHY_MAX 320

struct value_ctx {
    const char *home; /* for "~/"; NULL if unknown */
    const char *cwd;  /* base of relative paths; NULL: they are refused */
};

/* Appends the canonical form of `raw` to `out`. On an error it returns -1, and `why` gets the end
 * of a sentence that starts with the key's name ("is 99, more than 32"). */
int value_normalise(const struct config_key *key, const char *raw, const struct value_ctx *ctx,
                    struct strbuf *out, char why[static VALUE_WHY_MAX]);

/* The number behind the canonical text of an integer, size (MiB), duration (ms) or boolean. */
int64_t value_number(const struct config_key *key, const char *canonical);

/* Whether `a` asks for more than `b` does. */
bool value_is_more(const struct config_key *key, int64_t a, int64_t b);

/* Whether a canonical list has this item, of `n` bytes. */
bool value_has_item(const struct config_key *key, const char *list, const char *item, size_t n);

/* "2m", "4GiB", "32": a bound of a key as people write it. */
void value_format_number(enum config_type type, int64_t n, struct strbuf *out);

#endif
