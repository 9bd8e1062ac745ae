#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "guest/hostkey.h"

/* The parts of an openssh-key-v1 blob, so that each test can spoil one of them. */
struct parts {
    const char *cipher, *kdf, *type;
    uint8_t pub[32], priv[64];
    uint32_t count, check1, check2;
};

static struct parts good_parts(void)
{
    struct parts p = {.cipher = "none", .kdf = "none", .type = "ssh-ed25519", .count = 1};
    for (unsigned i = 0; i < 64; i++)
        p.priv[i] = (uint8_t)(i * 3 + 1);
    memcpy(p.pub, p.priv + 32, 32);
    p.check1 = p.check2 = 0x01020304;
    return p;
}

static void add_u32(struct strbuf *sb, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    strbuf_add(sb, b, 4);
}

static void add_string(struct strbuf *sb, const void *data, size_t len)
{
    add_u32(sb, (uint32_t)len);
    strbuf_add(sb, data, len);
}

static void add_text(struct strbuf *sb, const char *s)
{
    add_string(sb, s, strlen(s));
}

static void make_blob(const struct parts *p, struct strbuf *blob)
{
    _cleanup_strbuf_ struct strbuf pub = STRBUF_INIT, body = STRBUF_INIT;
    add_text(&pub, p->type);
    add_string(&pub, p->pub, sizeof p->pub);
    add_u32(&body, p->check1);
    add_u32(&body, p->check2);
    add_text(&body, p->type);
    add_string(&body, p->pub, sizeof p->pub);
    add_string(&body, p->priv, sizeof p->priv);
    add_text(&body, "comment");
    strbuf_add(blob, "openssh-key-v1", 15);
    add_text(blob, p->cipher);
    add_text(blob, p->kdf);
    add_text(blob, "");
    add_u32(blob, p->count);
    add_string(blob, pub.buf, pub.len);
    add_string(blob, body.buf, body.len);
}

/* The blob in armor, in lines of 70 characters as ssh-keygen writes them. */
static char *armor(const char *blob, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct strbuf sb = STRBUF_INIT;
    unsigned column = 0;
    strbuf_adds(&sb, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < len ? (uint8_t)blob[i + k] : 0);
        for (unsigned k = 0; k < 4; k++) {
            strbuf_addc(&sb, i + k > len ? '=' : alphabet[v >> (18 - 6 * k) & 63]);
            if (++column % 70 == 0)
                strbuf_addc(&sb, '\n');
        }
    }
    strbuf_adds(&sb, "\n-----END OPENSSH PRIVATE KEY-----\n");
    return strbuf_detach(&sb);
}

static int convert(const struct parts *p, uint8_t out[DROPBEAR_ED25519_LEN], struct error *err)
{
    _cleanup_strbuf_ struct strbuf blob = STRBUF_INIT;
    make_blob(p, &blob);
    _cleanup_free_ char *text = armor(blob.buf, blob.len);
    return hostkey_to_dropbear(text, out, err);
}

static void converts_to_what_dropbear_reads(void **state)
{
    static const uint8_t head[] = "\0\0\0\x0bssh-ed25519\0\0\0\x40";
    struct error err = ERROR_INIT;
    uint8_t out[DROPBEAR_ED25519_LEN];
    struct parts p = good_parts();
    (void)state;
    assert_int_equal(convert(&p, out, &err), 0);
    assert_int_equal(sizeof out, 83);
    assert_memory_equal(out, head, 19);
    assert_memory_equal(out + 19, p.priv, 64);
}

static void assert_refused(const struct parts *p, const char *why)
{
    struct error err = ERROR_INIT;
    uint8_t out[DROPBEAR_ED25519_LEN];
    assert_int_equal(convert(p, out, &err), -1);
    assert_int_equal(err.kind, ERR_STATE);
    assert_non_null(strstr(err.msg, why));
}

static void refuses_other_keys(void **state)
{
    (void)state;
    struct parts p = good_parts();
    p.cipher = "aes256-ctr";
    assert_refused(&p, "passphrase");
    p = good_parts();
    p.type = "ssh-rsa";
    assert_refused(&p, "not an ed25519");
    p = good_parts();
    p.check2++;
    assert_refused(&p, "not an ed25519");
    p = good_parts();
    p.pub[7] ^= 1;
    assert_refused(&p, "do not fit");
    p = good_parts();
    p.count = 2;
    assert_refused(&p, "not exactly one");
}

/* Every shorter text is refused, and none is read past its end (the sanitizers watch). */
static void refuses_every_truncation(void **state)
{
    struct parts p = good_parts();
    _cleanup_strbuf_ struct strbuf blob = STRBUF_INIT;
    (void)state;
    make_blob(&p, &blob);
    for (size_t n = 0; n + sizeof "comment" + 4 < blob.len; n++) {
        struct error err = ERROR_INIT;
        uint8_t out[DROPBEAR_ED25519_LEN];
        _cleanup_free_ char *text = armor(blob.buf, n);
        assert_int_equal(hostkey_to_dropbear(text, out, &err), -1);
    }
}

static void refuses_what_is_no_armor(void **state)
{
    static const char *const bad[] = {
        "", "-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n*\n-----END OPENSSH PRIVATE KEY-----\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        uint8_t out[DROPBEAR_ED25519_LEN];
        assert_int_equal(hostkey_to_dropbear(bad[i], out, &err), -1);
        assert_non_null(strstr(err.msg, "not an OpenSSH private key"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_to_what_dropbear_reads),
        cmocka_unit_test(refuses_other_keys),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_what_is_no_armor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
