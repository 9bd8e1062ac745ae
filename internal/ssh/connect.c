/* connect.c: from a connection to a login, with the host key checked in between. */
#include <errno.h>
#include <libssh/libssh.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "ssh/conn.h"

#define FINGERPRINT_SIZE 80

/* Cheap ones first: emulated guests have no AES instructions, and some servers have no GCM. */
#define KEX                                                                                        \
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"                           \
    "diffie-hellman-group14-sha256"
#define CIPHERS                                                                                    \
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,"      \
    "aes256-ctr"

static void cleanup_key(ssh_key *k)
{
    ssh_key_free(*k);
}

short conn_events(const struct conn *c)
{
    return (ssh_get_poll_flags(c->session) & SSH_WRITE_PENDING) ? POLLIN | POLLOUT : POLLIN;
}

/* False for -1. */
static bool machine_is_gone(int gone_fd)
{
    struct pollfd p = {.fd = gone_fd, .events = POLLIN};
    return gone_fd >= 0 && poll(&p, 1, 0) > 0;
}

int conn_wait(struct conn *c, int gone_fd, const struct deadline *d, const char *what,
              struct error *err)
{
    struct pollfd fds[] = {{.fd = c->fd, .events = conn_events(c)},
                           {.fd = gone_fd, .events = POLLIN}};
    if (conn_check(c, err) < 0 || deadline_poll(fds, 2, d, what, err) < 0)
        return -1;
    /* What the guest still had to say before the machine went comes first. */
    if (fds[1].revents && !fds[0].revents)
        return error_set(err, ERR_VMM, 0, "the machine ended while waiting for %s", what);
    return 0;
}

/* libssh's reason may quote the guest. */
static void reason_of(ssh_session session, char *out, size_t size)
{
    const char *text = ssh_get_error(session);
    text_copy(out, size, text && *text ? text : "connection lost");
}

int conn_fail(const struct conn *c, int gone_fd, const char *doing, struct error *err)
{
    char reason[256];
    if (machine_is_gone(gone_fd))
        return error_set(err, ERR_VMM, 0, "%s %s: the machine ended", doing, c->peer);
    reason_of(c->session, reason, sizeof reason);
    return error_set(err, ERR_SSH, 0, "%s %s: %s", doing, c->peer, reason);
}

