/* diskroom.h: how much of the state directory's disk its guests may still take.
 *
 * A lease's disk is a sparse file, so what is free today is partly promised: each guest may fill
 * its disk to the brim whenever it likes. What a disk may still grow by is its size less what it
 * has taken, all of its size where its blocks are shared with the image (each write then takes a
 * new one). Nothing is written down about it: the files themselves say it, so it holds after a
 * crash too.
 *
 * A disk is made as DISK_NEW and counts once it has its own name; until then its lease's
 * reservation (admission.h) stands for it.
 */
#ifndef CRABBOX_OPS_DISKROOM_H
#define CRABBOX_OPS_DISKROOM_H

#include <stdint.h>

#include "base/error.h"

#define DISK_FILE   "disk.img"
#define DISK_NEW    "disk.new"    /* being made */
#define DISK_SHARED "disk.shared" /* is there where the disk's blocks may be the image's */

/* What a lease takes beside its disk: seed, keys, record, two logs (vmm/logcap.h) and what they
 * grow by between two looks, the lists of what was synced. */
#define DISKROOM_EXTRA_MIB 32

struct disk_promises {
    int64_t leases, mib;
};

/* Adds up what is promised to the leases in this directory (-1: there is none). Look at what is
 * free afterwards: what is written meanwhile then counts twice, never not at all. */
int diskroom_promised(int leases_fd, struct disk_promises *out, struct error *err);

/* What stays free for the host and for records, cleanup and logs: a twentieth of the filesystem, at
 * least 64 MiB, at most 16 GiB. */
int64_t diskroom_kept_mib(int64_t filesystem_mib);

/* The size of the disk that a lease of this image gets. `stock_rootfs` is NULL for our own images;
 * a stock root is cloned and never made smaller. */
int64_t diskroom_disk_mib(int64_t disk_mib, const char *stock_rootfs);

#endif
