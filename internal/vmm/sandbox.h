/* sandbox.h: limits what a VMM can reach on the host to its program, the guest's files and a few
 * devices.
 *
 * A guest that breaks out of its VMM has no capabilities, runs as a user that nothing else on the
 * host is, and is in the lease's network namespace. Its root directory has the host's programs and
 * libraries, this lease's disk and logs, and nothing else. It does not have the lease's record and
 * keys, other leases, the user's files, or sockets of the host's services.
 */
#ifndef CRABBOX_VMM_SANDBOX_H
#define CRABBOX_VMM_SANDBOX_H

#include "sys/caller.h"
#include "sys/jail.h"
#include "vmm/vmm.h"

struct spawn_spec;

/* What a confined VMM's directory is called inside. */
#define VMM_SANDBOX_DIR "/vmm"

struct vmm_sandbox {
    int confine_fd;     /* owned */
    struct jail jail;   /* owned; made by root only, of the host or of a user namespace */
    char *root;         /* owned; of the jailer: where its jail is in `jail`, which is its base */
    int uid_fd;         /* owned; the lock that claims the user id */
    struct caller user; /* the user that the VMM becomes; uid 0: the same as ours. In a user
                         * namespace it has the number of that namespace */
    struct caller host; /* the same with the numbers that the host has for it */
    bool rootless;      /* it is in a user namespace */
};

#define VMM_SANDBOX_INIT                                                                           \
    {                                                                                              \
        .confine_fd = -1, .jail = JAIL_INIT, .uid_fd = -1                                          \
    }

/* Prepares the sandbox, and gives the VMM's user access to the files in its directory. The logs
 * must exist. `binds`: the VMM makes its control socket itself, so it may make sockets there.
 * ERR_ENV if the kernel can't do it. ERR_CONFIG if the VMM could not read a file, or if the lease
 * lies in a directory that every VMM can read. */
int vmm_sandbox_make(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *out,
                     struct error *err);
/* The same for a program that only prints its version. */
int vmm_sandbox_probe(const char *binary, struct vmm_sandbox *out, struct error *err);

/* Sets up `spec` to start a program in the sandbox, which must exist until the program was
 * started. */
void vmm_sandbox_use(const struct vmm_sandbox *sandbox, struct spawn_spec *spec);

/* Call this when a VMM that `binds` has made its control socket. After that, it can't make any
 * more, which could use up all inodes of the host. */
int vmm_sandbox_bound(const struct vmm_spec *spec, struct error *err);

void vmm_sandbox_close(struct vmm_sandbox *sandbox);

/* Checks that leases may lie in or below a directory. ERR_CONFIG if every confined VMM could read
 * them, because the directory is in one of the host's directories that the sandbox has. */
int vmm_sandbox_apart(const char *dir, struct error *err);

#endif
