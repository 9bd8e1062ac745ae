/* nth.h: makes the Nth allocation, or the Nth system call that can fail, of a program fail.
 *
 * What runs is crabbox-fc in a bed (bed.h). One call of one kind of process gets an error that the
 * kernel could give there; which of those, follows from the seed:
 *
 *   NTH_MALLOC         an allocation of crabbox-fc itself, by a preloaded library
 *   NTH_KEEPER_MALLOC  the same of the keeper that it starts
 *   NTH_CALL           a system call of crabbox-fc itself, wherever it is made: by a filter whose
 *                      calls come to a process of ours (seccomp user notification). Nothing is
 *                      traced, so a leak check at the end still works
 *   NTH_FORK_CALL      the same in its children before they execute their program
 *   NTH_KEEPER_CALL    the same of its keeper
 *
 * Calls are counted from the beginning of main: what the loader does is not ours.
 *
 *     struct nth_result r;
 *     nth_run(&bed, &(struct nth){NTH_CALL, 17, seed}, &r, (const char *const[]){"list", NULL});
 *     if (*r.failed) ... r.failed is "openat: Too many open files"
 *     nth_result_free(&r);
 */
#ifndef CRABBOX_E2E_NTH_H
#define CRABBOX_E2E_NTH_H

#include <stdatomic.h>
#include <stdint.h>

#include "e2e/bed.h"

enum nth_kind {
    NTH_MALLOC,
    NTH_KEEPER_MALLOC,
    NTH_CALL,
    NTH_FORK_CALL,
    NTH_KEEPER_CALL,
    NTH_KINDS,
};
extern const char *const nth_kind_name[NTH_KINDS];

struct nth {
    enum nth_kind kind;
    uint64_t n; /* from 1; 0 only counts */
    uint64_t seed;
    const char *only; /* of these calls: "fsync"; NULL: any */
};

struct nth_result {
    struct bed_result run;
    uint64_t calls;  /* how many there were until the program ended */
    char failed[96]; /* which one failed, and how; "" where the program ended before the Nth */
};

void nth_run(struct bed *b, const struct nth *what, struct nth_result *out,
             const char *const *args);
/* Looks again, for a keeper that has gone on since. */
void nth_look(const struct bed *b, struct nth_result *r);
void nth_result_free(struct nth_result *r);

/* ---- between nth.c, the library and the supervisor ---- */

/* A file that all map. */
struct nth_report {
    atomic_ullong calls;
    char failed[96];
};

/* Environment of the library. */
#define NTH_ENV_N      "NTH_MALLOC_N"
#define NTH_ENV_REPORT "NTH_MALLOC_REPORT"
#define NTH_ENV_KEEPER "NTH_MALLOC_KEEPER"

#endif
