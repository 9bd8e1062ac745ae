/* runfiles.h: what a distribution's init and its login make at each boot, and programs expect.
 *
 * docs/GUEST.md has the table of all that was looked at, with what was decided and why.
 */
#ifndef CRABBOX_GUEST_RUNFILES_H
#define CRABBOX_GUEST_RUNFILES_H

#include "base/error.h"
#include "guest/rootdir.h"

/* /run/lock, /run/utmp, /run/user/<uid>, /etc/machine-id. */
int runfiles_make(int root, struct owner user, struct error *err);

#endif
