/* hung.h: the message for a guest that hangs in a phase of a run or a copy. */
#ifndef CRABBOX_RUN_HUNG_H
#define CRABBOX_RUN_HUNG_H

#include "ops/ops.h"

/* ERR_TIMEOUT means here that the guest hangs: it gets the kind of the phase it hung in, ERR_SYNC
 * or ERR_SSH, and what to type next. Other errors stay as they are. Returns -1. */
int hung_in(enum err_kind kind, const struct lease *l, bool lease_ends, struct error *err);

/* The same for a command that could be lost as well: then its logs may tell why. */
int hung_or_lost(const struct lease *l, bool lease_ends, struct error *err);

/* What to type next where the guest says that its disk is full or read-only. Returns -1. */
int hung_or_full(const struct lease *l, struct error *err);

#endif
