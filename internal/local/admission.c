/* admission.c: checks and reserves what a new lease needs.
 *
 * admission_reserve works under a lock, the gate, so only one process at a time looks and reserves:
 * 1. count_all adds up the locked ranges of the file `making`. Each is what a lease that is being
 *    made will still need. The kernel reports only one conflicting lock at a time, so the ranges on
 *    both sides of it are asked for again.
 * 2. diskroom_promised adds up what the disks of existing leases may still grow by.
 * 3. check_all compares what is free on the host with these sums and the needs of this lease.
 * 4. reserve locks the first free range of the right length. The lock lasts as long as its
 *    descriptor, so it also ends with the process.
 *
 * When the disk has its final name, admission_disk_made unlocks the disk's range under the gate.
 * From then on, diskroom_promised counts the file itself, and nobody sees the disk twice or not at
 * all.
 */
#include "local/admission.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "sys/lock.h"

#define MAKING "making"    /* its locked ranges are the reservations */
#define GATE   "admission" /* held from looking to reserving, and while a disk gets its name */

/* What a lease takes besides its guest's memory, generously measured. */
#define VMM_MIB          48
#define VMM_EMULATED_MIB 256
#define LEASE_FILES      256 /* of VMM, keeper and sessions together */
#define LEASE_TASKS      16  /* and one a vCPU */
#define OWN_FDS          40  /* that this process opens on its way */

/* Where in MAKING disks are reserved; memory is before it. */
#define DISK_RANGE ((off_t)1 << 44)

struct reserved {
    int64_t leases, memory_mib, disk_mib;
};

int64_t admission_memory_mib(const struct admission *a)
{
    return a->memory_mib + (a->emulated ? VMM_EMULATED_MIB : VMM_MIB);
}

int64_t admission_disk_mib(const struct admission *a)
{
    return (a->overcommit ? 0 : a->disk_mib) + DISKROOM_EXTRA_MIB;
}

static struct flock range(off_t start, off_t len)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

/* Adds up the ranges that others hold between two offsets (end 0: to the end of all offsets). The
 * kernel names any one that conflicts, so both sides of it are asked again. */
static int count(int fd, off_t start, off_t end, int64_t *n, int64_t *sum)
{
    struct flock f = range(start, end ? end - start : 0);
    if (end && end <= start)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, &f) < 0)
        return -1;
    if (f.l_type == F_UNLCK)
        return 0;
    (*n)++;
    *sum += f.l_len;
    if (f.l_start > start && count(fd, start, f.l_start, n, sum) < 0)
        return -1;
    return f.l_len ? count(fd, f.l_start + f.l_len, end, n, sum) : 0;
}

static int count_all(int fd, struct reserved *out)
{
    int64_t disks = 0;
    *out = (struct reserved){0};
    if (count(fd, 0, DISK_RANGE, &out->leases, &out->memory_mib) < 0)
        return -1;
    return count(fd, DISK_RANGE, 0, &disks, &out->disk_mib);
}

/* The first gap from `start` that is long enough. The gate is held, so no one else looks for one.
 */
static int reserve(int fd, off_t start, int64_t len)
{
    struct flock f = range(start, len);
    for (;;) {
        struct flock held = f;
        if (fcntl(fd, F_OFD_SETLK, &f) == 0)
            return 0;
        if ((errno != EAGAIN && errno != EACCES) || fcntl(fd, F_OFD_GETLK, &held) < 0)
            return -1;
        if (held.l_type != F_UNLCK)
            f.l_start = held.l_start + held.l_len;
    }
}

struct demand {
    const char *what, *unit;
    int64_t each, making, room;
    const char *where; /* has the room */
    const char *next;
};

static int check(const struct demand *d, const struct reserved *others, struct error *err)
{
    if (d->each + d->making <= d->room)
        return 0;
    if (!d->making)
        return error_set(err, ERR_ENV, 0,
                         "too little %s for a lease: it needs %" PRId64 "%s, %s has %" PRId64
                         "%s free; next: %s",
                         d->what, d->each, d->unit, d->where, d->room, d->unit, d->next);
    return error_set(err, ERR_ENV, 0,
                     "too little %s for a lease: it needs %" PRId64 "%s, the %" PRId64
                     " being made now %" PRId64 "%s, %s has %" PRId64 "%s free; next: %s",
                     d->what, d->each, d->unit, others->leases, d->making, d->unit, d->where,
                     d->room, d->unit, d->next);
}

