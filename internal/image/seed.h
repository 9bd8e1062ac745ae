/* seed.h: makes the three texts of a seed drive, without the drive itself.
 *
 * docs/GUEST.md has the format; internal/guest/seed.h reads it. Each function returns text that the
 * caller frees; none can fail.
 */
#ifndef CRABBOX_IMAGE_SEED_H
#define CRABBOX_IMAGE_SEED_H

#include <time.h>

#include "image/image.h"

/* "#cloud-config" and JSON. `now` is the host's time, from which the guest may set its clock. */
char *seed_user_data(const struct seed_spec *spec, const struct timespec *now);
char *seed_meta_data(const struct seed_spec *spec);
/* Netplan version 2: one interface, found by its MAC and named eth0. */
char *seed_network_config(const struct seed_spec *spec);

#endif
