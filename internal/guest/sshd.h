/* sshd.h: the SSH server of a guest, OpenSSH's, which the image has.
 *
 * sshd_setup() writes all that the server needs to start below a root; then guest_sshd_argv can be
 * started in that root. The server reads none of the image's own settings, so that every guest
 * answers alike, whatever its image has in /etc/ssh.
 */
#ifndef CRABBOX_GUEST_SSHD_H
#define CRABBOX_GUEST_SSHD_H

#include "base/error.h"

#define GUEST_RUN_DIR     "/run/crabbox-fc"
#define GUEST_HOSTKEY     GUEST_RUN_DIR "/ssh_host_ed25519_key"
#define GUEST_SSHD_CONFIG GUEST_RUN_DIR "/sshd_config"

/* argv[0] is its path inside the root. It stays in the foreground, logs errors to stderr, and takes
 * public keys only. */
extern const char *const guest_sshd_argv[];

/* The environment of the server. Of it a session has only TZ. */
extern const char *const guest_sshd_env[];

/* Writes the host key (OpenSSH's text) and the settings, and makes the directory in which the
 * server's unprivileged half is shut in. */
int sshd_setup(int root, const char *host_key, struct error *err);

#endif
