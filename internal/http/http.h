/* http.h: JSON over HTTP on a unix socket. The only user of libcurl.
 *
 * One client per VMM process, one request at a time, keep-alive between them. Replies are read by
 * Content-Length, at most 1 MiB. The socket is named by directory descriptor and file name, because
 * state directories may be deeper than the 108 bytes of a socket address.
 */
#ifndef CRABBOX_HTTP_HTTP_H
#define CRABBOX_HTTP_HTTP_H

#include "base/error.h"
#include "base/json.h"
#include "sys/deadline.h"

struct http_client; /* opaque */

struct http_client *http_open(int dirfd, const char *socket_name, struct error *err);
void http_close(struct http_client *c); /* NULL is fine */
static inline void cleanup_http_client(struct http_client **c)
{
    http_close(*c);
}

/* Sends `body` (may be NULL) and waits for the whole reply. `status` gets the HTTP status; `reply`
 * (may be NULL) the parsed body or NULL where it is empty; the caller deletes it. Returns -1 only
 * when no valid HTTP reply came: ERR_VMM, ERR_TIMEOUT. */
int http_json(struct http_client *c, const char *method, const char *path, const cJSON *body,
              const struct deadline *d, int *status, cJSON **reply, struct error *err);

#endif
