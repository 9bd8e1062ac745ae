/* diskroom.h: how much of the state directory's disk its guests may still take.
 *
 * A lease's disk is a sparse file, and each guest may fill its disk completely at any time. So part
 * of the free space is already promised. A disk may still grow by its size minus the space that it
 * occupies. If it shares blocks with the image, it may grow by its full size, because each write
 * needs a new block. The occupied space is read from the file itself, so a crash can't make it
 * wrong. The size of the file is not enough: a VMM that was taken over may make its disk shorter
 * (confine.h), and longer again later. So the size that the disk was made with counts, if it is
 * larger.
 *
 * A disk is made as DISK_NEW and counts once it has its own name. Until then its lease's
 * reservation (admission.h) counts instead.
 */
#ifndef CRABBOX_LOCAL_DISKROOM_H
#define CRABBOX_LOCAL_DISKROOM_H

#include <stdint.h>

#include "base/error.h"

/* In the VMM's directory. */
#define DISK_FILE "disk.img"
#define DISK_NEW  "disk.new" /* being made */
/* In the lease's own, so that no VMM can change what counts. */
#define DISK_SIZE   "disk.size"   /* how large the disk was made, in bytes */
#define DISK_SHARED "disk.shared" /* exists if the disk may share blocks with the image */

/* The space that a lease takes in addition to its disk: seed, keys, record, two logs
 * (vmm/logcap.h) with their growth between two checks, the lists of synced files. */
#define DISKROOM_EXTRA_MIB 32

struct disk_promises {
    int64_t leases, mib;
};

/* Adds up the space that is promised to the leases in this directory (-1: there is none). Get the
 * free space afterwards: then data that is written meanwhile counts twice and not never. */
int diskroom_promised(int leases_fd, struct disk_promises *out, struct error *err);

/* Writes DISK_SIZE of DISK_NEW, which no VMM has had yet. */
int diskroom_note_size(int lease_fd, int vmm_fd, struct error *err);

/* The space that stays free for the host and for records, cleanup and logs: a twentieth of the
 * filesystem, at least 64 MiB, at most 16 GiB. */
int64_t diskroom_kept_mib(int64_t filesystem_mib);

/* The size of the disk that a lease of this image gets. `stock_rootfs` is NULL for our own images;
 * a stock root is cloned and never made smaller. */
int64_t diskroom_disk_mib(int64_t disk_mib, const char *stock_rootfs);

#endif
