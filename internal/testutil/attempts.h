/* attempts.h: what a VMM that was taken over would try, one call each, and what it comes to.
 *
 * A test program runs itself, confined and not confined, with the name of an attempt; in that other
 * role it calls attempt_run and exits with the result. It stands in a directory with the files
 * "write", of at most ATTEMPT_LIMIT bytes, and "other", and a socket "listens".
 */
#ifndef CRABBOX_TESTUTIL_ATTEMPTS_H
#define CRABBOX_TESTUTIL_ATTEMPTS_H

#include <signal.h>
#include <stddef.h>

#define ATTEMPT_LIMIT (1 << 20) /* RLIMIT_FSIZE */

#define ATTEMPT_KILLED (128 + SIGSYS)
/* Not confined: what the filesystem or the kernel makes of it; or that where it has no limit. */
enum { ATTEMPT_ANY = -1, ATTEMPT_LIMITED = -2 };

struct attempt {
    const char *name;
    long (*make)(int fd); /* fd: the file that may be written */
    int confined, plain;  /* 0, an errno, or one of the above */
};

extern const struct attempt attempts[];
extern const size_t n_attempts;

/* 0 or the errno; 254 and 255 where it could not be tried. */
int attempt_run(const char *name);

#endif
