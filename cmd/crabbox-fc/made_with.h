/* made_with.h: options that a lease which is there already can't follow. */
#ifndef CRABBOX_CMD_MADE_WITH_H
#define CRABBOX_CMD_MADE_WITH_H

#include "config/config.h"
#include "lease/lease.h"

/* A warning for each option of this command line that asks for another machine or another time than
 * the lease has. Nothing is said of what it has anyway. */
void made_with_warn(const struct config *cfg, const struct lease *l);

#endif
