/* proc.h: references to processes that stay valid when this program ends or the host reboots.
 *
 * A pid alone can be reused for another process. The triple of pid, start time and boot id can't,
 * so that is what a lease records. A process is signalled only through a pidfd that was opened
 * first and then compared with the triple.
 */
#ifndef CRABBOX_SYS_PROC_H
#define CRABBOX_SYS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "sys/deadline.h"

#define BOOT_ID_SIZE 37 /* UUID text and NUL */

struct proc_ref {
    pid_t pid;           /* 0: none */
    uint64_t start_time; /* clock ticks since boot: field 22 of /proc/PID/stat */
    char boot_id[BOOT_ID_SIZE];
};

/* This boot's id (/proc/sys/kernel/random/boot_id). */
int proc_boot_id(char out[static BOOT_ID_SIZE], struct error *err);

/* Fills the reference of a living process. */
int proc_ref_of(pid_t pid, struct proc_ref *out, struct error *err);

/* The number of a process's parent; 0 if it has none that we can see. */
pid_t proc_parent(pid_t pid);

/* Opens the process that `ref` names. Returns a pidfd, or -1: ERR_NOT_RUNNING when it is gone
 * (another boot, no such pid, another start time, or a zombie), and only then. */
int proc_open(const struct proc_ref *ref, struct error *err);

/* True while the process that `ref` names runs (a zombie does not). Also true if it can't be found
 * out because descriptors or memory run out: that is no reason to remove a lease. */
bool proc_alive(const struct proc_ref *ref);

/* The network namespace of the process that `ref` names. Returns a descriptor (caller closes), or
 * -1 if the process is gone or is in our own namespace. */
int proc_open_netns(const struct proc_ref *ref);

/* Sends a signal by pidfd; a process that is gone is a success. */
int pidfd_signal(int pidfd, int sig, struct error *err);

/* Waits until the process of a pidfd (not necessarily a child) has ended. Reaps it if it is
 * our child. */
int pidfd_wait(int pidfd, const struct deadline *d, struct error *err);

/* Adds "pid", "start_time" and "boot_id" to an object, and reads them back (ERR_STATE). */
void proc_ref_add_json(cJSON *obj, const struct proc_ref *ref);
int proc_ref_from_json(const cJSON *obj, struct proc_ref *out, struct error *err);

#endif
