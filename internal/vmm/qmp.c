/* qmp.c: sends a command and waits for the line that answers it.
 *
 * Each command carries a number, and QEMU repeats it in the answer. wait_line collects bytes until
 * there is a line, wait_message parses lines until one is the greeting or has the number, and
 * qmp_execute makes the request and takes the answer apart. The answer to a command that ran out of
 * time still comes later; its number is another, so it is dropped. The guest may have taken over
 * QEMU: the length of a line is limited, and no read or write waits beyond the deadline.
 */
#include "vmm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "sys/file.h"

/* The address goes through the descriptor, because the path of the directory may be too long for
 * it. */
static int socket_address(int dirfd, const char *name, struct sockaddr_un *out, struct error *err)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (str_format(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", dirfd, name) < 0)
        return error_set(err, ERR_VMM, ENAMETOOLONG, "socket %s", name);
    return 0;
}

int qmp_listen(int dirfd, const char *name, struct error *err)
{
    struct sockaddr_un a;
    if (socket_address(dirfd, name, &a, err) < 0 || file_unlink(dirfd, name, err) < 0)
        return -1;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4) < 0)
        return error_set(err, ERR_VMM, errno, "listen on %s", name);
    return TAKE_FD(fd);
}

cJSON *qmp_parse_line(const char *line, size_t len, unsigned serial, enum qmp_kind *kind,
                      struct error *err)
{
    struct error why = ERROR_INIT;
    _cleanup_json_ cJSON *j = json_parse(line, len, "QEMU's monitor", &why);
    if (!j)
        return error_null(err, ERR_VMM, 0, "%s", why.msg);
    if (!cJSON_IsObject(j))
        return error_null(err, ERR_VMM, 0, "QEMU's monitor sent a line that is not an object");
    bool ours = json_opt_i64(j, "id", -1) == (int64_t)serial;
    *kind = QMP_OTHER;
    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(j, "QMP")))
        *kind = QMP_GREETING;
    else if (cJSON_HasObjectItem(j, "event"))
        *kind = QMP_EVENT;
    else if (ours && cJSON_GetObjectItemCaseSensitive(j, "return"))
        *kind = QMP_RETURN;
    else if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(j, "error")) &&
             (ours || !cJSON_HasObjectItem(j, "id")))
        *kind = QMP_REFUSAL; /* without an id where QEMU could not even parse the command */
    return TAKE_PTR(j);
}

int qmp_greeting_version(const cJSON *greeting, char *version, size_t size, struct error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(greeting, "QMP");
    v = cJSON_GetObjectItemCaseSensitive(v, "version");
    v = cJSON_GetObjectItemCaseSensitive(v, "qemu");
    int64_t major, minor, micro;
    if (json_get_i64(v, "major", &major, NULL) < 0 || json_get_i64(v, "minor", &minor, NULL) < 0 ||
        json_get_i64(v, "micro", &micro, NULL) < 0 ||
        str_format(version, size, "%lld.%lld.%lld", (long long)major, (long long)minor,
                   (long long)micro) < 0)
        return error_set(err, ERR_VMM, 0, "QEMU's greeting has no version");
    return 0;
}

static int hung_up(int sys, struct error *err)
{
    return error_set(err, ERR_VMM, sys ? sys : ECONNRESET, "QEMU closed its control socket");
}

/* Reads until the buffer has a whole line. Returns its length without the line feed, or -1. */
static ssize_t wait_line(struct qmp *q, const struct deadline *d, const char *what,
                         struct error *err)
{
    size_t seen = 0;
    for (;;) {
        const char *nl = memchr(q->in.buf + seen, '\n', q->in.len - seen);
        if (nl)
            return nl - q->in.buf;
        seen = q->in.len;
        if (seen >= QMP_LINE_MAX)
            return error_set(err, ERR_VMM, 0, "QEMU's monitor sent more than %d bytes in a line",
                             QMP_LINE_MAX);
        struct pollfd p = {.fd = q->fd, .events = POLLIN};
        if (deadline_poll(&p, 1, d, what, err) < 0)
            return -1;
        char chunk[8192];
        ssize_t n = read(q->fd, chunk, sizeof chunk);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return hung_up(n < 0 ? errno : 0, err);
        strbuf_add(&q->in, chunk, (size_t)n);
    }
}

