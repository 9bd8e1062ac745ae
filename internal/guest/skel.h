/* skel.h: fills a new home directory with what the image has for one (/etc/skel). */
#ifndef CRABBOX_GUEST_SKEL_H
#define CRABBOX_GUEST_SKEL_H

#include "base/error.h"
#include "guest/rootdir.h"

/* Copies regular files and directories below /etc/skel of the root to `home`, as `owner`'s. Other
 * things, and files beyond a mebibyte, are left out. No /etc/skel is no error. */
int skel_copy(int root, const char *home, struct owner owner, struct error *err);

#endif
