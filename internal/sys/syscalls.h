/* syscalls.h: the system calls that a confined program (confine.h) has: those on a list, some of
 * them with certain arguments only. Every other one fails with ENOSYS as in a kernel without it, so
 * libraries take the way they have for that; a call with other arguments fails with an error of its
 * own, mostly EPERM.
 *
 * On the list is what QEMU and Firecracker need to boot and run a lease. What Landlock decides
 * (which files are opened), or what touches only the process itself, is let through; what names
 * other processes, changes a file other than by writing to it, or takes from what the kernel has
 * once for all, is not.
 */
#ifndef CRABBOX_SYS_SYSCALLS_H
#define CRABBOX_SYS_SYSCALLS_H

#include <stdbool.h>

/* What not every program has. */
enum syscalls_more {
    SYSCALLS_HOLES = 1 << 0,   /* fallocate, to punch holes into files */
    SYSCALLS_FILTERS = 1 << 1, /* filters of its own on top of this. By one a program can also have
                                * the kernel write a record of each of its calls into the host's
                                * audit log, without any limit. */
};

/* Holds the calling process to the list, for good and through exec. `more` is an OR of the above.
 * It needs no_new_privs. Async-signal-safe. -1 with errno. */
int syscalls_confine(unsigned more);

/* Whether a call is on the list, with any arguments. */
bool syscalls_listed(long nr);

#endif
