/* deadline.h: one point in time that every wait of an operation shares.
 *
 * Made once at the edge (deadline_in_ms), passed down by pointer, never extended.
 * CLOCK_BOOTTIME, so a suspended host counts. NULL means: no limit.
 *
 * A deadline may carry a cancel descriptor: one that turns readable when the user
 * interrupts. Every wait watches it too and then fails with ERR_CANCELLED.
 */
#ifndef CRABBOX_SYS_DEADLINE_H
#define CRABBOX_SYS_DEADLINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

struct deadline {
    int64_t at_ms;      /* on the boottime clock; INT64_MAX for never */
    int64_t allowed_ms; /* what it was made from, for messages */
    int cancel_fd;      /* -1: none; borrowed */
};

int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);
int64_t clock_unix_s(void);
int64_t clock_unix_us(void);
/* Nanoseconds of a file's time, which its owner may set to any. The largest and smallest numbers
 * stand for all times that don't fit (after the year 2262). */
int64_t clock_ns(struct timespec t);

struct deadline deadline_in_ms(int64_t ms);
struct deadline deadline_never(void);
/* The earlier of `d` and now + ms; keeps the cancel descriptor of `d` (which may be NULL). */
struct deadline deadline_sub(const struct deadline *d, int64_t ms);
/* Milliseconds left, 0 when passed, at most INT_MAX; -1 for never: fit for poll(2). */
int deadline_poll_ms(const struct deadline *d);
bool deadline_passed(const struct deadline *d);

/* poll(2) that ends at the deadline or on cancel. Returns the number of ready entries (> 0),
 * or -1 with ERR_TIMEOUT ("timed out after 30 s waiting for <what>"), ERR_CANCELLED, or
 * ERR_IO. EINTR is handled. n is at most 15.
 *
 * For loops: what becomes ready before the deadline is reported, but a call after the deadline
 * times out, whatever is ready. Otherwise a peer that keeps sending could keep the loop going
 * forever. */
int deadline_poll(struct pollfd *fds, unsigned n, const struct deadline *d, const char *what,
                  struct error *err);
/* For a single wait, such as for the end of a process: what is ready counts even if the call comes
 * after the deadline. */
int deadline_poll_once(struct pollfd *fds, unsigned n, const struct deadline *d, const char *what,
                       struct error *err);

/* For loops that work and never wait. 0: go on; -1 with ERR_TIMEOUT or ERR_CANCELLED. */
int deadline_check(const struct deadline *d, const char *what, struct error *err);

#endif
