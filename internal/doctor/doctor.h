/* doctor.h: can a lease be made on this host, and if not, what exactly would fix it?
 *
 *   doctor_run → doctor_json or doctor_text → doctor_free
 *
 * Read-only: no check creates, starts, stops or removes anything that outlives its own call (the
 * KVM probe's VM dies with the probe). What could not be checked counts as failed. Every check is
 * one row of the table in doctor.c and is described, with its fix, in docs/DOCTOR.md.
 *
 * The JSON has the shape that scripts made for Crabbox's Firecracker provider read:
 * {"ok","provider","checks":[{"status","check","provider","message","details":{…}}]}; all details
 * are strings; "mutation" is always "false"; a failed check has "class" and "fix".
 *
 * The report owns its details until doctor_free.
 */
#ifndef CRABBOX_DOCTOR_DOCTOR_H
#define CRABBOX_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "config/config.h"
#include "ops/provider.h"

#define DOCTOR_CHECKS_MAX  32
#define DOCTOR_MESSAGE_MAX 768
#define DOCTOR_PROVIDER    "firecracker" /* the one provider there is */

enum doctor_status { DOCTOR_OK, DOCTOR_FAILED, DOCTOR_WARNING, DOCTOR_SKIP };

struct doctor_check {
    enum doctor_status status;
    const char *check;    /* static: "kvm" */
    const char *provider; /* static: "firecracker", or "crabbox-fc" for checks beyond Crabbox's */
    char message[DOCTOR_MESSAGE_MAX];
    cJSON *details; /* owned; an object of strings */
};

struct doctor_report {
    bool ok; /* no check failed */
    struct doctor_check checks[DOCTOR_CHECKS_MAX];
    size_t n;
    int64_t took_us;
};

/* Runs every check. `providers` ends with NULL; their leases are known. `state_dir` NULL: the
 * default place. `provider` NULL: judge what is configured, so with vmm "qemu" the checks that only
 * Firecracker needs are skipped. "firecracker": judge whether Firecracker on KVM works, whatever
 * `vmm` says; any other name is ERR_USAGE. */
int doctor_run(const struct config *cfg, const struct provider *const *providers,
               const char *state_dir, const char *provider, struct doctor_report *out,
               struct error *err);
/* The report where there is no configuration to judge: one failed check, "config". */
void doctor_refused(const struct error *why, struct doctor_report *out);
void doctor_free(struct doctor_report *r);

cJSON *doctor_json(const struct doctor_report *r);
/* A table, each failure and warning with its fix below it; messages are wrapped to `width` columns
 * (0: not at all). `quiet`: only failures and warnings, and no summary. */
void doctor_text(const struct doctor_report *r, bool colour, bool quiet, size_t width,
                 struct strbuf *out);

const char *doctor_status_name(enum doctor_status s);

/* Names of all checks in order, for docs and completion; NULL past the last. */
const char *doctor_check_name(size_t i);

#endif
