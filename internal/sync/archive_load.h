/* archive_load.h: libarchive, loaded when the first archive is packed; see sys/lib.h. */
#ifndef CRABBOX_SYNC_ARCHIVE_LOAD_H
#define CRABBOX_SYNC_ARCHIVE_LOAD_H

#include "base/error.h"

/* Before the first call of libarchive, to fail with a message (ERR_ENV) where it can't be loaded.
 */
int archive_load(struct error *err);

#endif
