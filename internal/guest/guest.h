/* guest.h: turns a root directory and a seed into a guest that can be logged into.
 *
 * Used by the init of real guests (init_main.c, after it has mounted everything, with root
 * "/") and by the test stand-in (in a namespace, with the directory that serves as root).
 *
 * Order: netconf_apply() for the namespace (netconf.h), guest_setup() for the files, then
 * exec of guest_sshd_argv inside the root. guest_setup() makes no link and no process.
 */
#ifndef CRABBOX_GUEST_GUEST_H
#define CRABBOX_GUEST_GUEST_H

#include "base/error.h"
#include "guest/rootdir.h"
#include "guest/seed.h"
#include "guest/sshd.h"

/* Writes hostname, hosts, resolv.conf, the user with its keys, the SSH server's files,
 * the seed's files and the work root below `root`. Needs root's rights (chown). */
int guest_setup(const char *root, const struct seed *seed, struct error *err);

/* The two halves of guest_setup(), for init, which lets the server load its libraries while
 * the rest is written: the first is all that the server needs to start. `user` tells who the user
 * is. */
int guest_setup_server(const char *root, const struct seed *seed, struct error *err);
int guest_setup_login(const char *root, const struct seed *seed, struct owner *user,
                      struct error *err);

#endif
