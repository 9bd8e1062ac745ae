/* obeyed_names.h: the table of names that a guest must not plant. */
#ifndef CRABBOX_FETCH_OBEYED_NAMES_H
#define CRABBOX_FETCH_OBEYED_NAMES_H

#include <stddef.h>

#define OBEYED_HEAD "head" /* does not always count: name_upto_obeyed */

struct obeyed_name {
    const char *name; /* in lower case */
    const char *by;   /* the program, and what it takes from there */
};

extern const struct obeyed_name obeyed_names[];
extern const size_t obeyed_names_n;

#endif