/* The disk is shared among many leases. With overcommit, only what is free now counts. */
static int check_disk(const char *where, const struct admission *a, const struct reserved *others,
                      const struct host_room *r, const struct disk_promises *promised,
                      struct error *err)
{
    int64_t needs = admission_disk_mib(a), kept = diskroom_kept_mib(r->disk_total_mib);
    int64_t making = a->overcommit ? others->leases * DISKROOM_EXTRA_MIB : others->disk_mib;
    int64_t there = a->overcommit ? 0 : promised->mib;
    if (needs + making <= r->disk_mib - kept - there)
        return 0;
    (void)error_set(err, ERR_ENV, 0,
                    "too little disk space for a lease: it needs %" PRId64 " MiB; %s has %" PRId64
                    " MiB free",
                    needs, where, r->disk_mib);
    if (there)
        (void)error_append(err,
                           ", of which the guests of %" PRId64
                           " lease%s there may still fill %" PRId64 " MiB",
                           promised->leases, promised->leases == 1 ? "" : "s", there);
    if (making)
        (void)error_append(err, ", what is being made now needs %" PRId64 " MiB", making);
    return error_append(
        err,
        ", and %" PRId64 " MiB must stay free for the host; next: stop a "
        "lease (crabbox-fc list shows them), give the guest a smaller disk (--disk), or set "
        "CRABBOX_FC_STATE_DIR to a directory on a larger disk",
        kept);
}

/* No lease that ends would make this one fit. */
static int check_size(const struct admission *a, const struct host_room *r, struct error *err)
{
    int64_t needs = admission_memory_mib(a);
    if (needs <= r->memory_total_mib)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "a lease takes %" PRId64 " MiB of memory, but the host has only %" PRId64
                     " MiB; next: give the guest less than %" PRId64 " MiB (--memory)",
                     needs, r->memory_total_mib, r->memory_total_mib - (needs - a->memory_mib));
}

