/* admission.h: whether the host can carry one more lease, asked before anything is touched.
 *
 * A lease that is being made has not used yet what it will need, so the host's figures don't show
 * it. Each warmup therefore reserves: it holds a lock on as many bytes of <state>/making as its
 * guest has MiB of memory, until the lease is ready or given up. The kernel drops the lock when
 * the process dies; there is nothing to clean up. What all of them reserve, and what this lease
 * needs, must be there.
 *
 * A guest's memory counts in full while its lease is being made, though it is touched only as the
 * guest uses it; once ready, only what it has touched counts, through the host's own figures.
 */
#ifndef CRABBOX_OPS_ADMISSION_H
#define CRABBOX_OPS_ADMISSION_H

#include <stdbool.h>

#include "lease/store.h"
#include "sys/host.h"

struct admission {
    int64_t memory_mib; /* of the guest */
    int64_t cpus;
    bool emulated; /* the VMM translates the guest's code and needs room for it */
};

/* What one lease takes of the disk of the state directory; admission_memory_mib of memory. */
#define ADMISSION_DISK_MIB 64 /* seed, keys, logs, the first blocks of its disk */
#define ADMISSION_INODES   32
int64_t admission_memory_mib(const struct admission *a);

/* Whether one lease fits into `room`: what admission_reserve asks first, and it changes nothing.
 * `where` names the directory whose disk the room is of. ERR_ENV with the figures. */
int admission_look(const char *where, const struct admission *a, const struct host_room *room,
                   struct error *err);

/* Returns a descriptor that holds the reservation, or -1: ERR_ENV with what is needed and what is
 * there. `room` is for tests (NULL: what the host has now). */
int admission_reserve(const struct store *s, const struct admission *a,
                      const struct host_room *room, const struct deadline *d, struct error *err);

#endif
