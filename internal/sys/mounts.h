/* mounts.h: the table of mounts of this process. */
#ifndef CRABBOX_SYS_MOUNTS_H
#define CRABBOX_SYS_MOUNTS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

int mounts_read(struct strbuf *table, struct error *err);
/* Gets mount point and filesystem type of the next line, and the options of the filesystem itself;
 * false at the end. At first, *rest is the text of the table, which is changed. */
bool mounts_next(char **rest, char **point, char **type, char **options);

#endif
