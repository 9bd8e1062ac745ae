/* standin_http.h: the server half of HTTP/1.1 that Firecracker's API needs, on one descriptor.
 *
 * A connection is read into a fixed buffer; http_next() hands out whole requests, http_reply()
 * answers. Keep-alive always; no chunked bodies, no upgrades, as the real one.
 *
 * The caller owns the descriptor. struct request points into the connection's buffer and is valid
 * until http_consume().
 */
#ifndef CRABBOX_STANDIN_STANDIN_HTTP_H
#define CRABBOX_STANDIN_STANDIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_BODY_MAX 51200u
#define HTTP_HEAD_MAX 8192u

struct conn {
    int fd; /* -1: free */
    bool hung;
    size_t len;
    char buf[HTTP_HEAD_MAX + HTTP_BODY_MAX];
};

struct request {
    char method[8];
    char path[256];
    const char *body; /* not NUL-terminated */
    size_t body_len;
    size_t total; /* bytes of the buffer that this request takes */
};

/* Reads once what is there. False when the peer has closed or the buffer can't take more. */
bool http_fill(struct conn *c);

/* 1: a whole request is in `out`; 0: more bytes are needed; -1: what came is not acceptable and
 * `why` says so (answer 400 and close). */
int http_next(const struct conn *c, struct request *out, const char **why);
void http_consume(struct conn *c, const struct request *r);

/* Sends status and body (NULL: none). False if the peer is gone. */
bool http_reply(struct conn *c, int status, const char *json);

#endif
