/* guestrun.h: a command's stay in the guest: how it gets there, starts, and is ended whole.
 *
 *   guest_run_init → guest_run_put [→ guest_run_put_script] → ssh_exec(guest_run_command)
 *                  → guest_run_end, when it must not live on → guest_run_clean
 *
 * The words of the command and the values of its environment travel over SSH into a file in a
 * directory that only the guest's user can enter. So no argument vector on either side shows them,
 * and neither the SSH server's limit on a command nor its refusal of variables is in the way. The
 * file removes itself before the command begins.
 *
 * guest_run_end finds what belongs to the run by CRABBOX_RUN_ID in its environment and by descent:
 * leaving the session or the process group does not help a process, nor does forking on while it
 * looks. What does escape: a process that was started with that variable taken away and whose
 * parents had all ended before. SIGTERM first, SIGKILL two seconds later; processes of other users
 * by sudo, where the guest allows it. A guest too busy for all that has every process of its user
 * ended, and the caller is told.
 *
 * The connection is borrowed. Errors: ERR_SSH with what the guest said, and those of ssh_exec.
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
};

/* What runs, and in what surroundings. */
struct guest_command {
    const struct lease *lease;
    const char *work_dir;
    const char *const *argv; /* NULL-terminated; with a script, its arguments */
    bool shell;              /* argv is joined and read by bash */
    bool script;             /* guest_run_put_script follows */
    bool has_shebang;        /* of the script; else bash reads it */
    const struct env_set *env;
};

/* Makes up the id. -1 if the lease's paths are too long. */
int guest_run_init(struct guest_run *g, struct ssh_conn *conn, const struct lease *l,
                   struct error *err);

int guest_run_put(struct guest_run *g, const struct guest_command *c, const struct deadline *d,
                  struct error *err);
int guest_run_put_script(struct guest_run *g, const char *text, size_t len,
                         const struct deadline *d, struct error *err);

/* What to give ssh_exec. */
void guest_run_command(const struct guest_run *g, struct strbuf *out);

/* Ends every process of the run. The guest takes some seconds; GUEST_RUN_END_MS is enough also
 * where it is busy. */
#define GUEST_RUN_END_MS 30000
int guest_run_end(struct guest_run *g, const struct deadline *d, struct error *err);

/* Removes what is left in the private directory: best effort, within a second. */
void guest_run_clean(struct guest_run *g);

/* For tests: the file that starts the command. */
void guest_run_start_text(const struct guest_run *g, const struct guest_command *c,
                          struct strbuf *out);

#endif
