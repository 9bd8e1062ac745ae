/* chaos.h: what a torture of the whole program is made of.
 *
 * Choices that follow from a seed; a run of crabbox-fc that gets a signal at a planned moment; and
 * what happens to a host behind the program's back: a VMM or keeper that dies, a clock that jumps,
 * a boot. Nothing here ends the calling test by itself: it runs in forked workers too.
 */
#ifndef CRABBOX_E2E_CHAOS_H
#define CRABBOX_E2E_CHAOS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "e2e/bed.h"
#include "lease/store.h"
#include "sys/spawn.h"

/* ---- choices ---- */
struct chaos_rng {
    uint64_t state;
};
/* Independent streams from one seed: what worker 7 does does not depend on how quick worker 6 is.
 */
struct chaos_rng chaos_seed(uint64_t seed, uint64_t stream);
uint64_t chaos_next(struct chaos_rng *r);
/* 0 … n - 1 */
unsigned chaos_below(struct chaos_rng *r, unsigned n);

/* ---- runs ---- */
#define CHAOS_OUTPUT 65536

struct chaos_result {
    struct exit_status st;
    bool hung; /* it did not end within a minute and was killed */
    int64_t took_ms;
    char out[CHAOS_OUTPUT]; /* stdout */
    char err[2048];         /* the first bytes of stderr */
};

/* Runs crabbox-fc in the bed; after `after_ms` it gets `sig` (0: never). */
void chaos_run(const struct bed *b, int64_t after_ms, int sig, struct chaos_result *out,
               const char *const *args);
#define CHAOS_RUN(b, after, sig, out, ...)                                                         \
    chaos_run((b), (after), (sig), (out), (const char *const[]){__VA_ARGS__, NULL})

/* ---- behind the program's back ---- */
/* Kills the recorded process of the lease with this slug; false if there is none. */
bool chaos_kill_vmm(struct store *s, const char *slug);
bool chaos_kill_keeper(struct store *s, const char *slug);

/* The clock jumped by `seconds` since the record was written. False if the record is gone. */
bool chaos_shift_clock(struct store *s, const char *slug, int64_t seconds);

/* What a boot does: kills every child of the caller but those in `spare` (ends with 0), takes the
 * nft tables away, and makes all records those of another boot, in which the pids of VMM and keeper
 * have been given to the process `other`. */
void chaos_reboot(struct bed *b, struct store *s, const pid_t *spare, const struct proc_ref *other);

#endif
