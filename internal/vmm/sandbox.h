/* sandbox.h: what a VMM may reach of the host: its program, the guest's files, two devices.
 *
 * A guest that breaks out of its VMM finds itself as a user that nobody else is, in the lease's
 * network namespace, without capabilities. Its root directory holds the host's programs and
 * libraries, this lease's disk and logs, and nothing else: not the lease's record and keys, not
 * other leases, not the user's files, and no socket of a service of the host.
 */
#ifndef CRABBOX_VMM_SANDBOX_H
#define CRABBOX_VMM_SANDBOX_H

#include "sys/caller.h"
#include "sys/jail.h"
#include "vmm/vmm.h"

struct spawn_spec;

struct vmm_sandbox {
    int confine_fd;     /* owned */
    struct jail jail;   /* owned; made by root alone, on the host or in a user namespace */
    int uid_fd;         /* owned; holds the claim of the user id */
    struct caller user; /* who the VMM becomes; uid 0: who we are. In a user namespace it is the
                         * number there */
    uid_t host_uid;     /* the same, as the host has it */
    bool rootless;      /* it is in a user namespace */
};

#define VMM_SANDBOX_INIT                                                                           \
    {                                                                                              \
        .confine_fd = -1, .jail = JAIL_INIT, .uid_fd = -1                                          \
    }

/* Prepares it, and gives the VMM's user what it has to read and write in its directory. The logs
 * must exist. `binds`: the VMM makes its control socket itself, so it may make sockets there.
 * ERR_ENV where the kernel can't do it; ERR_CONFIG for a file that the VMM could not read then, and
 * for a lease among what it may read. */
int vmm_sandbox_make(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *out,
                     struct error *err);
/* The same for a program that only prints its version. */
int vmm_sandbox_probe(const char *binary, struct vmm_sandbox *out, struct error *err);

/* Has a program started in it; `sandbox` must live until it was started. */
void vmm_sandbox_use(const struct vmm_sandbox *sandbox, struct spawn_spec *spec);

/* To call when a VMM that `binds` has made its control socket: it makes no further one. With as
 * many as it likes it would take all inodes of the host. */
int vmm_sandbox_bound(const struct vmm_spec *spec, struct error *err);

void vmm_sandbox_close(struct vmm_sandbox *sandbox);

/* Whether leases may lie in or below a directory: ERR_CONFIG where a confined VMM could read them
 * among the host's programs. */
int vmm_sandbox_apart(const char *dir, struct error *err);

#endif
