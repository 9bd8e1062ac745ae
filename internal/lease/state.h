/* state.h: what a lease's record may be, and what it may become.
 *
 *   creating ──→ ready ──→ releasing ──→ (the directory is gone)
 *       └───────────────────→ │ ↑
 *                           broken
 *
 * Every write of a record is one move of this table, and what is written keeps the rules below.
 * Builds with -DCRABBOX_FC_CHECKED (make asan) abort where one doesn't; others don't look, since a
 * lease must be undone whatever its record has become.
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

/* Before there is a record. */
#define LEASE_NEW (-1)

/* Whether the state may follow `from`, which may be LEASE_NEW; the same state always may. */
bool lease_may_become(int from, enum lease_state to);

/* ERR_INTERNAL names the rule that the record breaks. */
int lease_check(const struct lease *l, struct error *err);

#endif
