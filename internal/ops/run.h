/* run.h: a command in a lease: acquire or reuse, sync, execute, release. */
#ifndef CRABBOX_OPS_RUN_H
#define CRABBOX_OPS_RUN_H

#include "ops/ops.h"
#include "ssh/ssh.h"

struct ops_run {
    const char *ref;  /* an existing lease, or NULL: make one for this run */
    const char *slug; /* for a new one; NULL: made up */
    bool keep;        /* a new one stays afterwards */
    bool keep_on_failure;
    const char *const *argv; /* NULL-terminated; NULL with sync_only */
    bool shell;              /* argv is joined and read by bash */
    bool no_sync, sync_only;
    const char *dir;                    /* the working tree */
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed; stdin -1: none */
};

struct ops_run_result {
    struct lease lease;
    bool acquired, released;
    bool ran;                 /* the command was started; status is valid */
    struct ssh_status status; /* how it ended */
    size_t files;
    int64_t bytes;
    size_t files_sent, files_deleted; /* of them this time */
    int64_t bytes_sent;
    int64_t lease_us, sync_us, command_us, stop_us, total_us;
    struct ops_timing timing; /* of the acquire */
};

/* Returns 0 when the command ran, whatever its code; -1 when something of ours failed. `res` is
 * filled as far as it came in both cases, and a lease made for the run is released unless kept. */
int ops_run(struct ops *o, const struct ops_run *req, struct ops_run_result *res,
            struct error *err);

/* The exit code of a shell for this status: the code, or 128 + signal number. */
int ops_exit_code(const struct ssh_status *st);

#endif
