/* attempts.h: what a VMM that was taken over would try, one call each, and what it comes to.
 *
 * A test program runs itself, confined and not confined, with the name of an attempt; in that other
 * role it calls attempt_run and exits with the result. It stands in a directory with the files
 * "write", of at most ATTEMPT_LIMIT bytes (its RLIMIT_FSIZE), and "other", and a socket "listens";
 * the variable ATTEMPT_PID has the number of a process of the same user.
 */
#ifndef CRABBOX_TESTUTIL_ATTEMPTS_H
#define CRABBOX_TESTUTIL_ATTEMPTS_H

#include <signal.h>
#include <stddef.h>

#define ATTEMPT_LIMIT (1 << 20) /* RLIMIT_FSIZE */

#define ATTEMPT_PID "ATTEMPT_PID"

#define ATTEMPT_KILLED (128 + SIGSYS)
/* Not confined: what the filesystem or the kernel makes of it; or that where it has no limit. */
enum { ATTEMPT_ANY = -1, ATTEMPT_LIMITED = -2 };

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

/* 0 or the errno; 254 and 255 where it could not be tried. */
int attempt_run(const char *name);

#endif
