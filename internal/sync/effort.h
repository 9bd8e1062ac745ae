/* effort.h: counts the work of a listing, and ends it in time.
 *
 * The tree decides how much a path costs: its pattern files may hold megabytes, each path is
 * matched against all of them, and a long pattern may be slow. So the work is counted where it is
 * done, in units of a few nanoseconds. After every million units the deadline and Ctrl-C are
 * checked.
 *
 * Call effort_spend and effort_tick while working. When they have returned false, return as fast as
 * possible, with any result. Call effort_check where an error can be returned, at the latest at the
 * end. A NULL effort counts nothing.
 */
#ifndef CRABBOX_SYNC_EFFORT_H
#define CRABBOX_SYNC_EFFORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sys/deadline.h"

/* The limit for the work on patterns in one listing, about five seconds. A tree of 150,000 files
 * and 1,000 ordinary patterns stays below it. */
#define EFFORT_MAX 1000000000LL

struct effort {
    const struct deadline *d; /* borrowed; NULL: none */
    int64_t left;             /* of EFFORT_MAX */
    int64_t until_look;
    enum effort_stop { EFFORT_GOES_ON, EFFORT_LATE, EFFORT_CANCELLED, EFFORT_SPENT } stop;
};

#define EFFORT_INIT(deadline)                                                                      \
    {                                                                                              \
        (deadline), EFFORT_MAX, 0, EFFORT_GOES_ON                                                  \
    }

/* Checks the deadline, Ctrl-C and the remaining work. */
bool effort_look(struct effort *e);

/* Work that grows with the number of files alone, and has other limits. */
static inline bool effort_tick(struct effort *e, int64_t units)
{
    if (!e)
        return true;
    e->until_look -= units;
    return e->until_look > 0 || effort_look(e);
}

/* Work on patterns. */
static inline bool effort_spend(struct effort *e, int64_t units)
{
    if (!e)
        return true;
    e->left -= units;
    return effort_tick(e, units);
}

/* -1 if the listing of `root` has to end: ERR_TIMEOUT, ERR_CANCELLED, or ERR_SYNC. */
int effort_check(const struct effort *e, const char *root, struct error *err);

#endif
