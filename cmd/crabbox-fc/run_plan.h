/* run_plan.h: run --sync-plan: what a sync would take along, without a lease. */
#ifndef CRABBOX_CMD_RUN_PLAN_H
#define CRABBOX_CMD_RUN_PLAN_H

#include "cmd.h"
#include "sync/sync.h"

/* The limits of a scan as the options, the configuration and the store have them. */
struct sync_limits run_plan_limits(const struct invocation *in);

/* `dir_fd` (borrowed) lies in the tree. Prints one line a file on stdout, "<bytes> <path>", and a
 * summary on stderr. Touches nothing. */
int run_plan_print(struct invocation *in, int dir_fd, struct error *err);

#endif
