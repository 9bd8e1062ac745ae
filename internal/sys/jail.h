/* jail.h: a root directory of its own for a confined program.
 *
 *   jail_open → jail_put, jail_device, jail_link (any number) → spawn_spec.jail → jail_close
 *
 * The jail is a small tmpfs that no path of the host leads to. It has the devices that were asked
 * for as nodes of its own, and the files and directories that were put there, each as a mount of
 * the host's file: no copy, and nothing to remove afterwards, since all of it goes with the
 * program's mount namespace. All but what was put there for writing is read-only.
 *
 * Everything is prepared by the parent, where a failure has a message. The child only attaches the
 * mounts and makes the jail its root (pivot_root), so that it keeps no way to the host's files. A
 * jail serves one child, which takes its mounts.
 * Needs CAP_SYS_ADMIN and Linux 5.12 (mount_setattr).
 */
#ifndef CRABBOX_SYS_JAIL_H
#define CRABBOX_SYS_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define JAIL_MOUNTS_MAX 24

enum jail_access {
    JAIL_READ,    /* a file, or all below a directory: no writing, no programs */
    JAIL_EXECUTE, /* the same, and programs */
    JAIL_WRITE,   /* reading and writing as the modes say, no programs */
    JAIL_DEVICE,  /* of jail_device */
};

struct jail {
    int root_fd;       /* owned; the tmpfs, of use for confine_allow by paths relative to it */
    uid_t owner;       /* of its devices: the user that the program will be */
    bool host_devices; /* in a user namespace, where nobody can make one: the host's own devices */
    const char *cwd;   /* borrowed; where it starts, such as "/lease"; NULL: its root */
    unsigned n;
    struct jail_mount {
        int tree_fd; /* owned */
        char *at;    /* owned; relative to the root */
    } mounts[JAIL_MOUNTS_MAX];
};

#define JAIL_INIT                                                                                  \
    {                                                                                              \
        .root_fd = -1                                                                              \
    }

/* An empty one. ERR_ENV where the kernel or the rights of this process don't suffice. */
int jail_open(struct jail *j, uid_t owner, struct error *err);

/* Puts `path` (relative to dirfd, or absolute; links are followed; "": what dirfd is) into the jail
 * as `at`, an absolute path there. Mounts below `path` stay out. What is not there is passed over
 * if `optional`, else ERR_ENV. In a user namespace, mounts below it that hide something come along.
 */
int jail_put(struct jail *j, int dirfd, const char *path, const char *at, enum jail_access access,
             bool optional, struct error *err);

/* A node of the program's own, of the same name, for a device of the host; passed over where the
 * host has none. */
int jail_device(struct jail *j, const char *path, struct error *err);

/* A symbolic link. */
int jail_link(struct jail *j, const char *target, const char *at, struct error *err);

/* In the child, in namespaces of its own for mounts and names (spawn.h): makes the jail its root.
 * Async-signal-safe. -1 with errno. */
int jail_enter(const struct jail *j);

void jail_close(struct jail *j);

#endif
