/* host.h: what the host has left of its limited resources: memory, processes, open files, disk.
 *
 * Everything is the least of all limits that apply here: the host's own, those of the control
 * groups (version 2) that this process is in, and its resource limits. What can't be found out
 * counts as unlimited (HOST_NO_LIMIT), never as none. Nothing is kept open.
 */
#ifndef CRABBOX_SYS_HOST_H
#define CRABBOX_SYS_HOST_H

#include <stdint.h>

#define HOST_NO_LIMIT INT64_MAX

struct host_room {
    int64_t memory_mib; /* available to programs without swapping */
    int64_t tasks;      /* processes and threads */
    int64_t files;      /* open files of the whole host */
    int64_t own_fds;    /* descriptors of this process */
    int64_t disk_mib;   /* of the filesystem of `dirfd`, for users that are not root */
    int64_t inodes;
    int64_t disk_total_mib; /* all of that filesystem, in use or not */
    int64_t memory_total_mib;
};

/* Where to look; tests use their own directories. */
struct host_paths {
    const char *proc;   /* "/proc" */
    const char *cgroup; /* "/sys/fs/cgroup" */
};
extern const struct host_paths host_paths_default;

/* The share of a disk's `total` that stays free for the host: a twentieth, within these bounds. */
int64_t host_kept(int64_t total, int64_t least, int64_t most);

void host_room(const struct host_paths *paths, int dirfd, struct host_room *out);

#endif
