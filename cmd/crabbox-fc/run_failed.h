/* run_failed.h: what is kept and said of a run that failed. */
#ifndef CRABBOX_CMD_RUN_FAILED_H
#define CRABBOX_CMD_RUN_FAILED_H

#include "cmd.h"
#include "run/run.h"

/* `j` is its JSON, which gets "failureBundle" where a directory was made. A failure in here is only
 * told. True if it has printed the error, because what it says comes after that. */
bool run_failed(struct invocation *in, const struct ops_run *req, const struct ops_run_result *r,
                int code, const struct error *e, cJSON *j);

#endif
