/* attempts.h: what a VMM that was taken over would try, one call each, and what it comes to.
 *
 * A test program runs itself, confined and not confined, with the name of an attempt; in that other
 * role it calls attempt_run and exits with the result. It stands in a directory with the files
 * "write", of at most ATTEMPT_LIMIT bytes (RLIMIT_FSIZE is that or more), and "other", and a socket
 * "listens"; the variable ATTEMPT_PID has the number of a process of the same user.
 */
#ifndef CRABBOX_TESTUTIL_ATTEMPTS_H
#define CRABBOX_TESTUTIL_ATTEMPTS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define ATTEMPT_LIMIT (1 << 20) /* RLIMIT_FSIZE */

#define ATTEMPT_PID "ATTEMPT_PID"

/* Of attempts_on_host, which fence_test.c tries: a directory with the files "key" and "disk" and a
 * socket "listens", whose path is also the name of a socket without a file; a key; a port on
 * 127.0.0.1; more threads and files than a VMM may have. */
#define ATTEMPT_NEIGHBOUR "ATTEMPT_NEIGHBOUR"
#define ATTEMPT_KEY       "crabbox-attempt"
#define ATTEMPT_PORT      47
#define ATTEMPT_MANY      1024

#define ATTEMPT_KILLED (128 + SIGSYS)
/* Not confined: what the filesystem or the kernel makes of it; or that where it has no limit; or
 * not tried, for the host's sake; or any errno. */
enum { ATTEMPT_ANY = -1, ATTEMPT_LIMITED = -2, ATTEMPT_NEVER = -3, ATTEMPT_REFUSED = -4 };

struct attempt {
    const char *name;
    long (*make)(int fd); /* fd: the file that may be written */
    int confined, plain;  /* 0, an errno, or one of the above */
};

/* The attempt number i; NULL behind the last one. */
const struct attempt *attempt_at(size_t i);

/* The second half of them. */
extern const struct attempt attempts_on_others[];
extern const size_t n_attempts_on_others;

/* Further ones, whose results are those behind the whole fence: vmm/sandbox.h. The last ones use
 * up what the program may have. */
extern const struct attempt attempts_on_host[];
extern const size_t n_attempts_on_host;

/* Whether an attempt came to what is written in its row. */
bool attempt_came_to(int got, int want);

/* 0 or the errno; 254 and 255 where it could not be tried. */
int attempt_run(const char *name);

/* Makes every system call that the filter does not list, and prints the numbers of those that it
 * did not refuse. Returns 0. */
int attempt_walk(void);
#define ATTEMPT_CALLS 600 /* behind the last number */

#endif
