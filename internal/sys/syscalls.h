/* syscalls.h: limits a confined program (confine.h) to the system calls on a list, some of them
 * only with certain arguments. Every other call fails with ENOSYS, as in a kernel that lacks it, so
 * libraries use their fallback. A call with arguments that are not allowed fails with its own
 * error, mostly EPERM.
 *
 * The list has the calls that QEMU and Firecracker need to boot and run a lease. Calls are allowed
 * if Landlock controls them (opening files) or if they affect only the process itself. Calls that
 * name other processes, change a file in another way than by writing to it, or use up resources
 * that all processes share, are not allowed.
 */
#ifndef CRABBOX_SYS_SYSCALLS_H
#define CRABBOX_SYS_SYSCALLS_H

#include <stdbool.h>

/* Changes to the list. */
enum syscalls_more {
    SYSCALLS_HOLES = 1 << 0,   /* fallocate, to punch holes into files */
    SYSCALLS_FILTERS = 1 << 1, /* to add filters of its own. With one, a program can also make the
                                * kernel write each of its calls to the host's audit log, without
                                * any limit. */
    SYSCALLS_SETTLED = 1 << 2, /* no option but less: for a program that has all that it needs open.
                                * It can't open or look at files, make sockets, start threads or
                                * programs, or signal, not even itself. */
    SYSCALLS_THREADS = 1 << 3, /* to signal any thread that it can name: for the first process of a
                                * PID namespace, where all are its own */
};

/* Limits the calling process to the list for good, also after exec. `more` is an OR of the values
 * above. Needs no_new_privs. Async-signal-safe. -1 with errno. */
int syscalls_confine(unsigned more);

/* Whether a call is on the list, with any arguments. */
bool syscalls_listed(long nr);

#endif
