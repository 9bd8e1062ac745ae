/* lock.h: whole-file locks that the kernel frees when the holder dies.
 *
 * A lock belongs to the open file (an open-file-description lock). No child keeps it (O_CLOEXEC),
 * and it ends with the process, however that ends. The existence of the file means nothing.
 */
#ifndef CRABBOX_SYS_LOCK_H
#define CRABBOX_SYS_LOCK_H

#include <stdbool.h>

#include "base/error.h"
#include "sys/deadline.h"

/* Takes the exclusive lock on `name` below dirfd, creating the file (0600) if `create`.
 * Without waiting: ERR_BUSY when another holds it. Returns the descriptor that is the lock. */
int lock_try(int dirfd, const char *name, bool create, struct error *err);

/* The same, waiting until the deadline (ERR_TIMEOUT). */
int lock_wait(int dirfd, const char *name, bool create, const struct deadline *d,
              struct error *err);

/* Takes a shared lock: many may hold it at once, lock_is_held sees them. Without waiting. */
int lock_share(int dirfd, const char *name, struct error *err);

/* Whether somebody holds the lock now; takes nothing. -1 on error (ENOENT in err->sys). */
int lock_is_held(int dirfd, const char *name, struct error *err);

/* The same for callers that would remove something: false only if it is certain that nobody holds
 * it. */
bool lock_may_be_held(int dirfd, const char *name);

#endif
