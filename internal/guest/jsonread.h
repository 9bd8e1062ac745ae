/* jsonread.h: a small JSON reader for the guest.
 *
 * The guest's init is one static program and Debian ships no static JSON library, so the
 * seed is read by this: a tree of nodes, bounded in depth and number, strict about
 * syntax, UTF-8 passed through. The rest of the project uses base/json.h.
 *
 * Ownership: jr_parse() gives a tree that jr_free() (or _cleanup_jr_) releases; every
 * pointer that the getters return lives as long as the tree.
 */
#ifndef CRABBOX_GUEST_JSONREAD_H
#define CRABBOX_GUEST_JSONREAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

enum jr_type { JR_NULL, JR_BOOL, JR_NUMBER, JR_STRING, JR_ARRAY, JR_OBJECT };

struct jr_node {
    enum jr_type type;
    char *key;  /* name in the parent object, else NULL */
    char *text; /* decoded string, or the literal of a number or bool; NULL for containers */
    struct jr_node *child;
    struct jr_node *next;
};

/* One whole JSON value; `what` names the source in messages. NULL on error. */
struct jr_node *jr_parse(const char *text, size_t len, const char *what, struct error *err);
void jr_free(struct jr_node *node);

/* The member `key` of an object; NULL if absent or if `obj` is NULL or no object. */
const struct jr_node *jr_get(const struct jr_node *obj, const char *key);
/* The same if it is a string, its text, else NULL. */
const char *jr_get_string(const struct jr_node *obj, const char *key);
/* True if the member is the literal true. */
bool jr_get_true(const struct jr_node *obj, const char *key);
/* First element of an array (walk on by ->next); NULL if it is no array. */
const struct jr_node *jr_first(const struct jr_node *array);

static inline void cleanup_jr(struct jr_node **node)
{
    jr_free(*node);
}
#define _cleanup_jr_ _cleanup_(cleanup_jr)

#endif
