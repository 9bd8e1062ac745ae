/* dial.c: the connection below a session: TCP, never blocking, or what the target dials. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "ssh/conn.h"

void dial_name(const struct ssh_target *t, char out[static PEER_SIZE])
{
    const char *host = t->host ? t->host : "(no address)";
    if (t->dial)
        (void)snprintf(out, PEER_SIZE, "%s", host);
    else
        (void)snprintf(out, PEER_SIZE, "%s port %u", host, t->port);
}

/* Only numeric addresses: a lease's address is never looked up. Returns the length used. */
static socklen_t parse_address(const struct ssh_target *t, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(t->port)};
    if (!t->host)
        return 0;
    if (inet_pton(AF_INET, t->host, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    if (inet_pton(AF_INET6, t->host, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        return sizeof v6;
    }
    return 0;
}

static int make_socket(const struct ssh_target *t, int family, const char *name, struct error *err)
{
    if (t->socket)
        return t->socket(t->dial_ctx, err);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 ? fd : error_set(err, ERR_SSH, errno, "make a socket for %s", name);
}

static int start_tcp(const struct ssh_target *t, struct error *err)
{
    struct sockaddr_storage addr = {0};
    char name[PEER_SIZE];
    int on = 1;
    dial_name(t, name);
    socklen_t len = parse_address(t, &addr);
    if (len == 0)
        return error_set(err, ERR_INTERNAL, 0, "connect to %s: not a numeric address", name);
    _cleanup_close_ int fd = make_socket(t, addr.ss_family, name, err);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dial_keep_alive(fd, SSH_DEAD_MS);
    if (connect(fd, (const struct sockaddr *)&addr, len) < 0 && errno != EINPROGRESS)
        return error_set(err, ERR_SSH, errno, "connect to %s", name);
    return TAKE_FD(fd);
}

int dial_start(const struct ssh_target *t, const struct deadline *d, struct error *err)
{
    return t->dial ? t->dial(t->dial_ctx, d, err) : start_tcp(t, err);
}

/* Probes when the line is idle; with data on the way the second limit counts. */
void dial_keep_alive(int fd, int64_t ms)
{
    int on = 1;
    int probes = 3;
    int seconds = ms >= 8000 ? (int)(ms / 4000) : 1;
    int most = (int)ms;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most);
}

int dial_result(int fd)
{
    int code = 0;
    socklen_t len = sizeof code;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 ? errno : code;
}

int ssh_dial(const struct ssh_target *t, const struct deadline *d, struct error *err)
{
    char name[PEER_SIZE];
    _cleanup_close_ int fd = dial_start(t, d, err);
    if (fd < 0)
        return -1;
    dial_name(t, name);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (deadline_poll(&p, 1, d, "the guest's SSH port", err) < 0)
        return error_append(err, " (%s)", name);
    int failed = dial_result(fd);
    if (failed)
        return error_set(err, ERR_SSH, failed, "connect to %s", name);
    return TAKE_FD(fd);
}
