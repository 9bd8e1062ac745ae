/* place.h: where on the host something from the guest goes, as cp has it.
 *
 * A directory that exists, or a path that ends with "/", takes it under the name it had; any other
 * path is its new name. Missing directories on the way are made.
 */
#ifndef CRABBOX_OPS_PLACE_H
#define CRABBOX_OPS_PLACE_H

#include <limits.h>

#include "base/error.h"

struct place {
    int dirfd; /* owned */
    char name[NAME_MAX + 1];
};

int place_open(const char *local, const char *remote, struct place *out, struct error *err);
void place_close(struct place *p);

/* The last component of a path without trailing slashes: "" for "/" or "". -1: too long. */
int path_base(const char *path, char out[static NAME_MAX + 1]);

#endif
