/* name.h: names of archive entries, judged before anything of the host is touched. */
#ifndef CRABBOX_FETCH_NAME_H
#define CRABBOX_FETCH_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum name_verdict {
    NAME_OK,
    NAME_ODD,    /* control characters, what hides or reorders text: left out */
    NAME_HOSTILE /* absolute, "..", empty, too long: no honest tar sends it */
};

/* Puts the name without leading and inner "./" and trailing slashes into out ("" for "."). */
enum name_verdict name_clean(const char *name, char *out, size_t size);

/* ---- obeyed.c ---- */

/* Whether tools of the host obey a file or directory of this name (one component of `len` bytes)
 * without being asked to, wherever it lies: the table is in obeyed.c. Also in other spellings that
 * some filesystem treats as the same name. */
bool name_obeyed(const char *component, size_t len);
/* How much of a path leads up to its first component that is such a name, with it; 0 if none is.
 * HEAD only with `head_too`. */
size_t name_upto_obeyed(const char *path, bool head_too);
/* Whether it is that of a repository's own directory (.git), to which HEADs belong. */
bool name_is_store(const char *component, size_t len);

#endif
