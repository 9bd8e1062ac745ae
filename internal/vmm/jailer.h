/* jailer.h: starts Firecracker by its own jailer, as its production guide asks.
 *
 * The jailer makes a root directory below a base, becomes another user there, and runs a copy of
 * Firecracker in its own process: what was recorded of the process stays right. The base is a tmpfs
 * that only the jailer and Firecracker see (sys/jail.h), with mounts of the lease's files in it. So
 * its device nodes work wherever the state directory is, an earlier jail of this name is not in the
 * way, and nothing of it is left, at whatever moment it is killed.
 *
 * Firecracker's root directory has its own directory as VMM_SANDBOX_DIR, and files of the image by
 * the names that they have for us: the same as in our own sandbox.
 */
#ifndef CRABBOX_VMM_JAILER_H
#define CRABBOX_VMM_JAILER_H

#include <linux/capability.h>

#include "sys/jail.h"
#include "vmm/vmm.h"

/* What root needs of its capabilities to make such a jail. Firecracker has none of them. */
#define JAILER_CAP(n) (UINT64_C(1) << (n))
#define JAILER_CAPABILITIES                                                                        \
    (JAILER_CAP(CAP_CHOWN) | JAILER_CAP(CAP_DAC_OVERRIDE) | JAILER_CAP(CAP_FOWNER) |               \
     JAILER_CAP(CAP_SETGID) | JAILER_CAP(CAP_SETUID) | JAILER_CAP(CAP_SETPCAP) |                   \
     JAILER_CAP(CAP_SYS_CHROOT) | JAILER_CAP(CAP_SYS_ADMIN) | JAILER_CAP(CAP_MKNOD))

#define JAILER_ARGS_MAX 24

struct jailer_args {
    const char *v[JAILER_ARGS_MAX + 1]; /* owned, NULL-terminated */
    unsigned n;
};

/* Whether the jailer takes a program of this path: its real name has to have "firecracker" in it.
 */
bool jailer_takes(const char *binary);

/* An empty base for the program, and `*root`: the jail's path below it (caller frees). ERR_ENV. */
int jailer_base(const struct vmm_spec *spec, uid_t uid, struct jail *out, char **root,
                struct error *err);

/* The jailer's command line for this of Firecracker's. */
void jailer_args_build(const struct vmm_spec *spec, uid_t uid, uint64_t file_max,
                       unsigned files_max, const char *const *argv, struct jailer_args *out);
void jailer_args_free(struct jailer_args *a);

/* Whether a process that has its control socket is that user, without capabilities, in a root
 * directory of its own, and in the control group of the spec. ERR_ENV if not. */
int jailer_verify(pid_t pid, uid_t uid, const struct vmm_spec *spec, struct error *err);

#endif
