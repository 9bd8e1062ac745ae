#include "standin/standin_http.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"

bool http_fill(struct conn *c)
{
    if (c->len == sizeof c->buf)
        return false;
    ssize_t n = recv(c->fd, c->buf + c->len, sizeof c->buf - c->len, 0);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    c->len += (size_t)n;
    return n > 0;
}

/* "PUT /drives/root HTTP/1.1" into its parts. */
static int parse_request_line(const char *line, size_t len, struct request *out)
{
    const char *sp1 = memchr(line, ' ', len);
    if (!sp1)
        return -1;
    const char *sp2 = memchr(sp1 + 1, ' ', len - (size_t)(sp1 + 1 - line));
    if (!sp2 || (size_t)(line + len - sp2 - 1) != 8 || memcmp(sp2 + 1, "HTTP/1.1", 8) != 0)
        return -1;
    if (str_format(out->method, sizeof out->method, "%.*s", (int)(sp1 - line), line) < 0)
        return -1;
    return str_format(out->path, sizeof out->path, "%.*s", (int)(sp2 - sp1 - 1), sp1 + 1);
}

/* The value of a header line if its name is `name`, else NULL. */
static const char *header_value(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return NULL;
    for (n++; n < len && line[n] == ' '; n++)
        ;
    return line + n;
}

static int parse_length(const char *value, const char *end, size_t *out)
{
    char digits[16];
    uint64_t n;
    if (str_format(digits, sizeof digits, "%.*s", (int)(end - value), value) < 0 ||
        str_to_u64(digits, &n) < 0)
        return -1;
    *out = (size_t)n;
    return 0;
}

/* Headers between the request line and the blank line: only the length of the body matters. */
static int parse_headers(const char *p, const char *end, struct request *out, const char **why)
{
    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t len = (size_t)((eol ? eol : end) - p);
        const char *v = header_value(p, len, "Content-Length");
        if (v && parse_length(v, p + len, &out->body_len) < 0) {
            *why = "the Content-Length is not a number";
            return -1;
        }
        if (header_value(p, len, "Transfer-Encoding")) {
            *why = "chunked bodies are not supported";
            return -1;
        }
        p += len + 2;
    }
    if (out->body_len > HTTP_BODY_MAX) {
        *why = "the body is larger than 51200 bytes";
        return -1;
    }
    return 0;
}

int http_next(const struct conn *c, struct request *out, const char **why)
{
    *out = (struct request){0};
    const char *end = memmem(c->buf, c->len, "\r\n\r\n", 4);
    if (!end) {
        *why = "the headers are too long";
        return c->len > HTTP_HEAD_MAX ? -1 : 0;
    }
    const char *eol = memmem(c->buf, c->len, "\r\n", 2);
    if (parse_request_line(c->buf, (size_t)(eol - c->buf), out) < 0) {
        *why = "not an HTTP/1.1 request line";
        return -1;
    }
    if (eol < end && parse_headers(eol + 2, end, out, why) < 0)
        return -1;
    size_t head = (size_t)(end + 4 - c->buf);
    if (head > HTTP_HEAD_MAX) {
        *why = "the headers are too long";
        return -1;
    }
    if (c->len < head + out->body_len)
        return 0;
    out->body = c->buf + head;
    out->total = head + out->body_len;
    return 1;
}

void http_consume(struct conn *c, const struct request *r)
{
    memmove(c->buf, c->buf + r->total, c->len - r->total);
    c->len -= r->total;
}

bool http_reply(struct conn *c, int status, const char *json)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    /* No reason phrase: clients must not depend on one. */
    strbuf_addf(&sb, "HTTP/1.1 %d \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n",
                status);
    if (json)
        strbuf_addf(&sb, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(json));
    strbuf_adds(&sb, "\r\n");
    if (json)
        strbuf_adds(&sb, json);
    return send(c->fd, sb.buf, sb.len, MSG_NOSIGNAL) == (ssize_t)sb.len;
}
