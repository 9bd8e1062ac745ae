/* plain.h: what an unquoted scalar is to readers of YAML, of version 1.1 or 1.2.
 *
 * A value that one of them takes for a number, a boolean, a date or nothing is never taken for text
 * here: whoever reads the file must not have to know which reader it is for.
 */
#ifndef CRABBOX_CONFIG_PLAIN_H
#define CRABBOX_CONFIG_PLAIN_H

enum plain_kind { PLAIN_TEXT, PLAIN_NOTHING, PLAIN_BOOLEAN, PLAIN_NUMBER, PLAIN_DATE };

enum plain_kind plain_kind(const char *s);

/* "a number"; NULL for text. */
const char *plain_kind_name(enum plain_kind kind);

#endif
