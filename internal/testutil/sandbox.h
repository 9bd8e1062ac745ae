/* sandbox.h: a test's own corner of the machine.
 *
 * sandbox_enter moves the calling process into its own network and mount namespaces, with `lo` up
 * and a fresh tmpfs on /run: whatever the test then makes there ends with the process. Call it
 * once, first thing. Needs root.
 */
#ifndef CRABBOX_TESTUTIL_SANDBOX_H
#define CRABBOX_TESTUTIL_SANDBOX_H

#include <stdbool.h>

#include "base/error.h"

int sandbox_enter(struct error *err);

/* For group setups: true when entered. False where this is not root: the caller skips, except
 * with CI=true, where it ends the process as failed. */
bool sandbox_enter_or_skip(void);

/* Waits up to `ms` until this process has no children left (it is made the reaper of orphans by
 * sandbox_enter). 0 when none is left, else 1. */
int sandbox_children_left(int ms);

#endif
