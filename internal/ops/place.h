/* place.h: where on the host something from the guest goes, as cp has it.
 *
 * A directory that exists, or a path that ends with "/", takes it under the name it had; any other
 * path is its new name. Missing directories on the way are made. The way is gone as
 * sys/beneath.h has it: no symlink of a working tree is followed.
 */
#ifndef CRABBOX_OPS_PLACE_H
#define CRABBOX_OPS_PLACE_H

#include <limits.h>

#include "base/error.h"

/* What was typed: `what` is the option, `tree` the --dir or NULL. */
struct place_wish {
    const char *what, *local, *remote, *tree;
};

struct place {
    int dirfd; /* owned */
    char name[NAME_MAX + 1];
};

int place_open(const struct place_wish *wish, struct place *out, struct error *err);
void place_close(struct place *p);
/* Says beforehand, and makes nothing, if it could not be opened because of what is there now. */
int place_check(const struct place_wish *wish, struct error *err);

/* The last component of a path without trailing slashes: "" for "/" or "". -1: too long. */
int path_base(const char *path, char out[static NAME_MAX + 1]);

#endif
