/* standin.h: a test program that a lease cannot tell from Firecracker, without KVM.
 *
 * It takes Firecracker's command line, serves its API as strictly as the real one, and at
 * InstanceStart serves a "guest" made of namespaces: a tap of its own behind the lease's tap, the
 * host's files under an overlay in memory, our guest code configured from the lease's seed drive,
 * and the host's sshd as SSH server. Nothing of the product knows about it.
 *
 *   standin-firecracker_main.c  command line, socket, the one poll loop
 *   standin_http.c              requests in, replies out
 *   standin_schema.c            which fields a body may have
 *   standin_api.c               what each call does
 *   standin_net.c               taps and the frames between them
 *   standin_guest.c             the guest's PID 1
 *   standin_root.c              its files
 *   standin_fault.c             misbehaviour on demand, by environment variables
 *
 * One thread, no locks. Everything it makes ends with the process, however that ends: the guest's
 * PID 1 asks for SIGKILL at its parent's death, and namespaces, mounts and the guest's tap have no
 * other holder.
 */
#ifndef CRABBOX_STANDIN_STANDIN_H
#define CRABBOX_STANDIN_STANDIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"

#define STANDIN_DRIVES_MAX 8

/* Exit codes of the real program. */
#define STANDIN_EXIT_BAD_CONFIG 152
#define STANDIN_EXIT_BAD_ARGS   153

struct standin_drive {
    char id[65];
    int fd;
};

struct standin {
    char id[65];
    char version[32]; /* "1.14.0" */
    unsigned minor;   /* 14 */
    bool started, paused;
    cJSON *config; /* what GET /vm/config shows */
    struct standin_drive drives[STANDIN_DRIVES_MAX];
    unsigned n_drives;
    int kernel_fd, initrd_fd;
    char mac[18];
    int tap_fd;       /* the lease's tap, or -1 */
    int console_fd;   /* where the guest's serial port goes: stdout, or what /serial named */
    int guest_pidfd;  /* readable when the guest has ended; -1 before */
    pid_t guest_pid;  /* as seen from here */
    int guest_tap_fd; /* the tap inside the guest's namespace */
};

/* ---- standin_net.c ---- */

/* Opens an existing tap of the current network namespace as Firecracker does; ERR_NET if there is
 * none of that name. */
int standin_tap_open(const char *name, struct error *err);
/* Makes a tap with this MAC in the current network namespace. */
int standin_tap_make(const char *name, const char *mac, struct error *err);
/* Moves the frames that are waiting on `from` to `to`, a bounded number. */
void standin_tap_pump(int from, int to);

/* ---- standin_root.c ---- */

/* Makes a root of its own for the caller, who has a mount namespace (and pid namespace) of his own:
 * the host's files, and what is written stays in memory. */
int standin_root_enter(struct error *err);

/* ---- standin_guest.c ---- */

/* Starts the guest: fills guest_pid, guest_pidfd, guest_tap_fd. */
int standin_guest_start(struct standin *s, struct error *err);
/* Ctrl-Alt-Del as the guest's kernel would deliver it. */
void standin_guest_ctrl_alt_del(const struct standin *s);
/* After guest_pidfd turned readable: true if the guest rebooted, which ends a Firecracker; false
 * if it powered off, after which the real one stays with nothing to run. */
bool standin_guest_rebooted(struct standin *s);

#endif
