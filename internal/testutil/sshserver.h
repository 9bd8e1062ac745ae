/* sshserver.h: a real SSH server on 127.0.0.1 for tests, inside the sandbox.
 *
 * Order: sandbox_enter → sshserver_prepare (a user "tester" with uid 0 and an authorized key) →
 * sshserver_start → … → sshserver_stop. Everything lies under /run of the sandbox.
 */
#ifndef CRABBOX_TESTUTIL_SSHSERVER_H
#define CRABBOX_TESTUTIL_SSHSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "ssh/ssh.h"
#include "sys/spawn.h"

#define SSHSERVER_HOME "/run/home"

struct sshserver {
    char client_key[64];              /* private key file of the authorized client */
    char stranger_key[64];            /* private key file that the server does not know */
    char host_key[SSH_PUBKEY_SIZE];   /* the server's public line */
    char client_pub[SSH_PUBKEY_SIZE]; /* what is in authorized_keys */
    uint16_t port;
    struct child child;
};

/* Makes keys and the user. */
int sshserver_prepare(struct sshserver *s, struct error *err);
/* Starts dropbear, or OpenSSH's sshd, on `port`. Does not wait until it listens. */
int sshserver_launch(struct sshserver *s, bool dropbear, uint16_t port, struct error *err);
/* The same, and waits until it listens. */
int sshserver_start(struct sshserver *s, bool dropbear, uint16_t port, struct error *err);
void sshserver_stop(struct sshserver *s);
/* One connection of dropbear, on a stream that is there already (borrowed). */
int sshserver_serve(int fd, struct child *out, struct error *err);

/* A target for the server with the right keys. */
struct ssh_target sshserver_target(const struct sshserver *s);
/* A connection with it; fails the running test by cmocka. */
struct ssh_conn *sshserver_connect(const struct sshserver *s);

#endif
