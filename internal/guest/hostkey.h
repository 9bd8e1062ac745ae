/* hostkey.h: an ed25519 host key from OpenSSH's private format to dropbear's.
 *
 * The seed carries the host key as OpenSSH writes it (openssh-key-v1, no passphrase);
 * dropbear wants string "ssh-ed25519", then string (32 bytes of seed, 32 of public key).
 * No cryptography happens here: bytes are checked and moved.
 */
#ifndef CRABBOX_GUEST_HOSTKEY_H
#define CRABBOX_GUEST_HOSTKEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DROPBEAR_ED25519_LEN (4 + 11 + 4 + 64)

/* ERR_STATE if the text is no unencrypted ed25519 key of one entry. */
int hostkey_to_dropbear(const char *openssh, uint8_t out[DROPBEAR_ED25519_LEN], struct error *err);

#endif