/* One session that reads no configuration, no known_hosts and asks no agent. */
static int configure(ssh_session s, const struct conn_login *t)
{
    const struct {
        enum ssh_options_e option;
        const void *value;
    } options[] = {
        {SSH_OPTIONS_PROCESS_CONFIG, &(bool){false}},
        {SSH_OPTIONS_SSH_DIR, "/nonexistent"},
        {SSH_OPTIONS_KNOWNHOSTS, "/dev/null"},
        {SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null"},
        /* It wants both, although it has the connection already. */
        {SSH_OPTIONS_HOST, "guest"},
        {SSH_OPTIONS_PORT, &(unsigned){22}},
        {SSH_OPTIONS_USER, t->user},
        {SSH_OPTIONS_HOSTKEYS, "ssh-ed25519"},
        {SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, "ssh-ed25519"},
        {SSH_OPTIONS_KEY_EXCHANGE, KEX},
        {SSH_OPTIONS_CIPHERS_C_S, CIPHERS},
        {SSH_OPTIONS_CIPHERS_S_C, CIPHERS},
        {SSH_OPTIONS_COMPRESSION, "no"},
    };
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (ssh_options_set(s, options[i].option, options[i].value) < 0)
            return -1;
    ssh_set_blocking(s, 0);
    return 0;
}

static int load_private_key(const struct conn_login *t, ssh_key *out, struct error *err)
{
    const char *pem = t->key(t->ctx);
    if (pem && ssh_pki_import_privkey_base64(pem, NULL, NULL, NULL, out) == SSH_OK)
        return 0;
    return error_set(err, ERR_SSH, 0, "the client key is not a usable OpenSSH private key");
}

/* The guest must show exactly the key that was put into its seed drive. */
static int check_host_key(const struct conn *c, const struct conn_login *t, struct error *err)
{
    _cleanup_(cleanup_key) ssh_key shown = NULL;
    _cleanup_(cleanup_key) ssh_key pinned = NULL;
    char want[FINGERPRINT_SIZE];
    char got[FINGERPRINT_SIZE];
    if (key_parse_public(t->host_key, &pinned) < 0)
        return error_set(err, ERR_HOSTKEY, 0, "the pinned host key of %s is not an ed25519 key",
                         c->peer);
    if (ssh_get_server_publickey(c->session, &shown) != SSH_OK)
        return error_set(err, ERR_HOSTKEY, 0, "%s showed no host key", c->peer);
    if (ssh_key_cmp(shown, pinned, SSH_KEY_CMP_PUBLIC) == 0)
        return 0;
    key_fingerprint(pinned, want, sizeof want);
    key_fingerprint(shown, got, sizeof got);
    return error_set(err, ERR_HOSTKEY, 0,
                     "%s showed host key %s, but this lease pinned %s: another machine answers at "
                     "this address; nothing was sent to it",
                     c->peer, got, want);
}

/* libssh keeps the banner once it has read it. */
static void note_banner(const struct conn *c, struct ssh_ready_times *times, enum conn_stage *stage)
{
    if (*stage >= STAGE_BANNER || !ssh_get_serverbanner(c->session))
        return;
    *stage = STAGE_BANNER;
    times->banner_us = clock_boot_us();
}

static int exchange_keys(struct conn *c, int gone_fd, const struct deadline *d,
                         struct ssh_ready_times *times, enum conn_stage *stage, struct error *err)
{
    for (;;) {
        int rc = ssh_connect(c->session);
        note_banner(c, times, stage);
        if (rc == SSH_OK)
            return 0;
        if (rc != SSH_AGAIN)
            return conn_fail(c, gone_fd, "SSH handshake with", err);
        const char *what = *stage < STAGE_BANNER ? "the guest's SSH banner" : "the SSH handshake";
        if (conn_wait(c, gone_fd, d, what, err) < 0)
            return -1;
    }
}

static int log_in(struct conn *c, const struct conn_login *t, int gone_fd, const struct deadline *d,
                  enum conn_stage *stage, struct error *err)
{
    _cleanup_(cleanup_key) ssh_key key = NULL;
    if (load_private_key(t, &key, err) < 0) {
        *stage = STAGE_REFUSED;
        return -1;
    }
    for (;;) {
        int rc = ssh_userauth_publickey(c->session, NULL, key);
        if (rc == SSH_AUTH_SUCCESS) {
            *stage = STAGE_AUTH;
            return 0;
        }
        if (rc == SSH_AUTH_DENIED || rc == SSH_AUTH_PARTIAL) {
            *stage = STAGE_REFUSED;
            return error_set(err, ERR_SSH, 0,
                             "%s refused the lease's key for user %s; that account, its login "
                             "shell or its authorized_keys may have been changed there; next: take "
                             "another lease",
                             c->peer, t->user);
        }
        if (rc != SSH_AUTH_AGAIN)
            return conn_fail(c, gone_fd, "SSH login to", err);
        if (conn_wait(c, gone_fd, d, "the SSH login", err) < 0)
            return -1;
    }
}

/* Tells a socket from any other, also a later one of its number. 0: it is none. */
static uint64_t socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static struct conn *conn_new(const struct conn_login *t, int fd, struct error *err)
{
    struct conn *c = xcalloc(1, sizeof *c);
    c->fd = fd;
    c->stall_ms = SSH_STALL_MS;
    c->sock = socket_cookie(fd);
    c->dialled = t->dialled;
    (void)snprintf(c->peer, sizeof c->peer, "%s", t->peer);
    c->session = ssh_new();
    if (c->session && configure(c->session, t) == 0 &&
        ssh_options_set(c->session, SSH_OPTIONS_FD, &fd) == 0) {
        conn_guard(c);
        return c;
    }
    error_fill(err, ERR_INTERNAL, 0, "set up an SSH session for %s", c->peer);
    ssh_free(c->session);
    free(c);
    (void)close(fd);
    return NULL;
}

static void cleanup_conn(struct conn **c)
{
    conn_close(*c);
}

int conn_open(const struct conn_login *t, int fd, int gone_fd, const struct deadline *d,
              struct ssh_ready_times *times, enum conn_stage *stage, struct conn **out,
              struct error *err)
{
    times->tcp_us = clock_boot_us();
    times->banner_us = times->auth_us = 0;
    *stage = STAGE_TCP;
    _cleanup_(cleanup_conn) struct conn *c = conn_new(t, fd, err);
    if (!c)
        return -1;
    if (exchange_keys(c, gone_fd, d, times, stage, err) < 0 || check_host_key(c, t, err) < 0 ||
        log_in(c, t, gone_fd, d, stage, err) < 0)
        return -1;
    times->auth_us = clock_boot_us();
    *out = TAKE_PTR(c);
    return 0;
}

void conn_set_stall(struct conn *c, int64_t ms)
{
    c->stall_ms = ms;
    if (!c->dialled)
        dial_keep_alive(c->fd, ms < SSH_DEAD_MS ? ms : SSH_DEAD_MS);
}

/* A socket handed to libssh is closed by it in some of its error paths and not in others. */
static void close_socket(int fd, uint64_t sock)
{
    if (sock && socket_cookie(fd) == sock)
        (void)close(fd);
}

void conn_close(struct conn *c)
{
    if (!c)
        return;
    ssh_disconnect(c->session);
    ssh_free(c->session);
    close_socket(c->fd, c->sock);
    free(c);
}
