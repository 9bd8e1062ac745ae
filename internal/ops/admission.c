#include "ops/admission.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/lock.h"

#define MAKING "making"    /* its locked ranges are the reservations */
#define GATE   "admission" /* held from looking to reserving */

/* What a lease takes besides its guest's memory, generously measured. */
#define VMM_MIB          48
#define VMM_EMULATED_MIB 256
#define LEASE_FILES      256 /* of VMM, keeper and sessions together */
#define LEASE_TASKS      16  /* and one a vCPU */
#define OWN_FDS          40  /* that this process opens on its way */

struct reserved {
    int64_t leases, memory_mib;
};

int64_t admission_memory_mib(const struct admission *a)
{
    return a->memory_mib + (a->emulated ? VMM_EMULATED_MIB : VMM_MIB);
}

static struct flock range(off_t start, off_t len)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

/* Adds up the ranges that others hold between two offsets (end 0: to the end of all offsets). The
 * kernel names any one that conflicts, so both sides of it are asked again. */
static int count(int fd, off_t start, off_t end, struct reserved *sum)
{
    struct flock f = range(start, end ? end - start : 0);
    if (end && end <= start)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, &f) < 0)
        return -1;
    if (f.l_type == F_UNLCK)
        return 0;
    sum->leases++;
    sum->memory_mib += f.l_len;
    if (f.l_start > start && count(fd, start, f.l_start, sum) < 0)
        return -1;
    return f.l_len ? count(fd, f.l_start + f.l_len, end, sum) : 0;
}

/* The first gap that is long enough. The gate is held, so nobody else looks for one. */
static int reserve(int fd, int64_t len)
{
    struct flock f = range(0, len);
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

static int check_all(const char *where, const struct admission *a, const struct reserved *others,
                     const struct host_room *r, struct error *err)
{
    const int64_t n = others->leases;
    const int64_t tasks = LEASE_TASKS + a->cpus;
    const struct demand demands[] = {
        {"memory", " MiB", admission_memory_mib(a), others->memory_mib, r->memory_mib, "the host",
         "crabbox-fc stop a lease, or give the guest less (--memory)"},
        {"disk space", " MiB", ADMISSION_DISK_MIB, n * ADMISSION_DISK_MIB, r->disk_mib, where,
         "free some, or set CRABBOX_FC_STATE_DIR to a larger disk"},
        {"inodes", "", ADMISSION_INODES, n * ADMISSION_INODES, r->inodes, where,
         "remove files from the disk of the state directory"},
        {"room for open files", "", LEASE_FILES, n * LEASE_FILES, r->files, "the host",
         "raise the sysctl fs.file-max"},
        {"room for descriptors", "", OWN_FDS, 0, r->own_fds, "this process", "raise ulimit -n"},
        {"room for processes", "", tasks, n * tasks, r->tasks, "the host",
         "raise kernel.pid_max, ulimit -u or the pids limit of the control group"},
    };
    for (size_t i = 0; i < ARRAY_LEN(demands); i++)
        if (check(&demands[i], others, err) < 0)
            return -1;
    return 0;
}

int admission_look(const char *where, const struct admission *a, const struct host_room *room,
                   struct error *err)
{
    const struct reserved nobody = {0};
    return check_all(where, a, &nobody, room, err);
}

int admission_reserve(const struct store *s, const struct admission *a,
                      const struct host_room *room, const struct deadline *d, struct error *err)
{
    struct reserved others = {0};
    struct host_room now = room ? *room : (struct host_room){0};
    if (!room)
        host_room(&host_paths_default, s->fd, &now);
    /* First without the others: on a full disk not even the files below could be made. */
    if (admission_look(s->path, a, &now, err) < 0)
        return -1;
    _cleanup_close_ int gate = lock_wait(s->fd, GATE, true, d, err);
    if (gate < 0)
        return error_prefix(err, "%s/" GATE, s->path);
    _cleanup_close_ int fd = openat(s->fd, MAKING, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || count(fd, 0, 0, &others) < 0)
        return error_set(err, ERR_IO, errno, "%s/" MAKING, s->path);
    if (!room) /* while we waited, leases have been made */
        host_room(&host_paths_default, s->fd, &now);
    if (check_all(s->path, a, &others, &now, err) < 0)
        return -1;
    if (reserve(fd, admission_memory_mib(a)) < 0)
        return error_set(err, ERR_IO, errno, "reserve in %s/" MAKING, s->path);
    return TAKE_FD(fd);
}
