#include "ssh/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

enum { SINK_HIGH = 256 * 1024, FILE_CHUNK = 128 * 1024 };

/* A regular file never blocks for lack of a reader, and some descriptors don't block at all: they
 * may be given more at once. */
static size_t chunk_for(int fd)
{
    struct stat st;
    if (fd < 0)
        return PIPE_BUF;
    bool never_blocks = (fcntl(fd, F_GETFL) & O_NONBLOCK) ||
                        (fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
    return never_blocks ? FILE_CHUNK : PIPE_BUF;
}

void sink_init(struct sink *s, int fd, struct strbuf *capture, size_t max, const char *name)
{
    *s = (struct sink){.fd = fd, .capture = capture, .capture_max = max, .name = name};
    s->chunk = chunk_for(fd);
}

void sink_free(struct sink *s)
{
    free(s->buf);
    s->buf = NULL;
    s->off = s->len = s->alloc = 0;
}

static void capture(struct sink *s, const void *data, size_t len)
{
    size_t room = s->capture_max > s->capture->len ? s->capture_max - s->capture->len : 0;
    strbuf_add(s->capture, data, len < room ? len : room);
}

void sink_put(struct sink *s, const void *data, size_t len)
{
    if (s->capture)
        capture(s, data, len);
    if (s->capture || s->fd < 0)
        return;
    if (s->off && s->len + len > s->alloc) {
        memmove(s->buf, s->buf + s->off, s->len - s->off);
        s->len -= s->off;
        s->off = 0;
    }
    if (s->len + len > s->alloc) {
        s->alloc = 2 * (s->len + len);
        s->buf = xrealloc(s->buf, s->alloc);
    }
    if (len)
        memcpy(s->buf + s->len, data, len);
    s->len += len;
}

bool sink_empty(const struct sink *s)
{
    return s->off == s->len;
}

size_t sink_held(const struct sink *s)
{
    return s->len - s->off;
}

bool sink_full(const struct sink *s)
{
    return sink_held(s) >= SINK_HIGH;
}

static bool writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) > 0;
}

int sink_write(struct sink *s, struct error *err)
{
    while (!sink_empty(s) && writable(s->fd)) {
        size_t left = s->len - s->off;
        ssize_t n = write(s->fd, s->buf + s->off, left < s->chunk ? left : s->chunk);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "write to %s", s->name);
        s->off += (size_t)n;
    }
    if (sink_empty(s))
        s->off = s->len = 0;
    return 0;
}
