/* values.h: one value's text, checked and brought to its canonical form.
 *
 * The same rules hold for every source; where a source adds one (YAML's types, a flag's relative
 * path) it is said by struct value_ctx or done by the caller. Canonical forms: integers decimal,
 * sizes in MiB, durations "1h30m", lists joined by the key's separator, paths absolute.
 */
#ifndef CRABBOX_CONFIG_VALUES_H
#define CRABBOX_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "config/config.h"

#define VALUE_WHY_MAX 320

struct value_ctx {
    const char *home; /* for "~/"; NULL where unknown */
    const char *cwd;  /* base of relative paths; NULL: they are refused */
};

/* Appends the canonical form of `raw` to `out`; or returns -1 and says in `why`, as the end of a
 * sentence that starts with the key's name, what is wrong ("is 99, more than 32"). */
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
