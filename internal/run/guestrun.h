/* guestrun.h: how a command gets into the guest, starts there, and is ended completely.
 *
 *   guest_run_make_id → guest_run_init → guest_run_put [→ guest_run_put_script]
 *                     → ssh_exec(guest_run_command)
 *                     → guest_run_end, if it must not live on → guest_run_clean
 *
 * The words of the command and the values of its environment travel over SSH into a file. Only the
 * guest's user can enter the directory of that file. So no argument vector on either side shows
 * them. The SSH server's limit on the length of a command does not matter, and it may refuse
 * variables. The file removes itself before the command begins. It is beside the work directory, or
 * in memory (/dev/shm) where there can be no file: so a command starts also on a full or read-only
 * disk. If the guest's clock stood still, it is set before the command begins.
 *
 * guest_run_end finds the processes of the run by CRABBOX_RUN_ID in their environment and by
 * descent. So a process can't escape by leaving the session or the process group, or by forking
 * while guest_run_end looks. Only one kind of process escapes: it was started without that
 * variable, and its ancestors had all ended before. Processes get SIGTERM first and SIGKILL two
 * seconds later. Processes of other users are ended by sudo, if the guest allows it. If a guest is
 * too busy for all that, every process of its user is ended, and the caller is told.
 *
 * The connection is borrowed. Errors: ERR_SSH with the guest's message, and those of ssh_exec.
 */
#ifndef CRABBOX_RUN_GUESTRUN_H
#define CRABBOX_RUN_GUESTRUN_H

#include <stdbool.h>
#include <stddef.h>

#include "lease/lease.h"
#include "run/envset.h"
#include "ssh/ssh.h"

#define GUEST_RUN_ID_SIZE 17 /* "run_" + 12 hex */

struct guest_run {
    struct ssh_conn *conn; /* borrowed */
    char id[GUEST_RUN_ID_SIZE];
    char dir[LEASE_PATH_SIZE + LEASE_ID_SIZE + 32]; /* private, in the guest */
    bool placed;                                    /* there may be something in dir */
    int64_t behind_us;                              /* what its clock has lost, */
    int64_t booted_us;                              /* and when it booted, by that clock */
};

/* What runs, and in what surroundings. */
struct guest_command {
    const struct lease *lease;
    const char *work_dir;
    bool elsewhere;          /* if work_dir can't be had, it starts in another directory */
    const char *const *argv; /* NULL-terminated; with a script, its arguments */
    bool shell;              /* argv is joined and read by bash */
    bool script;             /* guest_run_put_script follows */
    bool has_shebang;        /* of the script; else bash reads it */
    bool terminal;           /* it gets one */
    bool keeps_dir; /* for the caller, until guest_run_clean: its time is that of the start */
    const struct env_set *env;
};

void guest_run_make_id(char id[static GUEST_RUN_ID_SIZE]);

/* -1 if the lease's paths are too long. */
int guest_run_init(struct guest_run *g, struct ssh_conn *conn, const struct lease *l,
                   const char *id, struct error *err);
/* One that has been put there before, maybe by an earlier process; ERR_STATE if `id` is none. */
int guest_run_again(struct guest_run *g, struct ssh_conn *conn, const struct lease *l,
                    const char *id, struct error *err);

int guest_run_put(struct guest_run *g, const struct guest_command *c, const struct deadline *d,
                  struct error *err);
int guest_run_put_script(struct guest_run *g, const char *text, size_t len,
                         const struct deadline *d, struct error *err);

/* What to give ssh_exec. */
void guest_run_command(const struct guest_run *g, struct strbuf *out);

/* Ends every process of the run; 1 where there were any, 0 where there were none. The guest takes
 * some seconds; GUEST_RUN_END_MS is enough also where it is busy. */
#define GUEST_RUN_END_MS 30000
int guest_run_end(struct guest_run *g, const struct deadline *d, struct error *err);

/* Removes what is left in the private directory: best effort, within a second. */
void guest_run_clean(struct guest_run *g);

#endif
