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

/* "2m", "4GiB", "32": a bound of a key as people write it. */
void value_format_number(enum config_type type, int64_t n, struct strbuf *out);

/* Copies `s` for a message: bytes that are no visible character become '?', long text is cut. */
void value_printable(const char *s, char *out, size_t size);

/* A path or a place as messages show it: printable, and of a long one only the end, so that what is
 * said about it still fits. SHOWN is valid within the full expression. */
#define SHOWN_MAX 240
struct shown {
    char text[SHOWN_MAX];
};
struct shown value_shown(const char *path);
#define SHOWN(path) (value_shown(path).text)

/* True if `s` is valid UTF-8 without control characters (but newline and tab where `lines`) and
 * without the invisible ones that reorder text. On failure *at is the offending byte's offset. */
bool value_text_ok(const char *s, size_t len, bool lines, size_t *at);

#endif
