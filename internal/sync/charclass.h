/* charclass.h: the named classes of characters in a bracket, such as [[:digit:]_]. As in git, they
 * match ASCII characters only. */
#ifndef CRABBOX_SYNC_CHARCLASS_H
#define CRABBOX_SYNC_CHARCLASS_H

#include <stdbool.h>

struct charclass;

/* If there is a "[:name:]" at p, returns what follows it, else NULL. *out is the class, NULL where
 * none has that name. *close is where a reader from left to right last found a "]", in the
 * beginning p itself: so all of the text is searched for them once. */
const char *charclass_read(const char *p, const char **close, const struct charclass **out);
bool charclass_has(const struct charclass *t, unsigned char c);

#endif
