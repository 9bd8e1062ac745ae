/* vmmfix.h: a VMM's directory with all that a VMM backend needs, for tests of vmm/.
 *
 *   main       vmmfix_enter() once: a network namespace of the test's own with a tap in it
 *   each test  vmmfix_make(), change spec, launch with vmmfix_on_started, vmmfix_drop()
 *
 * Everything is gone with the process and with vmmfix_drop(); the kernel in it is a minimal ELF
 * file that only halts.
 */
#ifndef CRABBOX_TESTUTIL_VMMFIX_H
#define CRABBOX_TESTUTIL_VMMFIX_H

#include "sys/deadline.h"
#include "vmm/vmm.h"

#define VMMFIX_TAP "tap0"
#define VMMFIX_MAC "02:00:00:00:00:07"

struct vmmfix {
    char dir[64];
    int dirfd;
    int netns;
    struct vmm_spec spec;
    struct vmm_ref ref;
    struct deadline d; /* 30 s */
    unsigned started;  /* how often vmmfix_on_started ran */
};

/* NULL, or what the machine lacks. */
const char *vmmfix_enter(void);

/* NULL on error (errno). `binary` is borrowed. */
struct vmmfix *vmmfix_make(const char *binary, enum vmm_accel accel);

/* Kills what runs, removes everything, frees. Returns -1 if something still ran: a test that
 * leaves its VMM behind has failed. */
int vmmfix_drop(struct vmmfix *f);

/* vmm_started_fn; ctx is the fixture. Fails where the process is not there yet. */
int vmmfix_on_started(void *ctx, const struct proc_ref *proc, struct error *err);

/* A program of build/tools beside the running test. Static buffer; NULL if not built. */
const char *vmmfix_tool(const char *name);

#endif
