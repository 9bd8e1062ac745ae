/* admission.h: checks whether the host can carry one more lease, before anything is touched.
 *
 * A lease that is being made has not yet used what it will need, so the host's figures don't show
 * it. Therefore each warmup makes a reservation: it locks bytes of the file <state>/making. It
 * locks one byte for each MiB of its guest's memory, and behind them one byte for each MiB that the
 * guest may take of the disk. The kernel drops the locks when the process dies, so there is nothing
 * to clean up. The host must have enough for all reservations and for this lease.
 *
 *   admission_reserve      before anything is made
 *   admission_disk_made    the disk gets its name; from now on the file itself counts
 *   close the descriptor   the lease is ready or given up
 *
 * A command in a lease that writes large files there for a while reserves them in the same way
 * (admission_hold_disk).
 *
 * A guest's disk counts in full for as long as it exists (diskroom.h), unless disk.overcommit is
 * set. So a guest that fills its disk takes no space that was promised to another guest, or that
 * records and the host need. Leases of other state directories on the same filesystem can't be
 * seen; only the space that they occupy can. The part that is kept free has to cover them.
 *
 * A guest's memory counts in full while its lease is being made, although the guest touches it only
 * little by little. When the lease is ready, only the memory that the guest has touched counts,
 * through the host's own figures.
 */
#ifndef CRABBOX_LOCAL_ADMISSION_H
#define CRABBOX_LOCAL_ADMISSION_H

#include <stdbool.h>

#include "lease/store.h"
#include "local/diskroom.h"
#include "sys/host.h"

struct admission {
    int64_t memory_mib; /* of the guest */
    int64_t disk_mib;   /* of the guest */
    int64_t cpus;
    bool emulated;   /* the VMM translates the guest's code and needs room for it */
    bool overcommit; /* only what the lease takes beside its disk has to fit */
};

/* What one lease takes of the disk of the state directory, and of memory. */
#define ADMISSION_INODES 32
int64_t admission_memory_mib(const struct admission *a);
int64_t admission_disk_mib(const struct admission *a);

/* Whether one lease fits into `room` on top of what existing leases were promised (NULL: nothing).
 * It changes nothing. `where` names the directory whose disk the room is of. ERR_ENV with
 * the figures. */
int admission_look(const char *where, const struct admission *a, const struct host_room *room,
                   const struct disk_promises *promised, struct error *err);

/* Returns a descriptor that holds the reservation, or -1: ERR_ENV with what is needed and what is
 * there. `room` is for tests (NULL: what the host has now). */
int admission_reserve(const struct store *s, const struct admission *a,
                      const struct host_room *room, const struct deadline *d, struct error *err);

/* Reserves up to *mib of the disk until the descriptor is closed, for files that a command writes
 * beside what its lease was promised; *mib gets what there is room for. With `overcommit` only what
 * is free now counts. -1: ERR_ENV where there is no room at all. */
int admission_hold_disk(const struct store *s, bool overcommit, int64_t *mib,
                        const struct host_room *room, const struct deadline *d, struct error *err);

/* Gives the disk that was made in the VMM's directory its name and releases its reservation, as one
 * step for anyone who looks. `fd` is the reservation, or -1. */
int admission_disk_made(const struct store *s, int fd, int lease_fd, int vmm_fd,
                        const struct deadline *d, struct error *err);

#endif
