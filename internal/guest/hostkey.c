#include "guest/hostkey.h"

#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

#define ARMOR_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define ARMOR_END   "-----END OPENSSH PRIVATE KEY-----"
#define KEY_TYPE    "ssh-ed25519"
#define BLOB_MAX    4096u

/* What is left of an SSH wire blob; `bad` stays set after the first overrun. */
struct wire {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static int bad_key(struct error *err, const char *why)
{
    return error_set(err, ERR_STATE, 0, "seed drive: host key: %s", why);
}

static uint32_t take_u32(struct wire *w)
{
    if (w->left < 4) {
        w->bad = true;
        return 0;
    }
    const uint8_t *p = w->at;
    w->at += 4;
    w->left -= 4;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A length-prefixed string as a wire of its own. */
static struct wire take_string(struct wire *w)
{
    uint32_t n = take_u32(w);
    if (w->bad || n > w->left) {
        w->bad = true;
        return (struct wire){NULL, 0, true};
    }
    struct wire s = {w->at, n, false};
    w->at += n;
    w->left -= n;
    return s;
}

static bool wire_is(const struct wire *w, const char *text)
{
    return !w->bad && w->left == strlen(text) && memcmp(w->at, text, w->left) == 0;
}

static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

/* Decodes the text between the armor lines; the number of bytes, or -1. */
static int dearmor(const char *text, uint8_t *out, size_t size)
{
    const char *p = strstr(text, ARMOR_BEGIN);
    const char *end = p ? strstr(p, ARMOR_END) : NULL;
    if (!end)
        return -1;
    uint32_t bits = 0;
    unsigned nbits = 0;
    size_t n = 0;
    for (p += sizeof ARMOR_BEGIN - 1; p < end && *p != '='; p++) {
        if (*p == '\n' || *p == '\r' || *p == ' ')
            continue;
        int v = base64_value(*p);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        nbits += 6;
        if (nbits >= 8) {
            if (n == size)
                return -1;
            nbits -= 8;
            out[n++] = (uint8_t)(bits >> nbits);
        }
    }
    return (int)n;
}

/* The decrypted part: two equal check words, type, public and private key. */
static int take_private(struct wire *w, struct wire *pub, struct wire *priv, struct error *err)
{
    uint32_t check1 = take_u32(w), check2 = take_u32(w);
    struct wire type = take_string(w);
    *pub = take_string(w);
    *priv = take_string(w);
    if (w->bad || check1 != check2 || !wire_is(&type, KEY_TYPE))
        return bad_key(err, "not an ed25519 private key");
    if (pub->left != 32 || priv->left != 64 || memcmp(priv->at + 32, pub->at, 32) != 0)
        return bad_key(err, "public and private half do not fit");
    return 0;
}

static void put_string(uint8_t **p, const void *data, uint32_t len)
{
    const uint8_t prefix[4] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(*p, prefix, 4);
    memcpy(*p + 4, data, len);
    *p += 4 + len;
}

int hostkey_to_dropbear(const char *openssh, uint8_t out[DROPBEAR_ED25519_LEN], struct error *err)
{
    static const char magic[] = "openssh-key-v1";
    uint8_t blob[BLOB_MAX];
    int n = dearmor(openssh, blob, sizeof blob);
    if (n < (int)sizeof magic || memcmp(blob, magic, sizeof magic) != 0)
        return bad_key(err, "not an OpenSSH private key");
    struct wire w = {blob + sizeof magic, (size_t)n - sizeof magic, false};
    struct wire cipher = take_string(&w), kdf = take_string(&w);
    (void)take_string(&w);
    uint32_t count = take_u32(&w);
    (void)take_string(&w);
    struct wire body = take_string(&w);
    if (w.bad || count != 1)
        return bad_key(err, "cut short, or not exactly one key");
    if (!wire_is(&cipher, "none") || !wire_is(&kdf, "none"))
        return bad_key(err, "encrypted with a passphrase");
    struct wire pub, priv;
    if (take_private(&body, &pub, &priv, err) < 0)
        return -1;
    uint8_t *p = out;
    put_string(&p, KEY_TYPE, sizeof KEY_TYPE - 1);
    put_string(&p, priv.at, 64);
    explicit_bzero(blob, sizeof blob);
    return 0;
}
