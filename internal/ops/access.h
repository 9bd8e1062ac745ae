/* access.h: the files of a lease that give access to it: client key, known_hosts, ssh_config. */
#ifndef CRABBOX_OPS_ACCESS_H
#define CRABBOX_OPS_ACCESS_H

#include "lease/lease.h"
#include "lease/store.h"
#include "ops/ops.h"
#include "ssh/ssh.h"

#define ACCESS_KEY         "id_ed25519"
#define ACCESS_KEY_PUB     "id_ed25519.pub"
#define ACCESS_KNOWN_HOSTS "known_hosts"
#define ACCESS_SSH_CONFIG  "ssh_config"

/* Writes all four, mode 0600. The ssh_config names the host by crabbox-<slug>, by the lease's full
 * name and by its id; stock ssh, scp, rsync and git use it with -F. Where its provider dials, they
 * get there through `crabbox-fc dial`. */
int access_write(const struct ops *o, const struct lease *l, const struct lease_handle *h,
                 const char *pem, size_t pem_len, const char *public_line, struct error *err);
int access_remove(const struct lease_handle *h, struct error *err);

/* How this program itself connects. `key` holds the key's path for as long as target is used. */
void access_target(const struct lease *l, int dirfd, char *key, size_t size,
                   struct ssh_target *out);

/* The stock ssh, for sessions of the user's own; ERR_ENV where there is none. */
#define ACCESS_INSTALL_SSH "; next: apt-get install openssh-client, or use crabbox-fc run --id"
int access_find_ssh(char out[static PATH_MAX], struct error *err);

/* "crabbox-<slug>": the host name in ssh_config. */
void access_host(const struct lease *l, char *out, size_t size);

#endif
