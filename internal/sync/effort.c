#include "sync/effort.h"

#include <poll.h>

/* Units of work, together a few milliseconds: short enough for Ctrl-C and the deadline to seem
 * immediate, long enough for the system calls to cost nothing that shows. */
#define LOOK_EVERY 1000000

bool effort_look(struct effort *e)
{
    struct pollfd p = {.fd = e->d ? e->d->cancel_fd : -1, .events = POLLIN};
    if (!e->stop && e->left < 0)
        e->stop = EFFORT_SPENT;
    else if (!e->stop && deadline_passed(e->d))
        e->stop = EFFORT_LATE;
    else if (!e->stop && poll(&p, 1, 0) > 0)
        e->stop = EFFORT_CANCELLED;
    e->until_look = e->stop ? 0 : LOOK_EVERY;
    return !e->stop;
}

int effort_check(const struct effort *e, const char *root, struct error *err)
{
    switch (e->stop) {
    case EFFORT_GOES_ON:
        break;
    case EFFORT_LATE:
        return error_set(err, ERR_TIMEOUT, 0, "timed out while listing %s", root);
    case EFFORT_CANCELLED:
        return error_set(err, ERR_CANCELLED, 0, "interrupted while listing %s", root);
    case EFFORT_SPENT:
        return error_set(err, ERR_SYNC, 0,
                         "the ignore patterns of %s take too long: more than %lld million steps; "
                         "next: look for long lines with many stars in .gitignore and "
                         ".crabboxignore, or --no-sync",
                         root, EFFORT_MAX / 1000000);
    }
    return 0;
}
