/* execute.h: the part of a run in which the user's command runs.
 *
 * Puts the command into the guest and connects it to the three streams (or the terminal). Then
 * waits for the command's end, its time limit, the user's Ctrl-C, or the loss of the guest. If we
 * stop waiting for a command, it is ended with everything that it started, unless the lease ends
 * anyway.
 */
#ifndef CRABBOX_RUN_EXECUTE_H
#define CRABBOX_RUN_EXECUTE_H

#include "ops/session.h"
#include "run/run.h"

struct execution {
    struct session *session; /* borrowed */
    const char *work_dir;
    bool lease_ends; /* if this fails, the lease is released: nothing needs ending in the guest */
};

/* Fills res->status, ran, timed_out, command_us. 0 when the command ran, also when its time
 * was over; ERR_SSH or ERR_VMM when the guest was lost, ERR_TIMEOUT when it hangs, ERR_CANCELLED,
 * ERR_IO. */
int execute_run(const struct execution *x, const struct ops_run *req, struct ops_run_result *res,
                struct error *err);

#endif
