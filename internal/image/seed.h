/* seed.h: the three texts of a seed drive, apart from the drive that carries them.
 *
 * docs/GUEST.md has the format; internal/guest/seed.h is the reader. Each function returns text
 * that the caller frees; none can fail.
 */
#ifndef CRABBOX_IMAGE_SEED_H
#define CRABBOX_IMAGE_SEED_H

#include <time.h>

#include "image/image.h"

/* "#cloud-config" and JSON. `now` is the host's clock, which the guest may set its own from. */
char *seed_user_data(const struct seed_spec *spec, const struct timespec *now);
char *seed_meta_data(const struct seed_spec *spec);
/* Netplan version 2: one interface, found by its MAC and named eth0. */
char *seed_network_config(const struct seed_spec *spec);

#endif
