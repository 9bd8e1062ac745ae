/* mounts.h: the table of mounts of this process. */
#ifndef CRABBOX_SYS_MOUNTS_H
#define CRABBOX_SYS_MOUNTS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

int mounts_read(struct strbuf *table, struct error *err);
/* The next line's mount point, type of filesystem, and the options of the filesystem itself; false
 * at the end. Cuts the table up: *rest is its text at first. */
bool mounts_next(char **rest, char **point, char **type, char **options);

#endif
