/* spawn.h: starts child processes with an exact argv and explicit descriptors.
 *
 * Two shapes:
 *   spawn()      starts a program and returns at once; the caller waits by pidfd.
 *   spawn_run()  starts, feeds nothing, captures stdout and stderr (bounded), waits to a deadline.
 *
 * A child never inherits a descriptor or a variable it was not given, gets default signal handling,
 * an empty signal mask and umask 022. The program is found by program.h, and one that another user
 * could replace is not started. With `held`, the child waits between fork and exec until
 * spawn_release(). So the parent can record pid and start time first. If the parent dies meanwhile,
 * the child exits without executing anything.
 *
 * If we are root, a confined child is the first process in a PID namespace of its own. So it can't
 * see other processes, and everything that it started ends with it. It ignores signals that it has
 * no handler for (except SIGKILL from us). With `die_with_parent` it may survive a parent that dies
 * in the moment of its start, because it can't see that parent. Without root and `userns_fd` it has
 * no such namespace, and may signal only itself.
 *
 * With a jail, it also has a root directory, a host name and System V objects of its own. The
 * program's path is then looked up twice: on the host, to check who owns it, and in the jail, to
 * run it.
 *
 * A child with a `user` becomes that user for good, without further groups. Becoming another user
 * than ourselves needs root. In a user namespace, `user` has the number of that namespace, and the
 * groups stay, because they may be what lets the caller open /dev/kvm. Such a child always gets a
 * session and a keyring of its own. Other processes of that user may take it over (ptrace), and in
 * our session they could then use our terminal and our keys.
 */
#ifndef CRABBOX_SYS_SPAWN_H
#define CRABBOX_SYS_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/caller.h"
#include "sys/deadline.h"

struct jail;

struct spawn_spec {
    const char *const *argv; /* argv[0] is looked up in PATH unless it has a slash */
    const char *const *envp; /* NULL: PATH and LC_ALL=C. `environ` passes ours on */
    int stdin_fd;            /* -1: /dev/null. All descriptors are borrowed. */
    int stdout_fd;           /* -1: /dev/null */
    int stderr_fd;           /* -1: /dev/null */
    int cwd_fd;              /* directory to start in; -1: unchanged */
    int netns_fd;            /* network namespace to enter; -1: unchanged */
    int userns_fd;           /* user namespace to enter before that (userns.h); -1: unchanged */
    int confine_fd;          /* its confinement (confine.h); -1: none */
    bool no_holes;           /* confined, it may not punch holes into files */
    bool own_filters;        /* confined, it may add filters of its own (syscalls.h) */
    const struct jail *jail; /* confined, its root directory (jail.h); NULL: the host's. With a
                              * jail, cwd_fd is ignored, and the program is the one in the jail */
    uint64_t capabilities;   /* not 0: no new privileges, and of root's capabilities it never has
                              * others than these; for a program that confines itself */
    const int *files;        /* further descriptors that it inherits, with the same numbers */
    unsigned n_files;
    const struct caller *user; /* the user that it becomes, see above; NULL: no change */
    int64_t file_max; /* bytes of a file that it writes, in memory too: one more, and SIGXFSZ ends
                       * it; 0: no limit of its own */
    int64_t data_max; /* bytes of memory that it writes to; then it gets no more; 0 likewise */
    bool new_session; /* setsid: a terminal's Ctrl-C does not reach it */
    bool die_with_parent; /* SIGKILL when the parent goes; for helpers only, never a VMM */
    bool any_owner;       /* the owner of a path is not checked: it is our own program */
    bool held;            /* wait for spawn_release() before exec */
};

#define SPAWN_SPEC_INIT                                                                            \
    {                                                                                              \
        .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .cwd_fd = -1, .netns_fd = -1,            \
        .userns_fd = -1, .confine_fd = -1                                                          \
    }

struct child {
    pid_t pid;    /* 0: none */
    int pidfd;    /* owned; readable when the process has ended */
    int hold_fd;  /* owned; -1 unless held */
    int error_fd; /* owned; carries errno of a failed exec */
};

#define CHILD_INIT                                                                                 \
    {                                                                                              \
        .pid = 0, .pidfd = -1, .hold_fd = -1, .error_fd = -1                                       \
    }

/* How a process ended: exactly one of exited and signalled. */
struct exit_status {
    bool exited;
    bool signalled;
    int code;   /* when exited */
    int signal; /* when signalled */
};

/* Starts the program. Unless held, an exec failure (ERR_ENV, with the program's name) is
 * reported here. On error nothing is left running. */
int spawn(const struct spawn_spec *spec, struct child *out, struct error *err);

/* Lets a held child execute; reports an exec failure as spawn() does. */
int spawn_release(struct child *c, const char *name, struct error *err);

/* Waits for the end and reaps. ERR_TIMEOUT leaves the child running and the struct valid. */
int child_wait(struct child *c, const struct deadline *d, struct exit_status *out,
               struct error *err);

/* Sends a signal by pidfd; a process that is gone is a success. */
int child_signal(const struct child *c, int sig, struct error *err);

/* Closes the descriptors without touching the process. */
void child_release(struct child *c);

/* SIGKILLs, reaps, closes: for scope ends of helpers (_cleanup_(child_kill)). */
void child_kill(struct child *c);

/* "exit code 3", "killed by signal 9 (Killed)". */
const char *exit_status_text(const struct exit_status *st, char *buf, size_t size);

/* Runs to the end and captures at most `max` bytes of each stream (the rest is read and
 * dropped). `out` and `errout` may be NULL. A non-zero exit is not an error of this function. */
int spawn_run(const struct spawn_spec *spec, const struct deadline *d, size_t max,
              struct strbuf *out, struct strbuf *errout, struct exit_status *st, struct error *err);

#endif
