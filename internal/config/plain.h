/* plain.h: what a reader of YAML, of version 1.1 or 1.2, takes an unquoted scalar for.
 *
 * A value that any of them takes for a number, a boolean, a date or nothing is never taken for text
 * here. So a person who reads the file need not know by which version it is read.
 */
#ifndef CRABBOX_CONFIG_PLAIN_H
#define CRABBOX_CONFIG_PLAIN_H

enum plain_kind { PLAIN_TEXT, PLAIN_NOTHING, PLAIN_BOOLEAN, PLAIN_NUMBER, PLAIN_DATE };

enum plain_kind plain_kind(const char *s);

/* "a number"; NULL for text. */
const char *plain_kind_name(enum plain_kind kind);

#endif
