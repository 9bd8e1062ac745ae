/* state.h: the states of a lease's record, and how they may change.
 *
 *   creating ──→ ready ──→ releasing ──→ (the directory is gone)
 *       └───────────────────→ │ ↑
 *                           broken
 *
 * Every write of a record is one of these moves, and the record that is written obeys the rules
 * below. Builds with -DCRABBOX_FC_CHECKED (make asan) abort if it does not. Other builds don't
 * check, because it must be possible to undo a lease whatever has become of its record.
 *
 *   creating   marks are done up to the step that runs, and none behind it
 *   ready      every mark is done, and the keeper is known
 *   releasing  any marks: an undo passes failures
 *   broken     the reason is known
 */
#ifndef CRABBOX_LEASE_STATE_H
#define CRABBOX_LEASE_STATE_H

#include "base/error.h"
#include "lease/lease.h"

/* The state before there is a record. */
#define LEASE_NEW (-1)

/* Whether the state may follow `from`, which may be LEASE_NEW. A state may always stay the same. */
bool lease_may_become(int from, enum lease_state to);

/* ERR_INTERNAL names the rule that the record breaks. */
int lease_check(const struct lease *l, struct error *err);

#endif
