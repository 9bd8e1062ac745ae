/* user.h: the login user of a guest, added to the account files of its root.
 *
 * Works on the files alone (no NSS, no useradd in the image): /etc/passwd, /etc/shadow
 * with "*" (no password, but keys are accepted), /etc/group, the home directory,
 * ~/.ssh/authorized_keys, and /etc/sudoers.d where it exists. Running it twice changes
 * nothing the second time. A user of the image with the same name is kept as it is.
 */
#ifndef CRABBOX_GUEST_USER_H
#define CRABBOX_GUEST_USER_H

#include "base/error.h"
#include "guest/rootdir.h"
#include "guest/seed.h"

struct account {
    struct owner owner;
    char home[256];
};

/* Adds the user and its keys; `out` says who owns the user's files. */
int user_setup(int root, const struct seed_user *user, struct account *out, struct error *err);

#endif
