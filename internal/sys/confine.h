/* confine.h: what a program that we start may still do: open the files on a list, and little else.
 *
 *   confine_new → confine_allow (any number) → struct spawn_spec.confine_fd → close →
 * confine_verify
 *
 * A confined child has no capabilities and can't get any (no_new_privs, empty bounding set), and of
 * the filesystem it opens only what is on the list (Landlock), whoever's files it may read by
 * their modes. The list is of files as they are now: one that is put in another's place later is
 * not on it. It starts no process, and by its number it reaches none but itself (spawn.h).
 *
 * Of the system calls it has those that QEMU and Firecracker need (syscalls.h). So it changes no
 * name, mode, owner, time or attribute of a file, makes nothing that outlives it, and connects to
 * no socket. A file that it may write grows by being written, up to RLIMIT_FSIZE, and in no other
 * way. Where Landlock is older than version 3, it may still make a file that it may write as short
 * as a page.
 *
 * Root that is confined is an owner of its files, no more: a file of another user whose mode is
 * closed to it stays closed. confine_can_read tells before.
 */
#ifndef CRABBOX_SYS_CONFINE_H
#define CRABBOX_SYS_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum confine_access {
    CONFINE_READ,    /* a file, or all below a directory */
    CONFINE_EXECUTE, /* the same, and run it */
    CONFINE_WRITE,   /* read and write a file, or all below a directory, and make it longer by
                        writing; files can't be made there, nor the directory read */
    CONFINE_SOCKETS, /* the same of a directory, and make sockets in it */
    CONFINE_DEVICE,  /* the same of a device, and its ioctls */
};

/* A list with nothing on it: a descriptor (caller closes), ERR_ENV where the kernel has no
 * Landlock. */
int confine_new(struct error *err);

/* Puts `path` (relative to dirfd, or absolute) on the list. What is not there is passed over if
 * `optional`, else ERR_ENV. */
int confine_allow(int confine_fd, int dirfd, const char *path, enum confine_access access,
                  bool optional, struct error *err);

/* In the child, between fork and exec, before and after it becomes another user:
 * async-signal-safe. -1 with errno. */
int confine_bound(void);
/* `more`: see syscalls.h. */
int confine_apply(int confine_fd, unsigned more);

/* Whether the process really has no capabilities, no_new_privs and a filter of system calls: what
 * is, not what was asked for. ERR_ENV if not. */
int confine_verify(pid_t pid, struct error *err);

/* Whether a confined program, which is a user that nobody else is if we are root, could open this
 * file to read. ERR_CONFIG says what to change. */
int confine_can_read(const char *path, struct error *err);

/* The kernel's version of Landlock, 0 without one. */
int confine_version(void);

#endif
