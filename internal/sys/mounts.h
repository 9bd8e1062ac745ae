/* mounts.h: the table of mounts of this process, and leaving behind what would mount more. */
#ifndef CRABBOX_SYS_MOUNTS_H
#define CRABBOX_SYS_MOUNTS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

int mounts_read(struct strbuf *table, struct error *err);
/* The next line's mount point and type of filesystem; false at the end. Cuts the table up: *rest is
 * its text at first. */
bool mounts_next(char **rest, char **point, char **type);

/* Where the host's automounters stand, each name with its NUL, but for those on the way to `keep`.
 * Whoever looks at a name below one has root mount what that name says, from another machine too.
 */
int mounts_automatic(const char *keep, struct strbuf *points, struct error *err);

/* Takes them out of a mount namespace of this process's own; does nothing where there are none.
 * Async-signal-safe. -1 with errno. */
int mounts_leave(const struct strbuf *points);

#endif
