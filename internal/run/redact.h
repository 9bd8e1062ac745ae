/* redact.h: takes the values of a run's variables out of what is kept of it.
 *
 *   redact_begin → redact, for each text → redact_end
 *
 * The command gets these values and may print them. Each value of six bytes or more becomes the
 * variable's name in brackets, "[API_TOKEN]", and so does each such line of a value with several
 * lines (a terminal ends lines otherwise). Shorter values, such as "true" and "1", stay: without
 * them hardly a text could be read. What the command has changed before it printed it (base64, a
 * part of a value) can't be found.
 *
 * Both the values and the texts can be hostile, so the work is limited and hears Ctrl-C.
 */
#ifndef CRABBOX_RUN_REDACT_H
#define CRABBOX_RUN_REDACT_H

#include <stdbool.h>

#include "run/envset.h"
#include "sync/effort.h"

#define REDACT_MIN 6
/* For all texts together, about a second. A file of 1 MiB with as many lines as it can have and
 * two streams of BUNDLE_STREAM_MAX stay below it. */
#define REDACT_STEPS 300000000LL

struct redact_piece;

struct redactor {
    struct effort effort;
    struct redact_piece *pieces; /* owned; sorted, each once */
    size_t n, alloc;
    size_t longest;
    bool begins[256]; /* whether one begins with this byte */
};

/* `env` is borrowed until redact_end; `d` (may be NULL) too. */
void redact_begin(struct redactor *r, const struct env_set *env, const struct deadline *d);
void redact_end(struct redactor *r);

/* `cut`: the text begins anywhere, so also in the middle of a value. False if the work did not come
 * to an end (r->effort.stop says why): the text is as it was, and must not be kept. */
bool redact(struct redactor *r, struct strbuf *text, bool cut);

#endif
