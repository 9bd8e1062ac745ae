/* name.h: names of archive entries, judged before anything of the host is touched. */
#ifndef CRABBOX_FETCH_NAME_H
#define CRABBOX_FETCH_NAME_H

#include <stddef.h>

enum name_verdict {
    NAME_OK,
    NAME_ODD,    /* control characters: left out */
    NAME_HOSTILE /* absolute, "..", empty, too long: no honest tar sends it */
};

/* Puts the name without leading and inner "./" and trailing slashes into out ("" for "."). */
enum name_verdict name_clean(const char *name, char *out, size_t size);

#endif
