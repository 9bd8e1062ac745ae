/* sandbox.h: what a VMM may reach of the host: its program, the guest's files, two devices.
 *
 * A guest that breaks out of its VMM finds itself in the lease's network namespace without
 * capabilities, able to read the host's programs and libraries, to write this lease's disk and
 * logs, and nothing else: not the lease's record and keys, not other leases, not the user's files.
 */
#ifndef CRABBOX_VMM_SANDBOX_H
#define CRABBOX_VMM_SANDBOX_H

#include "vmm/vmm.h"

/* A descriptor for struct spawn_spec.confine_fd (caller closes). The logs must exist. `binds`: it
 * makes its control socket itself, so it may make sockets in the lease directory. ERR_ENV where the
 * kernel can't do it; ERR_CONFIG for a file that the VMM could not read then, and for a lease among
 * what it may read. */
int vmm_sandbox(const struct vmm_spec *spec, bool binds, struct error *err);

/* Whether leases may lie in or below a directory: ERR_CONFIG where a confined VMM could read them
 * among the host's programs. */
int vmm_sandbox_apart(const char *dir, struct error *err);

#endif
