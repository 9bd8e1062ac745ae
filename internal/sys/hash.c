#include "sys/hash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* OpenSSL has a type of the same name as one of our error kinds. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#include "base/cleanup.h"
#include "base/str.h"

static void cleanup_ctx(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static EVP_MD_CTX *start(struct error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1)
        return ctx;
    EVP_MD_CTX_free(ctx);
    return error_null(err, ERR_INTERNAL, 0, "SHA-256 is not available in libcrypto");
}

static int finish(EVP_MD_CTX *ctx, char out[static SHA256_HEX_SIZE], struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(ctx, digest, &n) != 1 || n != 32)
        return error_set(err, ERR_INTERNAL, 0, "SHA-256 failed in libcrypto");
    str_hex(digest, n, out);
    return 0;
}

int sha256_bytes(const void *data, size_t len, char out[static SHA256_HEX_SIZE], struct error *err)
{
    _cleanup_(cleanup_ctx) EVP_MD_CTX *ctx = start(err);
    if (!ctx)
        return -1;
    if (EVP_DigestUpdate(ctx, data, len) != 1)
        return error_set(err, ERR_INTERNAL, 0, "SHA-256 failed in libcrypto");
    return finish(ctx, out, err);
}

int hash_for_git(const void *data, size_t len, unsigned char *out, size_t size, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(data, len, digest, &n, size == 20 ? EVP_sha1() : EVP_sha256(), NULL) != 1 ||
        n != size)
        return error_set(err, ERR_INTERNAL, 0, "git's checksum failed in libcrypto");
    memcpy(out, digest, n);
    return 0;
}

int sha256_fd(int fd, const char *what, const struct deadline *d, char out[static SHA256_HEX_SIZE],
              struct error *err)
{
    _cleanup_free_ unsigned char *chunk = xcalloc(1, 1 << 18);
    _cleanup_(cleanup_ctx) EVP_MD_CTX *ctx = start(err);
    if (!ctx)
        return -1;
    for (;;) {
        if (deadline_check(d, "the SHA-256 of a file", err) < 0)
            return error_prefix(err, "%s", what);
        ssize_t n = read(fd, chunk, 1 << 18);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "read %s", what);
        if (n == 0)
            return finish(ctx, out, err);
        if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
            return error_set(err, ERR_INTERNAL, 0, "SHA-256 failed in libcrypto");
    }
}
