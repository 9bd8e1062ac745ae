/* behind.h: how far the guest's clock is behind ours.
 *
 * The guest says what time it is between our last byte to it and its first byte to us. So the true
 * time of its word lies between those two. The other side is guest/clock.h.
 */
#ifndef CRABBOX_RUN_BEHIND_H
#define CRABBOX_RUN_BEHIND_H

#include <stdint.h>

/* FIFOs of our own init. Stock images have none, and keep their time themselves. */
#define BEHIND_TOLD "/run/crabbox-fc/behind"
#define BEHIND_DONE "/run/crabbox-fc/behind.done"

/* `said`: "<seconds>.<microseconds>" of the guest. `sent_us` and `got_us`: our clock before and
 * after. Returns the microseconds to add to the guest's clock: 0 if it may be right, or if the
 * guest said nothing that is a time. */
int64_t behind_us(const char *said, int64_t sent_us, int64_t got_us);

/* The same word, and how long the guest has been up ("<seconds>.<hundredths>"): the time at which
 * it booted, by its clock, in microseconds. That changes only if somebody sets the clock, so its
 * init can tell whether the answer above is out of date. 0 if one of them is no time. */
int64_t behind_booted_us(const char *said, const char *uptime);

#endif
