/* run.h: a command in a lease: acquire or reuse, sync, execute, release. */
#ifndef CRABBOX_RUN_RUN_H
#define CRABBOX_RUN_RUN_H

#include <limits.h>

#include "ops/ops.h"
#include "run/bundle.h"
#include "run/collect.h"
#include "run/envset.h"
#include "ssh/ssh.h"

/* After what outcome of the command the lease is stopped. */
enum ops_stop_after {
    STOP_AS_MADE, /* one that was made for the run, unless it is kept; never another */
    STOP_SUCCESS,
    STOP_FAILURE,
    STOP_ALWAYS,
    STOP_NEVER,
};

struct ops_run {
    const char *ref;  /* an existing lease, or NULL: make one for this run */
    const char *slug; /* for a new one; NULL: made up */
    bool keep;        /* a new one stays afterwards */
    bool keep_on_failure;
    const char *const *argv; /* NULL-terminated; NULL with sync_only */
    bool shell;              /* argv is joined and read by bash */
    const char *script;      /* what runs instead, with argv as its arguments; or NULL */
    size_t script_len;
    const struct env_set *env; /* for the command; NULL: nothing but what each run sets */
    const char *term;          /* a terminal of this kind, stdin_fd being one; NULL: none */
    int64_t timeout_ms;        /* for the command; 0: none */
    int64_t wait_ms;           /* for another run on the lease; 0: refuse at once */
    int64_t stall_ms;          /* a guest in which nothing moves hangs; 0: SSH_STALL_MS */
    enum ops_stop_after stop_after;
    const struct ops_collect *collect; /* what to bring back; NULL: nothing */
    struct bundle *bundle; /* gets what stays of the run if it fails; NULL: nothing stays */
    bool no_sync, sync_only;
    /* Of the sync: empty the guest's directory first; no limit on size; none on deletions. */
    bool full_resync, sync_large, delete_many;
    bool no_git;  /* a .git means nothing: all files of the directory */
    bool reclaim; /* likewise if the directory belongs to another tree */
    int dir_fd;   /* where in the working tree the user is; borrowed, may be O_PATH; with no_sync it
                     may be -1 */
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed; stdin -1: none */
    /* Names of the files that the two are, which fill no disk; NULL: the user's own streams. */
    const char *capture_stdout, *capture_stderr;
};

struct ops_run_result {
    struct lease lease;
    bool acquired, released;
    const char *phase;        /* "lease", "sync", "run", "collect", "stop": the last begun */
    bool ran;                 /* the command was started; status is valid */
    struct ssh_status status; /* how it ended */
    bool timed_out;           /* ended by us when its time was over; status says nothing then */
    char run_id[24];          /* "" until it has its lease */
    char work_dir[LEASE_PATH_SIZE + PATH_MAX]; /* in the guest; "" until it is known */
    size_t files;
    int64_t bytes;
    size_t files_sent, files_deleted; /* of them this time */
    int64_t bytes_sent;
    int64_t connect_us; /* to a lease that was there */
    int64_t lease_us, sync_us, command_us, stop_us, total_us;
    struct ops_collected collected;
    struct ops_timing timing; /* of the acquire */
};

/* Returns 0 when the command ran, whatever its code; -1 when something of ours failed. `res` is
 * filled as far as it came in both cases, and a lease made for the run is released unless kept. */
int ops_run(struct ops *o, const struct ops_run *req, struct ops_run_result *res,
            struct error *err);

/* A command whose time was over, as of timeout(1). */
#define OPS_EXIT_TIMEOUT 124

/* The exit code of a shell for this status: the code, or 128 + signal number. */
int ops_exit_code(const struct ssh_status *st);

#endif
