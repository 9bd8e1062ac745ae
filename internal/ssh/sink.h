/* sink.h: the destination of one output stream of a remote command.
 *
 * sink_init, then sink_put for each piece that arrives (it keeps everything), sink_write when poll
 * reports the descriptor writable, sink_free. The caller limits the memory: it stops reading from
 * the guest while sink_full().
 *
 * The descriptor may be shared with other processes (a terminal, a pipe), so it is never made
 * non-blocking. Instead at most PIPE_BUF bytes are written after poll reported it writable; a pipe
 * takes these without blocking.
 */
#ifndef CRABBOX_SSH_SINK_H
#define CRABBOX_SSH_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

struct sink {
    int fd;                 /* borrowed, or -1 */
    struct strbuf *capture; /* borrowed, or NULL */
    size_t capture_max;
    const char *name; /* "standard output" */
    size_t chunk;     /* bytes a write */
    char *buf;        /* waiting bytes are buf[off, len) */
    size_t off, len, alloc;
};

void sink_init(struct sink *s, int fd, struct strbuf *capture, size_t max, const char *name);
void sink_free(struct sink *s);
void sink_put(struct sink *s, const void *data, size_t len);
bool sink_empty(const struct sink *s);
bool sink_full(const struct sink *s);
size_t sink_held(const struct sink *s); /* how many bytes wait */
/* Writes what the descriptor takes now. ERR_IO with the errno; EPIPE if the reader has gone. */
int sink_write(struct sink *s, struct error *err);

#endif
