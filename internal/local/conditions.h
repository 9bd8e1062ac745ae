/* conditions.h: what has to hold before a lease can be made on this host, as one list.
 *
 * Warmup and doctor walk the same rows, so what doctor calls ready is not refused by warmup, and
 * both say the same of a row that fails: the error's message and its "; next: ", which is what
 * would fix it. A row has two halves:
 *
 *   check  costs microseconds. Warmup looks at all of them before it makes anything.
 *   probe  costs more: it runs a program, asks the kernel, or reads a whole file. Doctor looks at
 *          it each time. Warmup does when one of the row's steps has failed, and if the probe
 *          fails as well, that is the error.
 *
 *   warmup  conditions_hold      → the steps, and conditions_explain where one fails
 *   doctor  condition_judge      for each row, in the order of the list
 *   both    conditions_release
 *
 * Rows use what earlier ones have found: the program, the image's open files, the CNI list.
 *
 * Four rows have a probe that warmup never needs, as it has asked before, in the same words: of the
 * state directory in store_open (the row: store_check); of memory, disk and limits in
 * admission_reserve, which also counts the leases that are being made (the rows: admission_look).
 */
#ifndef CRABBOX_LOCAL_CONDITIONS_H
#define CRABBOX_LOCAL_CONDITIONS_H

#include <limits.h>
#include <stdarg.h>

#include "cni/chain.h"
#include "config/config.h"
#include "image/image.h"
#include "local/admission.h"
#include "net/net.h"
#include "sys/deadline.h"
#include "sys/kvm.h"
#include "vmm/vmm.h"

#define VMM_PROGRAM "VMM program" /* for messages about it */

/* Takes a detail that doctor shows: "path", "/opt/firecracker". */
typedef void conditions_note_fn(void *to, const char *key, const char *fmt, va_list ap);

struct conditions {
    const struct config *cfg;
    const struct vmm_backend *vmm; /* the one that is judged */
    enum vmm_accel accel;
    enum net_mode net_mode;
    const char *state_dir;
    const char *state_at; /* that, or the nearest directory above it that is there */
    int cache_fd;         /* borrowed: hashes of pinned files (pinned.h); -1: none are remembered */
    struct deadline deadline;
    /* Doctor's, else empty. It only looks: it makes nothing, and reads no whole image. */
    bool looking;
    conditions_note_fn *note;
    void *note_to;
    struct admission need;         /* what a lease takes */
    struct host_room room;         /* what the host has */
    struct disk_promises promised; /* to the leases that are there */
    struct uid_range uids;         /* of the configuration */
    bool degraded;                 /* what the host can't give is done without */
    struct vmm_limits limits;      /* of the configuration */
    /* What was found. */
    char vmm_path[PATH_MAX];
    char jailer_path[PATH_MAX]; /* "" without one */
    char vmm_version[64];
    struct pinned vmm_pin;
    struct kvm_report kvm;
    struct image image; /* owned: its open files */
    struct error image_err;
    char lacks[256];        /* what the host can't give of a control group */
    char *kernel_options;   /* owned: the .config in a stock kernel, or NULL */
    struct cni_chain chain; /* owned; of firecracker.network cni */
};

struct condition {
    const char *name; /* of doctor's check */
    /* Whether it does not matter here, and why not. NULL: it always matters. */
    bool (*idle)(const struct conditions *c, char *why, size_t size);
    int (*check)(struct conditions *c, struct error *err); /* may be NULL */
    int (*probe)(struct conditions *c, struct error *err); /* may be NULL */
    const char *steps; /* " net vmm ": whose failure the probe may explain; NULL: none */
    /* Whether what is known of the failure hints at this row; NULL: it always may be the cause. */
    bool (*hinted)(const char *said);
};

/* By the configuration; `vmm` NULL: the one that it names. ERR_CONFIG. */
int conditions_begin(struct conditions *c, const struct config *cfg, const char *vmm,
                     struct error *err);
void conditions_release(struct conditions *c);

int conditions_hold(struct conditions *c, struct error *err);
/* `said`: what the VMM has left in its logs. The error stays as it is if no probe fails. */
void conditions_explain(struct conditions *c, const char *step, const char *said,
                        struct error *err);
/* A VMM that runs says its version anyway. */
int conditions_check_version(const struct conditions *c, const char *version, struct error *err);

/* Where the VMM is confined: what keeps it apart but is missing; "" for nothing. */
const char *conditions_apart_lacks(const struct conditions *c);

const struct condition *condition_by_name(const char *name);
/* Both halves; 1 where it is idle, with the reason. */
int condition_judge(struct conditions *c, const struct condition *row, char *why, size_t size,
                    struct error *err);

#endif
