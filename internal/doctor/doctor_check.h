/* doctor_check.h: what the checks of doctor share: their context and the ways to give a verdict.
 *
 * Private to doctor*.c. A check function gets the shared context and its own row, adds details and
 * gives exactly one verdict; a row without a verdict stays "failed: not checked". Checks run in the
 * order of the table, so a later one may use what an earlier one found (the image's files).
 *
 * What warmup would refuse is asked of the list that both share (local/conditions.h), by
 * check_condition(); here are the words for what is well, what is only a warning, and what is left
 * of earlier leases.
 */
#ifndef CRABBOX_DOCTOR_DOCTOR_CHECK_H
#define CRABBOX_DOCTOR_DOCTOR_CHECK_H

#include <limits.h>

#include "doctor/doctor.h"
#include "local/conditions.h"
#include "ops/ops.h"

/* Why a check failed: the host lacks something, or a value is blank or wrong. For a command that
 * fails for the same reason, the exit code is 1 or 2. */
#define CLASS_ENV    "environment_blocked"
#define CLASS_CONFIG "configuration_incomplete"

struct doctor_ctx {
    struct conditions on;          /* the configuration, and what the conditions found */
    char state_dir[PATH_MAX];      /* "" when none may be looked at, with the reason in state_err */
    char state_ancestor[PATH_MAX]; /* the nearest directory that exists */
    struct error state_err;
    const char *root; /* what stands before /proc and /sys, in tests; else NULL */
    int landlock;     /* the kernel's version in tests; else -1 */
    const struct lease_kind *kinds[PROVIDERS_MAX + 1]; /* of the leases that may be there */
};

typedef void doctor_fn(struct doctor_ctx *ctx, struct doctor_check *c);

doctor_fn doctor_host, doctor_user, doctor_kvm, doctor_jailer;       /* doctor_vmm.c */
doctor_fn doctor_binary, doctor_qemu, doctor_sandbox, doctor_cgroup; /* doctor_vmm.c */
doctor_fn doctor_kernel, doctor_rootfs, doctor_image;                /* doctor_vmm.c */
doctor_fn doctor_network, doctor_forwarding;                         /* doctor_net.c */
doctor_fn doctor_memory, doctor_limits, doctor_disk;                 /* doctor_room.c */
doctor_fn doctor_state, doctor_ssh;                                  /* doctor_room.c */
doctor_fn doctor_orphans, doctor_keepers;                            /* doctor_orphans.c */
doctor_fn doctor_ksm, doctor_smt, doctor_cpu, doctor_swap;           /* doctor_harden.c */
doctor_fn doctor_cores, doctor_userns, doctor_landlock;              /* doctor_harden.c */
doctor_fn doctor_cgroups, doctor_paths;                              /* doctor_harden.c */

/* Verdicts. The message is one line that makes sense alone. */
void check_ok(struct doctor_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_warn(struct doctor_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_skip(struct doctor_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_fail(struct doctor_check *c, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void check_detail(struct doctor_check *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The exact command or setting that would fix a failure or a warning. */
void check_fix(struct doctor_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Fails or warns with an error's message, and its "; next: " for the fix; `fix` where it has
 * none. */
void check_error(struct doctor_check *c, enum doctor_status status, const struct error *err,
                 const char *fix);

/* Judges the condition that has this check's name. False after a verdict: it failed, or does not
 * matter here. */
bool check_condition(struct doctor_ctx *ctx, struct doctor_check *c);

#endif
