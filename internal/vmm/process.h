/* process.h: starts the VMM's program; shared by both backends.
 *
 * vmm_process_start   logs and stale socket prepared; the program held until `started` has put
 *                     its name on disk, then released into exec
 * vmm_process_explain after any failure: was it the process that ended? Then the message becomes
 *                     how it ended and the tail of its logs; _explain_boot for one that is known
 *                     by its reference only
 *
 * The child belongs to the caller: child_kill() on error, child_release() on success.
 */
#ifndef CRABBOX_VMM_PROCESS_H
#define CRABBOX_VMM_PROCESS_H

#include "sys/spawn.h"
#include "vmm/vmm.h"

/* How a VMM's program behaves. */
enum vmm_ways {
    VMM_PRINTS_CONSOLE = 1 << 0, /* it prints the guest's serial line on stdout; otherwise stdout
                                  * goes to VMM_LOG, as stderr does */
    VMM_FILTERS_ITSELF = 1 << 1, /* it installs its own filter of system calls before the guest
                                  * runs; that filter does not let it install more */
};

/* `stdin_fd` is the control socket, or -1 if the program makes it itself. `ways` is an OR of enum
 * vmm_ways. ref->proc is filled before `started` runs. */
int vmm_process_start(const struct vmm_spec *spec, const char *const *argv, int stdin_fd,
                      unsigned ways, struct vmm_ref *ref, vmm_started_fn *started, void *ctx,
                      struct child *child, struct error *err);

/* Whether the process has ended or does so within a moment. What the kernel reports about it is
 * then no reason for a complaint: its filters and namespaces go a moment before it does. */
bool vmm_process_is_ending(const struct proc_ref *proc);

/* The meaning of an exit code in words, or NULL. */
typedef const char *vmm_exit_words_fn(int code);

/* Always returns -1, for `return vmm_process_explain(...)`. */
int vmm_process_explain(struct child *child, const struct vmm_spec *spec, const char *name,
                        vmm_exit_words_fn *words, struct error *err);

/* The same for a failed boot, where the process may or may not be a child of ours. */
int vmm_process_explain_boot(const struct vmm_ref *ref, int dirfd, const char *name,
                             vmm_exit_words_fn *words, struct error *err);

/* First line of `<binary> --version`, which must start with `prefix`; the version word after it
 * is copied out. ERR_ENV if the program is missing or another one. `sandbox`: see vmm.h. */
int vmm_process_probe(const char *binary, const char *prefix, bool sandbox,
                      const struct deadline *d, char *version, size_t size, struct error *err);

/* Checks the parts of a spec that are the same for both backends. ERR_CONFIG. */
int vmm_spec_check(const struct vmm_spec *spec, struct error *err);

#endif
