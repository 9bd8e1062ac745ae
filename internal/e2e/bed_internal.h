/* bed_internal.h: between the files of the bed. */
#ifndef CRABBOX_E2E_BED_INTERNAL_H
#define CRABBOX_E2E_BED_INTERNAL_H

#include <sys/types.h>

#include "base/error.h"

/* The process that is the outside: its own network namespace, DNS and TCP servers. Ends with the
 * caller. ERR_ENV where namespaces can't be made. */
pid_t bed_outside_start(struct error *err);

/* An image directory as scripts/build-image.sh makes it, of files that only look right. */
int bed_make_image(const char *dir, struct error *err);

#endif
