/* cmd_dial.c: standard input and output are one end of the connection to a lease's SSH server.
 *
 * Not for people: the stock ssh starts it where no address leads to the machine (ProxyCommand). The
 * lease is in use as long as it runs.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd.h"

enum { INPUT, OUTPUT, WAYS };

/* One direction. A pipe that polls writable takes PIPE_BUF bytes without blocking. */
struct way {
    int from, to;
    size_t at, end; /* what waits of buf */
    bool over;      /* nothing more comes */
    char buf[PIPE_BUF];
};

static bool is_done(const struct way *w)
{
    return w->over && w->at == w->end;
}

static void wish(const struct way *w, struct pollfd *from, struct pollfd *to)
{
    bool full = w->at < w->end;
    *from = (struct pollfd){.fd = full || w->over ? -1 : w->from, .events = POLLIN};
    *to = (struct pollfd){.fd = full ? w->to : -1, .events = POLLOUT};
}

static int move(struct way *w, const struct pollfd *from, const struct pollfd *to,
                struct error *err)
{
    if (from->revents) {
        ssize_t n = read(w->from, w->buf, sizeof w->buf);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        w->over = n <= 0; /* a connection that was reset is over, too: ssh says so */
        w->at = 0;
        w->end = n > 0 ? (size_t)n : 0;
    }
    if (to->revents) {
        ssize_t n = write(w->to, w->buf + w->at, w->end - w->at);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return error_set(err, ERR_SSH, errno, "pass on the bytes of the SSH connection");
        w->at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Until the machine says no more, or is gone. */
static int relay(int stream, int gone_fd, const struct deadline *d, struct error *err)
{
    struct way ways[WAYS] = {[INPUT] = {.from = STDIN_FILENO, .to = stream},
                             [OUTPUT] = {.from = stream, .to = STDOUT_FILENO}};
    bool shut = false;
    while (!is_done(&ways[OUTPUT])) {
        struct pollfd p[2 * WAYS + 1] = {[2 * WAYS] = {.fd = gone_fd, .events = POLLIN}};
        for (int i = 0; i < WAYS; i++)
            wish(&ways[i], &p[2 * i], &p[2 * i + 1]);
        if (deadline_poll(p, 2 * WAYS + 1, d, "the connection to end", err) < 0)
            return -1;
        for (int i = 0; i < WAYS; i++)
            if (move(&ways[i], &p[2 * i], &p[2 * i + 1], err) < 0)
                return -1;
        if (is_done(&ways[INPUT]) && !shut)
            shut = shutdown(stream, SHUT_WR) == 0;
        if (p[2 * WAYS].revents && !p[2 * OUTPUT].revents && !p[2 * OUTPUT + 1].revents)
            return error_set(err, ERR_VMM, 0, "the machine ended");
    }
    return 0;
}

int cmd_dial(struct invocation *in, struct error *err)
{
    _cleanup_(session_close) struct session s = SESSION_INIT;
    struct deadline d = deadline_never();
    d.cancel_fd = in->cancel_fd;
    if (session_find(&in->ops, in->args[0], 0, &s, err) < 0)
        return -1;
    _cleanup_close_ int stream = session_dial(&s, err);
    if (stream < 0)
        return -1;
    int r = relay(stream, s.gone_fd, &d, err);
    /* ssh got the same Ctrl-C. */
    return r < 0 && err->kind == ERR_CANCELLED ? error_exit_code(ERR_CANCELLED) : r;
}
