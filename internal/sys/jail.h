/* jail.h: gives a confined program a root directory of its own.
 *
 *   jail_open → jail_put, jail_device, jail_link (any number) → spawn_spec.jail → jail_close
 *
 * The jail is a small tmpfs that no path of the host leads to. It has device nodes of its own for
 * the devices that were asked for. Each file or directory that is put there is a mount of the
 * host's, so nothing is copied, and nothing has to be removed afterwards: everything disappears
 * with the program's mount namespace. Everything is read-only unless it was put there for writing.
 *
 * Everything is prepared by the parent, where a failure has a message. The child only attaches the
 * mounts and makes the jail its root (pivot_root), so no way to the host's files is left. A jail
 * can be used for one child only, which takes its mounts. Needs CAP_SYS_ADMIN and Linux 5.12
 * (mount_setattr).
 */
#ifndef CRABBOX_SYS_JAIL_H
#define CRABBOX_SYS_JAIL_H

#include <stdbool.h>
#include <stdint.h>
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
    const char *base;  /* borrowed; NULL: it becomes the root (jail_open_at) */
    int root_fd;       /* owned; the tmpfs; confine_allow can take paths relative to it */
    uid_t owner;       /* owner of its devices: the user that the program runs as */
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

/* Makes an empty jail. ERR_ENV if the kernel is too old or this process lacks rights. */
int jail_open(struct jail *j, uid_t owner, struct error *err);

/* The same for a program that makes its own jail of it (Firecracker's jailer): the tmpfs has room
 * for `bytes` and may hold programs. In the child it is mounted on the directory `base`, and the
 * host's root stays the root. Nobody else sees it there. */
int jail_open_at(struct jail *j, uid_t owner, const char *base, uint64_t bytes, struct error *err);

/* Makes a directory in it, and those on the way. */
int jail_directory(struct jail *j, const char *at, struct error *err);

/* Puts `path` (relative to dirfd, or absolute; links are followed; "": dirfd itself) into the jail
 * as `at`, an absolute path there. Mounts below `path` stay out; in a user namespace, those that
 * hide something come along. If `path` does not exist: nothing with `optional`, else ERR_ENV. */
int jail_put(struct jail *j, int dirfd, const char *path, const char *at, enum jail_access access,
             bool optional, struct error *err);

/* Makes a device node with the name and number of a device of the host. Does nothing if the host
 * has no such device. */
int jail_device(struct jail *j, const char *path, struct error *err);

/* A symbolic link. */
int jail_link(struct jail *j, const char *target, const char *at, struct error *err);

/* In the child, in namespaces of its own for mounts and names (spawn.h): makes the jail its root.
 * Async-signal-safe. -1 with errno. */
int jail_enter(const struct jail *j);

void jail_close(struct jail *j);

#endif
