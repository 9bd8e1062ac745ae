/* redact.h: takes the values of a run's variables out of a text that is kept.
 *
 * The command gets these values and may print them. Each value of six bytes or more becomes the
 * variable's name in brackets, "[API_TOKEN]", and so does each such line of a value with several
 * lines (a terminal ends lines otherwise). Shorter values, such as "true" and "1", stay: without
 * them hardly a text could be read. What the command has changed before it printed it (base64, a
 * part of a value) can't be found.
 */
#ifndef CRABBOX_RUN_REDACT_H
#define CRABBOX_RUN_REDACT_H

#include <stdbool.h>

#include "run/envset.h"

#define REDACT_MIN 6

/* `cut`: the text begins anywhere, so also in the middle of a value. */
void redact(const struct env_set *env, struct strbuf *text, bool cut);

#endif