static int check_all(const char *where, const struct admission *a, const struct reserved *others,
                     const struct host_room *r, const struct disk_promises *promised,
                     struct error *err)
{
    const int64_t n = others->leases;
    const int64_t tasks = LEASE_TASKS + a->cpus;
    const struct demand demands[] = {
        {"memory", " MiB", admission_memory_mib(a), others->memory_mib, r->memory_mib, "the host",
         "stop a lease (crabbox-fc list shows them), or give the guest less (--memory)"},
        {"inodes", "", ADMISSION_INODES, n * ADMISSION_INODES, r->inodes, where,
         "remove files from the disk of the state directory"},
        {"room for open files", "", LEASE_FILES, n * LEASE_FILES, r->files, "the host",
         "raise the sysctl fs.file-max"},
        {"room for descriptors", "", OWN_FDS, 0, r->own_fds, "this process", "raise ulimit -n"},
        {"room for processes", "", tasks, n * tasks, r->tasks, "the host",
         "raise kernel.pid_max, ulimit -u or the pids limit of the control group"},
    };
    if (check_size(a, r, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(demands); i++)
        if (check(&demands[i], others, err) < 0)
            return -1;
    return check_disk(where, a, others, r, promised, err);
}

int admission_look(const char *where, const struct admission *a, const struct host_room *room,
                   const struct disk_promises *promised, struct error *err)
{
    const struct reserved nobody = {0};
    const struct disk_promises nothing = {0};
    return check_all(where, a, &nobody, room, promised ? promised : &nothing, err);
}

/* The lock for anyone who looks at the promises and reservations below <state>, or changes them. */
static int take_gate(const struct store *s, const struct deadline *d, struct error *err)
{
    int gate = lock_wait(s->fd, GATE, true, d, err);
    return gate < 0 ? error_prefix(err, "%s/" GATE, s->path) : gate;
}

/* What others have, behind the gate. Returns the file of reservations. */
static int look_around(const struct store *s, const struct host_room *room, struct reserved *others,
                       struct disk_promises *promised, struct host_room *now, struct error *err)
{
    _cleanup_close_ int fd = file_open_at(s->fd, MAKING, true, err);
    if (fd < 0)
        return error_prefix(err, "%s", s->path);
    if (count_all(fd, others) < 0)
        return error_set(err, ERR_IO, errno, "%s/" MAKING, s->path);
    if (diskroom_promised(s->leases_fd, promised, err) < 0)
        return -1;
    if (room)
        *now = *room;
    else
        host_room(&host_paths_default, s->fd, now);
    return TAKE_FD(fd);
}

int admission_reserve(const struct store *s, const struct admission *a,
                      const struct host_room *room, const struct deadline *d, struct error *err)
{
    struct reserved others;
    struct disk_promises promised;
    struct host_room now = room ? *room : (struct host_room){0};
    if (!room)
        host_room(&host_paths_default, s->fd, &now);
    /* First without the others: on a full disk not even the files below could be made. */
    if (admission_look(s->path, a, &now, NULL, err) < 0)
        return -1;
    _cleanup_close_ int gate = take_gate(s, d, err);
    /* Again: while we waited, leases have been made. */
    _cleanup_close_ int fd = gate < 0 ? -1 : look_around(s, room, &others, &promised, &now, err);
    if (fd < 0 || check_all(s->path, a, &others, &now, &promised, err) < 0)
        return -1;
    if (reserve(fd, 0, admission_memory_mib(a)) < 0 ||
        reserve(fd, DISK_RANGE, a->disk_mib + DISKROOM_EXTRA_MIB) < 0)
        return error_set(err, ERR_IO, errno, "reserve in %s/" MAKING, s->path);
    return TAKE_FD(fd);
}

int admission_hold_disk(const struct store *s, bool overcommit, int64_t *mib,
                        const struct host_room *room, const struct deadline *d, struct error *err)
{
    struct reserved others = {0};
    struct disk_promises promised = {0};
    struct host_room now = {0};
    _cleanup_close_ int gate = take_gate(s, d, err);
    _cleanup_close_ int fd = gate < 0 ? -1 : look_around(s, room, &others, &promised, &now, err);
    if (fd < 0)
        return -1;
    int64_t kept = diskroom_kept_mib(now.disk_total_mib);
    int64_t left = now.disk_mib - kept - (overcommit ? 0 : promised.mib + others.disk_mib);
    if (left <= 0)
        return error_set(err, ERR_ENV, 0,
                         "no room on the disk of %s: %" PRId64 " MiB are free, leases were "
                         "promised %" PRId64 " MiB, and %" PRId64 " MiB must stay free for the "
                         "host; next: stop a lease (crabbox-fc list shows them)",
                         s->path, now.disk_mib, promised.mib + others.disk_mib, kept);
    *mib = *mib < left ? *mib : left;
    if (reserve(fd, DISK_RANGE, *mib) < 0)
        return error_set(err, ERR_IO, errno, "reserve in %s/" MAKING, s->path);
    return TAKE_FD(fd);
}

int admission_disk_made(const struct store *s, int fd, int lease_fd, int vmm_fd,
                        const struct deadline *d, struct error *err)
{
    struct flock f = range(DISK_RANGE, 0);
    f.l_type = F_UNLCK;
    _cleanup_close_ int gate = take_gate(s, d, err);
    if (gate < 0)
        return -1;
    if (diskroom_note_size(lease_fd, vmm_fd, err) < 0)
        return -1;
    if (renameat(vmm_fd, DISK_NEW, vmm_fd, DISK_FILE) < 0)
        return error_set(err, ERR_IO, errno, "rename " DISK_NEW " to " DISK_FILE);
    if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &f) < 0)
        return error_set(err, ERR_IO, errno, "release the reservation in %s/" MAKING, s->path);
    return 0;
}
