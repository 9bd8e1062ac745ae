/* run_timing.h: what a run comes to, as JSON: the line of --timing-json. */
#ifndef CRABBOX_CMD_RUN_TIMING_H
#define CRABBOX_CMD_RUN_TIMING_H

#include "cmd.h"
#include "run/run.h"

/* `code` is our exit code, `e` the error of the run or one that is not set. The caller frees it. */
cJSON *run_timing_json(const struct invocation *in, const struct ops_run_result *r, int code,
                       const struct error *e);

#endif
