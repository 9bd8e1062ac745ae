/* proc.h: naming a process for good, across the death of ours and a reboot of the host.
 *
 * A pid alone can be given to a stranger. (pid, start time, boot id) can't: that triple is
 * what a lease records, and a process is only ever signalled through a pidfd that was opened
 * first and verified against the triple afterwards.
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

/* Opens the process that `ref` names. Returns a pidfd, or -1: ERR_NOT_RUNNING when it is gone
 * (another boot, no such pid, another start time, or a zombie), and only then. */
int proc_open(const struct proc_ref *ref, struct error *err);

/* True while the process that `ref` names runs (zombies do not). Also where that can't be told, for
 * want of descriptors or memory: nobody may take a lease away for that. */
bool proc_alive(const struct proc_ref *ref);

/* The network namespace of the process that `ref` names: a descriptor (caller closes), or -1 when
 * the process is gone, or is in the namespace of the caller. */
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
