/* doctor_check.h: what the checks of doctor share: their context and the ways to give a verdict.
 *
 * Private to doctor*.c. A check function gets the shared context and its own row, adds details and
 * gives exactly one verdict; a row without a verdict stays "failed: not checked". Checks run in the
 * order of the table, so a later one may use what an earlier one found (the image's files).
 */
#ifndef CRABBOX_DOCTOR_DOCTOR_CHECK_H
#define CRABBOX_DOCTOR_DOCTOR_CHECK_H

#include <limits.h>

#include "doctor/doctor.h"
#include "image/image.h"
#include "local/admission.h"
#include "sys/deadline.h"
#include "sys/program.h"

/* Why a check failed: the host lacks something, or a value is blank or wrong. */
#define CLASS_ENV    "environment_blocked"
#define CLASS_CONFIG "configuration_incomplete"

struct doctor_ctx {
    const struct config *cfg;
    const char *vmm;               /* the backend that is judged */
    const char *accel;             /* "kvm", "tcg", or "" when qemu.accel is not chosen */
    char state_dir[PATH_MAX];      /* "" when there is none, with the reason in state_err */
    char state_ancestor[PATH_MAX]; /* the nearest directory that exists */
    struct error state_err;
    struct admission need;         /* what a lease takes, by the same sums as warmup's */
    struct host_room room;         /* what the host has; its disk is that of state_ancestor */
    struct disk_promises promised; /* to the leases that are there */
    struct deadline deadline;
    /* Found by the kernel check for the ones after it. */
    char kernel[PATH_MAX], rootfs[PATH_MAX]; /* "" when not known: see image_err */
    struct error image_err;
    char *kernel_options; /* owned by doctor_run: the .config in a stock kernel, or NULL */
};

typedef void doctor_fn(struct doctor_ctx *ctx, struct doctor_check *c);

doctor_fn doctor_host, doctor_kvm, doctor_binary, doctor_jailer; /* doctor_vmm.c */
doctor_fn doctor_user, doctor_qemu, doctor_sandbox;              /* doctor_vmm.c */
doctor_fn doctor_kernel, doctor_rootfs, doctor_image;            /* doctor_image.c */
doctor_fn doctor_network, doctor_forwarding;                     /* doctor_net.c */
doctor_fn doctor_state, doctor_ssh;                              /* doctor_state.c */
doctor_fn doctor_memory, doctor_limits, doctor_disk;             /* doctor_room.c */
doctor_fn doctor_orphans, doctor_keepers;                        /* doctor_orphans.c */

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

/* program_find() with the PATH and working directory that programs would be started with. */
bool find_program(const char *name, struct program *out);

#endif