static void drop_line(struct qmp *q, size_t len)
{
    memmove(q->in.buf, q->in.buf + len + 1, q->in.len - len); /* with the NUL behind it */
    q->in.len -= len + 1;
}

/* The next line that is a greeting (serial 0) or the answer to `serial`; others are dropped. */
static cJSON *wait_message(struct qmp *q, unsigned serial, const struct deadline *d,
                           const char *what, enum qmp_kind *kind, struct error *err)
{
    for (;;) {
        ssize_t len = wait_line(q, d, what, err);
        if (len < 0)
            return NULL;
        cJSON *j = qmp_parse_line(q->in.buf, (size_t)len, serial, kind, err);
        drop_line(q, (size_t)len);
        if (!j || *kind == QMP_RETURN || *kind == QMP_REFUSAL ||
            (*kind == QMP_GREETING && serial == 0))
            return j;
        cJSON_Delete(j);
    }
}

static int send_all(struct qmp *q, const char *text, size_t len, const struct deadline *d,
                    struct error *err)
{
    while (len > 0) {
        struct pollfd p = {.fd = q->fd, .events = POLLOUT};
        if (deadline_poll(&p, 1, d, "QEMU to take a command", err) < 0)
            return -1;
        ssize_t n = send(q->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return hung_up(errno, err);
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

int qmp_execute(struct qmp *q, const char *command, const cJSON *args, const struct deadline *d,
                cJSON **reply, struct error *err)
{
    char what[96];
    enum qmp_kind kind;
    _cleanup_json_ cJSON *request = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(request, "execute", command);
    if (args)
        (void)cJSON_AddItemToObject(request, "arguments", cJSON_Duplicate(args, true));
    (void)cJSON_AddNumberToObject(request, "id", ++q->serial);
    _cleanup_free_ char *line = json_print(request, false);
    if (send_all(q, line, strlen(line), d, err) < 0 || send_all(q, "\n", 1, d, err) < 0)
        return -1;
    (void)str_format(what, sizeof what, "QEMU's answer to %.60s", command);
    _cleanup_json_ cJSON *answer = wait_message(q, q->serial, d, what, &kind, err);
    if (!answer)
        return -1;
    if (kind == QMP_REFUSAL)
        return error_set(
            err, ERR_VMM, 0, "QEMU refused %s: %.600s", command,
            json_opt_string(cJSON_GetObjectItemCaseSensitive(answer, "error"), "desc", "?"));
    if (reply)
        *reply = cJSON_DetachItemFromObjectCaseSensitive(answer, "return");
    return 0;
}

static int connect_socket(int dirfd, const char *name, struct error *err)
{
    struct sockaddr_un a;
    if (socket_address(dirfd, name, &a, err) < 0)
        return -1;
    /* A full queue of the listener is an error at once (EAGAIN), never a wait without limit. */
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
        return error_set(err, ERR_VMM, errno, "connect to QEMU's control socket %s", name);
    return TAKE_FD(fd);
}

int qmp_open(struct qmp *q, int dirfd, const char *name, const struct deadline *d, char *version,
             size_t size, struct error *err)
{
    enum qmp_kind kind = QMP_OTHER;
    q->fd = connect_socket(dirfd, name, err);
    if (q->fd < 0)
        return -1;
    _cleanup_json_ cJSON *hello = wait_message(q, 0, d, "the greeting on QEMU's control socket",
                                               &kind, err);
    if (!hello)
        return -1;
    if (kind != QMP_GREETING)
        return error_set(err, ERR_VMM, 0, "QEMU's control socket opened without a greeting");
    if (version && qmp_greeting_version(hello, version, size, err) < 0)
        return -1;
    return qmp_execute(q, "qmp_capabilities", NULL, d, NULL, err);
}

void qmp_close(struct qmp *q)
{
    CLOSE_FD(q->fd);
    strbuf_free(&q->in);
}
