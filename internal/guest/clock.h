/* clock.h: keeps the guest's clock at the host's when the guest stood still.
 *
 * A guest that was paused, or whose host slept, goes on where it stopped. Three sources tell the
 * time of the host:
 * 1. whoever starts a command tells how far the clock is behind, and when the guest booted by the
 *    clock that this was measured with: in one line in CLOCK_TOLD, answered by one in CLOCK_DONE
 *    (run/guestrun.h is the other side). Set meanwhile, the clock is behind by so much less;
 * 2. the clock that KVM lends its guests (ptp_kvm), to the microsecond;
 * 3. elsewhere the clock chip (emulated guests have one). It has whole seconds only, and those
 *    begin at another moment than the host's. So what counts is that the distance between clock and
 *    chip, taken when the chip's second changes, gets smaller only if the guest stood still. It
 * lies between nothing and a second: a clock that is behind the chip has lost time, also while the
 *    guest booted. What a command told (1) puts right what was learned too early.
 * The last two are looked at every CLOCK_EVERY_S seconds. A clock that somebody set forward is left
 * alone by 3, and taken back by the others.
 *
 * Order: clock_listen → clock_start → clock_fds, poll, clock_handle, again and again.
 */
#ifndef CRABBOX_GUEST_CLOCK_H
#define CRABBOX_GUEST_CLOCK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest/rootdir.h"

#define CLOCK_TOLD "/run/crabbox-fc/behind"
#define CLOCK_DONE "/run/crabbox-fc/behind.done"

enum { CLOCK_EVERY_S = 10, CLOCK_FDS = 3 };

/* How far the clock was from the chip, in nanoseconds. */
struct chip_watch {
    bool known; /* gap is how far it is if both are right */
    bool told;  /* the clock was set by 1 since */
    int64_t gap;
    int64_t gaps[6]; /* what was seen in this look */
    unsigned edges;  /* so many */
};

struct guest_clock {
    int told, done;      /* FIFOs, or -1 */
    int ptp, rtc, timer; /* or -1 */
    struct chip_watch chip;
};

/* Only `user` may tell. Failure is a warning on the console. */
void clock_listen(struct guest_clock *c, struct owner user);
/* Loads the driver of 2 if the kernel has it, and opens what there is. */
void clock_start(struct guest_clock *c, int modules_dir);
void clock_fds(const struct guest_clock *c, struct pollfd fds[CLOCK_FDS]);
void clock_handle(struct guest_clock *c, const struct pollfd fds[CLOCK_FDS]);

/* "[-]<seconds>[.<fraction>]", how far the clock is behind: nanoseconds. -1 if it is not that. */
int clock_parse(const char *text, int64_t *out);

/* "<behind>[ <booted>]": the first line of `text`, which is changed. `booted` may be left out, and
 * is then 0. -1 if it is not that. */
int clock_read(char *text, int64_t *by, int64_t *booted);

/* What is left to add of `by` if the clock was set since that was measured: `booted` is the time of
 * boot by the clock then, 0 if unknown, and `booted_now` the same by the clock now. Nanoseconds. */
int64_t clock_left(int64_t by, int64_t booted, int64_t booted_now);

/* One change of the chip's second, with the clock `gap` ahead of it. True when no more are needed:
 * two of this look agreed, or too many did not (an interrupt may be late). `shift` is then what the
 * clock has lost, or 0. */
bool clock_edge(struct chip_watch *w, int64_t gap, int64_t *shift);

/* The clock was set by `by`, as the host told, and is right. */
void clock_told(struct chip_watch *w, int64_t by);

#endif
