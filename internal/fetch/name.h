/* name.h: checks the names of archive entries before anything on the host is changed. */
#ifndef CRABBOX_FETCH_NAME_H
#define CRABBOX_FETCH_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum name_verdict {
    NAME_OK,
    NAME_ODD,    /* has control characters, or characters that hide or reorder text: left out */
    NAME_HOSTILE /* absolute, with "..", empty or too long: an honest tar never sends it */
};

/* `out` gets the name without "./" and without slashes at the end ("" for "."). */
enum name_verdict name_clean(const char *name, char *out, size_t size);

/* ---- obeyed.c ---- */

/* Whether tools of the host obey a file or directory of this name (one component of `len` bytes)
 * without being asked to, wherever it lies: the table is in obeyed_names.c. Also true for other
 * spellings that some filesystem treats as the same name. */
bool name_obeyed(const char *component, size_t len);
/* Length of the path up to and including its first component that is such a name; 0 if there is
 * none. HEAD counts only with `head_too`. */
size_t name_upto_obeyed(const char *path, bool head_too);
/* Whether it is the name of a repository's own directory (.git and the like), which has HEAD
 * files. */
bool name_is_store(const char *component, size_t len);

#endif
