/* key.c: ed25519 keys, made in memory. */
#include <libssh/libssh.h>
#include <string.h>

#include "ssh/conn.h"
#include "ssh/ssh.h"

#define PEM_COLUMNS 70

static void cleanup_key(ssh_key *k)
{
    ssh_key_free(*k);
}

static void cleanup_secret(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    ssh_string_free_char(*s);
}

/* libssh writes the base64 body as one line; other readers (dropbearconvert) want it folded. */
static void fold_pem(struct strbuf *out, const char *pem)
{
    for (const char *line = pem; *line;) {
        size_t len = strcspn(line, "\n");
        for (size_t at = 0; at < len; at += PEM_COLUMNS) {
            size_t n = len - at < PEM_COLUMNS ? len - at : PEM_COLUMNS;
            strbuf_add(out, line + at, n);
            strbuf_addc(out, '\n');
        }
        line += len + (line[len] == '\n');
    }
}

int ssh_key_generate(struct strbuf *private_pem, char public_line[static SSH_PUBKEY_SIZE],
                     struct error *err)
{
    _cleanup_(cleanup_key) ssh_key key = NULL;
    _cleanup_(cleanup_secret) char *pem = NULL;
    _cleanup_(cleanup_secret) char *pub = NULL;
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
        return error_set(err, ERR_INTERNAL, 0, "make an ed25519 key");
    if (ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &pem) != SSH_OK ||
        ssh_pki_export_pubkey_base64(key, &pub) != SSH_OK)
        return error_set(err, ERR_INTERNAL, 0, "write out an ed25519 key");
    if (str_format(public_line, SSH_PUBKEY_SIZE, "ssh-ed25519 %s", pub) < 0)
        return error_set(err, ERR_INTERNAL, 0, "an ed25519 public key is longer than expected");
    fold_pem(private_pem, pem);
    return 0;
}

int key_parse_public(const char *line, ssh_key *out)
{
    static const char type[] = "ssh-ed25519 ";
    char b64[SSH_PUBKEY_SIZE];
    if (!line || !str_has_prefix(line, type))
        return -1;
    const char *body = line + sizeof type - 1;
    size_t len = strcspn(body, " \r\n");
    if (str_format(b64, sizeof b64, "%.*s", (int)len, body) < 0)
        return -1;
    return ssh_pki_import_pubkey_base64(b64, SSH_KEYTYPE_ED25519, out) == SSH_OK ? 0 : -1;
}

void key_fingerprint(const ssh_key key, char *out, size_t size)
{
    unsigned char *hash = NULL;
    size_t len = 0;
    (void)str_copy(out, size, "unknown");
    if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len) != 0)
        return;
    char *text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, len);
    if (text)
        (void)str_copy(out, size, text);
    ssh_string_free_char(text);
    ssh_clean_pubkey_hash(&hash);
}
