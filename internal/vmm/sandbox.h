/* sandbox.h: what a VMM may reach of the host: its program, the guest's files, two devices.
 *
 * A guest that breaks out of its VMM finds itself in the lease's network namespace without
 * capabilities, able to read the host's programs and libraries, to read and write the files in the
 * VMM's own directory, and nothing else: not the lease's record and keys, not other leases, not the
 * user's files. What a VMM may only read of its directory has a mode that says so: it can't change
 * modes.
 */
#ifndef CRABBOX_VMM_SANDBOX_H
#define CRABBOX_VMM_SANDBOX_H

#include "vmm/vmm.h"

/* A descriptor for struct spawn_spec.confine_fd (caller closes). spec->dirfd is -1 for a program
 * that has no directory. `binds`: it makes its control socket itself, so it may make sockets in its
 * directory. ERR_ENV where the kernel can't do it; ERR_CONFIG for a file that the VMM could not
 * read then, and for a lease among what it may read. */
int vmm_sandbox(const struct vmm_spec *spec, bool binds, struct error *err);

/* Whether leases may lie in or below a directory: ERR_CONFIG where a confined VMM could read them
 * among the host's programs. */
int vmm_sandbox_apart(const char *dir, struct error *err);

#endif
