/* confine.h: limits a program that we start to the files on a list, and to few other things.
 *
 *   confine_new → confine_allow (any number) → struct spawn_spec.confine_fd → close →
 * confine_verify
 *
 * A confined child has no capabilities and can't get any (no_new_privs, empty bounding set). It can
 * open only the files on the list (Landlock), even if their modes would let it read others. The
 * list has files and not names: a file that is put in another's place later is not on it. The child
 * can't start a process, and it can name no other process than itself (spawn.h).
 *
 * It has only the system calls that QEMU and Firecracker need (syscalls.h). So it can't change the
 * name, mode, owner, time or attributes of a file, make anything that outlives it, or connect to a
 * socket. It can make a file longer only by writing, up to RLIMIT_FSIZE. If Landlock is older than
 * version 3, it can also shorten a file that it may write to the length of a page.
 *
 * If root is confined, it has only an owner's rights: it can't read a file of another user whose
 * mode does not allow that. confine_can_read checks this in advance.
 */
#ifndef CRABBOX_SYS_CONFINE_H
#define CRABBOX_SYS_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct spawn_spec;

enum confine_access {
    CONFINE_READ,    /* a file, or all below a directory */
    CONFINE_EXECUTE, /* the same, and run it */
    CONFINE_WRITE,   /* read and write a file, or all below a directory, and make files longer by
                      * writing; no new files, and the directory can't be listed */
    CONFINE_SOCKETS, /* the same for a directory, and make sockets in it */
    CONFINE_DEVICE,  /* the same for a device, and its ioctls */
};

/* Makes an empty list. Returns a descriptor (caller closes); ERR_ENV if the kernel has no
 * Landlock. */
int confine_new(struct error *err);

/* Puts `path` (relative to dirfd, or absolute) on the list. If it does not exist: nothing with
 * `optional`, else ERR_ENV. */
int confine_allow(int confine_fd, int dirfd, const char *path, enum confine_access access,
                  bool optional, struct error *err);

/* In the child, between fork and exec, before and after it becomes another user:
 * async-signal-safe. -1 with errno. */
int confine_bound(uint64_t keep); /* of the capabilities, as bits */
/* `more`: see syscalls.h. */
int confine_apply(int confine_fd, unsigned more);

/* Confines this process, which has one thread, for good: a user without rights (UID_NOBODY, where
 * we are root), no capabilities, no files but the open ones, and only the calls of
 * SYSCALLS_SETTLED. So it can read and write what it has, wait, and end. ERR_ENV. */
int confine_self(struct error *err);

/* Checks that a process that was started by `spec`, and runs its program, really is confined. It
 * has no capabilities, but no_new_privs and a filter of system calls. It is the user, without
 * further groups. Its namespaces and its root directory are its own, and its network is its
 * lease's. With a user namespace, `user` has the numbers of the host here, and groups may stay.
 * This reads what the kernel reports and not what was asked for. ERR_ENV if not. */
int confine_verify(pid_t pid, const struct spawn_spec *spec, struct error *err);

/* How many filters of system calls hold its first thread; -1 if that can't be told. */
int confine_filters(pid_t pid, struct error *err);

/* For a program that confined itself and gets its filter later: no capabilities, no_new_privs, and
 * this user and group alone. */
int confine_verify_user(pid_t pid, uid_t uid, struct error *err);

/* Whether a confined program could open this file for reading. (If we are root, such a program runs
 * as a user of its own.) ERR_CONFIG; the message has what to change. */
int confine_can_read(const char *path, struct error *err);

/* The kernel's version of Landlock, 0 without one. */
int confine_version(void);

#endif
