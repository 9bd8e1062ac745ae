/* step_cgroup.h: the step that makes a lease's control group (sys/cgroup.h). The VMM is started in
 * it; the keeper, which ends it, and whoever makes the lease are not in it. Only steps.c uses it.
 */
#ifndef CRABBOX_LOCAL_STEP_CGROUP_H
#define CRABBOX_LOCAL_STEP_CGROUP_H

#include "ops/work.h"

int step_cgroup_prepare(void *ctx, struct error *err);
int step_cgroup_apply(void *ctx, struct error *err);
int step_cgroup_undo(void *ctx, struct error *err);

#endif
