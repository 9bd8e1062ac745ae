/* fold.h: a name as the most forgiving of filesystems compares it. */
#ifndef CRABBOX_FETCH_FOLD_H
#define CRABBOX_FETCH_FOLD_H

#include <limits.h>
#include <stddef.h>

/* A character of three bytes may stand for four others. */
enum { FOLDED_MAX = 2 * NAME_MAX };

/* One component of a path, of `len` bytes, as seen by a filesystem that ignores case and invisible
 * characters, takes other forms of a letter, digit or sign for the plain one (ZFS with
 * normalization=formKC), ends a name at ":" (NTFS streams) and strips dots and blanks from its end.
 * Of a name that is too long for any filesystem only the beginning. */
void fold_name(const char *name, size_t len, char out[static FOLDED_MAX]);

#endif
