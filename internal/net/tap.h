/* tap.h: the tap that a VMM opens by name, and a view of the frames that come out of it. */
#ifndef CRABBOX_NET_TAP_H
#define CRABBOX_NET_TAP_H

#include <stdint.h>

#include "base/error.h"

#define TUN_PATH "/dev/net/tun"

/* Makes a persistent tap in the calling thread's namespace with the flags that Firecracker and
 * QEMU attach with. It has no owner: being inside the namespace is the right to open it.
 * ERR_ENV when /dev/net/tun is missing or closed to us. */
int tap_create(const char *name, struct error *err);

/* Makes a link that goes when the descriptor is closed (caller closes), with no guest behind it.
 * ERR_EXISTS when the name is taken. */
int tap_probe(const char *name, struct error *err);

/* A non-blocking packet socket that turns readable at a frame from `mac` on that tap. */
int tap_watch(const char *name, const uint8_t mac[6], struct error *err);

#endif
