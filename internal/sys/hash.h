/* hash.h: SHA-256, as lower-case hex, and git's checksums. The only user of libcrypto's digests.
 *
 * sha256_fd reads from the descriptor's current offset to its end, in pieces, whatever the size;
 * the caller keeps the descriptor, so what was hashed is the inode that is used afterwards. An
 * optional deadline bounds the reading of large files.
 */
#ifndef CRABBOX_SYS_HASH_H
#define CRABBOX_SYS_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sys/deadline.h"

#define SHA256_HEX_SIZE 65 /* 64 digits and NUL */

int sha256_bytes(const void *data, size_t len, char out[static SHA256_HEX_SIZE], struct error *err);

/* The checksum of one of git's files: of `size` bytes, SHA-1 for 20 and SHA-256 for 32. */
int hash_for_git(const void *data, size_t len, unsigned char *out, size_t size, struct error *err);

/* `what` names the file in messages. `d` may be NULL. */
int sha256_fd(int fd, const char *what, const struct deadline *d, char out[static SHA256_HEX_SIZE],
              struct error *err);

#endif
