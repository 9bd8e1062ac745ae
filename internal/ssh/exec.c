/* exec.c: one remote command with its three streams, as the speaker sees it: all three are pipes of
 * the program that it speaks for (ask.c).
 *
 * conn_exec opens a channel, asks for a terminal if one is wanted, and asks the server to start the
 * command. All of that must be done within the stall time. Then it repeats exec_step until the
 * channel is closed and all output is written. One step does this:
 * 1. exec_pump lets libssh read from the connection. libssh calls on_data, which appends to a sink
 *    (sink.c), or on_status or on_signal, which record the end of the command.
 * 2. The sinks write to our descriptors what these take now.
 * 3. give_input hands input that was read before to the channel, as far as the guest's window
 *    allows.
 * 4. exec_poll waits for whatever can go on: the connection, our input and outputs, the end of
 *    the machine, a word of the program that we speak for, or the deadline.
 *
 * Memory stays limited in both directions. While a sink is full, nothing is read from the
 * connection, so the guest's TCP window closes and the command waits. Input is read only if the
 * channel can take it.
 *
 * A guest hangs if nothing moved for the stall time although it was the guest's turn (must_move). A
 * slow reader on our side is not the guest's fault and does not count.
 *
 * The server is not trusted. check_end accepts exactly one end that a command can have. peer.c
 * limits what the server can make libssh do. Each function that waits also ends at the deadline,
 * even if the connection is never idle.
 */
#include <errno.h>
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <string.h>

#include "base/cleanup.h"
#include "ssh/conn.h"
#include "ssh/sink.h"

/* What SSH_MARK_PRINT prints; its first byte is nowhere else in it. */
static const char mark[] = "\002crabbox-fc\003";

enum { INPUT_CHUNK = 32 * 1024, PUMP_MAX = 64, CODE_MAX = 255, SWAMPED = 1 << 20 };

struct exec {
    struct conn *c;
    struct conn_io *io;
    const struct deadline *d;
    struct ssh_status *st;
    ssh_channel ch;
    ssh_event ev;
    struct ssh_channel_callbacks_struct cb;
    struct sink out, errout;
    int gone_fd;   /* that of io */
    bool started;  /* the guest accepted the command */
    bool closed;   /* the guest closed the channel */
    bool left;     /* we wait no longer, though it is open */
    bool in_ended; /* nothing more will come from our side */
    bool eof_sent;
    size_t mark_len;  /* how much of the mark has come */
    int n_ends;       /* how many ends of the command the guest has reported */
    int64_t moved_ms; /* when something came or went last, a window's extension too */
    size_t in_off, in_len;
    char in[INPUT_CHUNK];
};

/* Leaves out what comes before the mark. */
static size_t skip_to_mark(struct exec *x, const char *data, size_t len)
{
    size_t i = 0;
    while (i < len && x->mark_len < sizeof mark - 1) {
        char c = data[i++];
        x->mark_len = c == mark[x->mark_len] ? x->mark_len + 1 : c == mark[0];
    }
    return i;
}

static bool is_begun(const struct exec *x)
{
    return x->io->mark == SSH_MARK_NONE || x->mark_len == sizeof mark - 1;
}

static int on_data(ssh_session session, ssh_channel ch, void *data, uint32_t len, int is_stderr,
                   void *ctx)
{
    (void)session;
    (void)ch;
    struct exec *x = ctx;
    size_t skip = is_stderr || is_begun(x) ? 0 : skip_to_mark(x, data, len);
    sink_put(is_stderr ? &x->errout : &x->out, (const char *)data + skip, len - skip);
    return (int)len;
}

static void on_close(ssh_session session, ssh_channel ch, void *ctx)
{
    (void)session;
    (void)ch;
    ((struct exec *)ctx)->closed = true;
}

static void on_status(ssh_session session, ssh_channel ch, int code, void *ctx)
{
    (void)session;
    (void)ch;
    struct exec *x = ctx;
    x->n_ends++;
    x->st->exited = true;
    x->st->signalled = false;
    x->st->code = code;
}

/* The name comes from the guest. Only characters that a signal's name can have are taken. */
static void on_signal(ssh_session session, ssh_channel ch, const char *name, int core,
                      const char *msg, const char *lang, void *ctx)
{
    (void)session;
    (void)ch;
    (void)core;
    (void)msg;
    (void)lang;
    struct exec *x = ctx;
    struct ssh_status *st = x->st;
    size_t n = strspn(name ? name : "", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    x->n_ends++;
    st->exited = false;
    st->signalled = true;
    (void)snprintf(st->signal, sizeof st->signal, "%.*s", n ? (int)n : 1, n ? name : "?");
}

static void exec_release(struct exec **px)
{
    struct exec *x = *px;
    conn_watch_end();
    if (x->ev) {
        (void)ssh_event_remove_session(x->ev, x->c->session);
        ssh_event_free(x->ev);
    }
    if (x->ch) {
        (void)ssh_remove_channel_callbacks(x->ch, &x->cb);
        conn_drop_data(x->c, x->ch);
        (void)ssh_channel_close(x->ch);
        ssh_channel_free(x->ch);
    }
    sink_free(&x->out);
    sink_free(&x->errout);
    explicit_bzero(x->in, sizeof x->in);
    free(x);
}

static int exec_init(struct exec *x, struct error *err)
{
    const struct conn_io *io = x->io;
    sink_init(&x->out, io->stdout_fd, NULL, 0, "standard output");
    sink_init(&x->errout, io->stderr_fd, NULL, 0, "standard error");
    x->in_ended = io->stdin_fd < 0;
    x->ch = ssh_channel_new(x->c->session);
    x->ev = ssh_event_new();
    if (!x->ch || !x->ev || ssh_event_add_session(x->ev, x->c->session) != SSH_OK)
        return conn_fail(x->c, x->gone_fd, "open a channel to", err);
    x->cb = (struct ssh_channel_callbacks_struct){
        .userdata = x,
        .channel_data_function = on_data,
        .channel_close_function = on_close,
        .channel_exit_status_function = on_status,
        .channel_exit_signal_function = on_signal,
    };
    ssh_callbacks_init(&x->cb);
    (void)ssh_set_channel_callbacks(x->ch, &x->cb);
    return 0;
}

/* The error of a guest that did nothing for the stall time: ERR_TIMEOUT, although the deadline has
 * not passed. */
static int hung(const struct exec *x, const char *what, struct error *err)
{
    char time[32];
    if (x->c->stall_ms < 1000)
        (void)snprintf(time, sizeof time, "%lld ms", (long long)x->c->stall_ms);
    else
        (void)snprintf(time, sizeof time, "%lld s", (long long)(x->c->stall_ms / 1000));
    return error_set(err, ERR_TIMEOUT, 0, "the guest (%s) hangs: %s for %s", x->c->peer, what,
                     time);
}

static bool stalled(const struct exec *x)
{
    return sink_full(&x->out) || sink_full(&x->errout);
}

/* One wait before the command has started. All of them together may take the stall time. */
static int wait_start(const struct exec *x, const struct deadline *start, const char *what,
                      struct error *err)
{
    if (stalled(x))
        return error_set(err, ERR_SSH, 0,
                         "the guest (%s) sends output of a command that it has not started: its "
                         "SSH server can't be trusted; next: stop the lease",
                         x->c->peer);
    if (conn_wait(x->c, x->gone_fd, start, what, err) == 0)
        return 0;
    if (err && err->kind == ERR_TIMEOUT && !deadline_passed(x->d))
        return hung(x, "it does not start a command", err);
    return -1;
}

static int exec_open(struct exec *x, const struct deadline *start, struct error *err)
{
    int rc;
    conn_watch_open(x->c);
    /* Without memory, libssh leaves the session out and says nothing. It would then never read what
     * comes, and we would take the bytes that wait for signs of life. */
    if (ssh_event_dopoll(x->ev, 0) == SSH_ERROR)
        return conn_fail(x->c, x->gone_fd, "open a channel to", err);
    while ((rc = ssh_channel_open_session(x->ch)) == SSH_AGAIN)
        if (wait_start(x, start, "a channel to the guest", err) < 0)
            return -1;
    conn_watch_rest();
    return rc == SSH_OK ? 0 : conn_fail(x->c, x->gone_fd, "open a channel to", err);
}

/* A terminal of the size of ours. */
static int exec_terminal(struct exec *x, const struct deadline *start, struct error *err)
{
    const struct conn_io *io = x->io;
    int rc;
    if (!io->term)
        return 0;
    while ((rc = ssh_channel_request_pty_size(x->ch, io->term, io->columns, io->rows)) == SSH_AGAIN)
        if (wait_start(x, start, "a terminal in the guest", err) < 0)
            return -1;
    return rc == SSH_OK ? 0 : conn_fail(x->c, x->gone_fd, "open a terminal on", err);
}

/* Asks for no reply, so nothing here can wait. */
static int exec_hear(struct exec *x, struct error *err)
{
    int resized = x->io->heard(x->io->ctx, x->io, err);
    if (resized > 0 && x->io->term && !x->closed)
        (void)ssh_channel_change_pty_size(x->ch, x->io->columns, x->io->rows);
    return resized < 0 ? -1 : 0;
}

static int exec_request(struct exec *x, const char *command, const struct deadline *start,
                        struct error *err)
{
    int rc;
    while ((rc = ssh_channel_request_exec(x->ch, command)) == SSH_AGAIN)
        if (wait_start(x, start, "the guest to start the command", err) < 0)
            return -1;
    return rc == SSH_OK ? 0 : conn_fail(x->c, x->gone_fd, "start a command on", err);
}

static bool lost(const struct exec *x)
{
    return !ssh_is_connected(x->c->session);
}

/* Lets libssh read and write what the socket has and takes now; 4 KiB a round at most. */
static void exec_pump(struct exec *x)
{
    for (int i = 0; i < PUMP_MAX && !stalled(x); i++)
        if (ssh_event_dopoll(x->ev, 0) != SSH_OK)
            return;
}

/* libssh also reads a little when it should only write. A server that keeps us writing must not be
 * able to fill our memory while a reader on our side is slow. An honest server never gets so far.
 */
static bool swamped(const struct exec *x)
{
    return sink_held(&x->out) > SWAMPED || sink_held(&x->errout) > SWAMPED;
}

/* Sends queued input even while our outputs are full. */
static void exec_flush(struct exec *x)
{
    if (conn_events(x->c) & POLLOUT && !swamped(x))
        (void)ssh_event_dopoll(x->ev, 0);
}

static bool can_send(const struct exec *x)
{
    return !(conn_events(x->c) & POLLOUT) && ssh_channel_window_size(x->ch) > 0;
}

static bool wants_input(const struct exec *x)
{
    return !x->in_ended && !x->closed && x->in_len == 0 && !stalled(x) && can_send(x);
}

static int take_input(struct exec *x, struct error *err)
{
    x->in_off = 0;
    ssize_t n = read(x->io->stdin_fd, x->in, sizeof x->in);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0)
        return error_set(err, ERR_IO, errno, "read standard input");
    x->in_ended = n == 0;
    x->in_len = (size_t)n;
    x->moved_ms = clock_boot_ms(); /* our own side may have been slow */
    return 0;
}

/* Hands the input that was read to the channel, and its end once. It is no error if the command has
 * closed its input: the rest is dropped. */
static void give_input(struct exec *x)
{
    if (x->closed || x->eof_sent)
        return;
    if (x->in_len > 0 && can_send(x)) {
        int n = ssh_channel_write(x->ch, x->in + x->in_off, (uint32_t)x->in_len);
        if (n < 0) {
            x->in_ended = true;
            x->in_len = 0;
        } else {
            x->in_off += (size_t)n;
            x->in_len -= (size_t)n;
            x->moved_ms = n > 0 ? clock_boot_ms() : x->moved_ms;
        }
    }
    if (x->in_ended && x->in_len == 0) {
        (void)ssh_channel_send_eof(x->ch);
        x->eof_sent = true;
    }
}

/* Whether it is the guest's turn to do something. It is not if a reader or the source on our side
 * is slow, or while a command that is not ours works in silence. */
static bool must_move(const struct exec *x)
{
    return sink_empty(&x->out) && sink_empty(&x->errout) &&
           !(x->io->input_is_ours && wants_input(x)) && (!x->io->may_be_silent || x->n_ends > 0);
}

/* How long nothing may come when it is the guest's turn. A command that has ended is waited for
 * only for the sake of what it left running. */
static int64_t patience(const struct exec *x)
{
    return x->n_ends > 0 && x->c->stall_ms > SSH_LINGER_MS ? SSH_LINGER_MS : x->c->stall_ms;
}

/* After a timeout: is it the deadline, a guest that hangs, or only a leftover of the command? */
static int waited_enough(struct exec *x, bool must, struct error *err)
{
    if (!err || err->kind != ERR_TIMEOUT || deadline_passed(x->d) || !must)
        return -1;
    if (x->n_ends == 0)
        return hung(x, "nothing came from it and it took nothing", err);
    /* The command has ended. Processes that it left behind may keep its output open for ever. */
    x->io->was_left = true;
    error_clear(err);
    x->left = true;
    return 0;
}

static int exec_poll(struct exec *x, bool want_input, struct error *err)
{
    short events = conn_events(x->c);
    if (stalled(x))
        events &= swamped(x) ? 0 : (short)~POLLIN;
    struct pollfd fds[] = {
        {.fd = lost(x) || !events ? -1 : x->c->fd, .events = events},
        {.fd = want_input ? x->io->stdin_fd : -1, .events = POLLIN},
        {.fd = sink_empty(&x->out) ? -1 : x->out.fd, .events = POLLOUT},
        {.fd = sink_empty(&x->errout) ? -1 : x->errout.fd, .events = POLLOUT},
        {.fd = x->gone_fd, .events = POLLIN},
        {.fd = x->io->talk_fd, .events = POLLIN},
    };
    /* A flood of output keeps something ready at all times. The deadline still holds then; the
     * stall time does not apply, as bytes move. */
    unsigned n = deadline_passed(x->d) ? 0 : ARRAY_LEN(fds);
    bool must = must_move(x);
    int64_t left = x->moved_ms + patience(x) - clock_boot_ms();
    struct deadline stall = deadline_sub(x->d, left > 0 ? left : 0);
    if (deadline_poll_once(fds, n, must ? &stall : x->d, "the command to end", err) < 0)
        return waited_enough(x, must, err);
    /* A message that only makes the window larger counts: the guest has taken something. */
    if (!must || fds[0].revents & POLLIN)
        x->moved_ms = clock_boot_ms();
    if (fds[5].revents && exec_hear(x, err) < 0)
        return -1;
    bool others = fds[0].revents || fds[1].revents || fds[2].revents || fds[3].revents;
    if (fds[4].revents && !others)
        return error_set(err, ERR_VMM, 0, "the machine ended while a command was running");
    return fds[1].revents ? take_input(x, err) : 0;
}

static bool exec_done(const struct exec *x)
{
    return (x->closed || x->left || lost(x)) && sink_empty(&x->out) && sink_empty(&x->errout);
}

static int exec_step(struct exec *x, struct error *err)
{
    exec_pump(x);
    exec_flush(x);
    if (conn_check(x->c, err) < 0)
        return -1;
    if (sink_write(&x->out, err) < 0 || sink_write(&x->errout, err) < 0)
        return -1;
    give_input(x);
    if (exec_done(x))
        return 0;
    return exec_poll(x, wants_input(x), err);
}

static int exec_run(struct exec *x, const char *command, struct error *err)
{
    struct deadline start = deadline_sub(x->d, x->c->stall_ms);
    if (exec_init(x, err) < 0 || exec_open(x, &start, err) < 0 ||
        exec_terminal(x, &start, err) < 0 || exec_request(x, command, &start, err) < 0)
        return -1;
    x->started = true;
    x->moved_ms = clock_boot_ms();
    if (x->io->started(x->io->ctx, err) < 0)
        return -1;
    while (!exec_done(x))
        if (exec_step(x, err) < 0)
            return -1;
    return conn_check(x->c, err);
}

/* We stop waiting before the command has ended. Asks for no reply, so nothing here can wait. */
static void exec_abort(struct exec *x)
{
    if (!x->io->abort_signal || !x->started || x->closed || lost(x))
        return;
    (void)ssh_channel_request_send_signal(x->ch, x->io->abort_signal);
    exec_flush(x);
}

/* Exactly one end, and one that a process can have. */
static int check_end(const struct exec *x, struct error *err)
{
    const struct ssh_status *st = x->st;
    if (x->n_ends > 1)
        return error_set(err, ERR_SSH, 0,
                         "the guest's SSH server (%s) reported the end of one command %d times; "
                         "next: stop the lease",
                         x->c->peer, x->n_ends);
    if (x->n_ends == 1 && st->exited && !is_begun(x))
        return error_set(
            err, ERR_SSH, 0,
            "the shell of the guest's user ended (exit code %d) before it began the "
            "command: a start-up file, such as ~/.bashrc, exits; next: put `return` in "
            "the place of `exit` there, or stop the lease",
            st->code);
    if (x->n_ends == 1 && (st->signalled || (st->code >= 0 && st->code <= CODE_MAX)))
        return 0;
    if (x->n_ends == 1)
        return error_set(err, ERR_SSH, 0,
                         "the guest's SSH server (%s) reported exit code %u, which no command can "
                         "have; next: stop the lease",
                         x->c->peer, (unsigned)st->code);
    if (lost(x))
        return conn_fail(x->c, x->gone_fd, "the connection was lost while a command ran on", err);
    return error_set(
        err, ERR_SSH, 0,
        "the command on %s ended without an exit code: the guest's SSH server died or was killed",
        x->c->peer);
}

int conn_exec(struct conn *c, const char *command, struct conn_io *io, const struct deadline *d,
              struct ssh_status *st, struct error *err)
{
    _cleanup_(exec_release) struct exec *x = xcalloc(1, sizeof *x);
    *st = (struct ssh_status){0};
    x->c = c;
    x->io = io;
    x->d = d;
    x->st = st;
    x->gone_fd = io->gone_fd;
    conn_begin(c);
    _cleanup_free_ char *marked = io->mark == SSH_MARK_BEFORE
                                      ? xasprintf(SSH_MARK_PRINT "%s", command)
                                      : NULL;
    if (exec_run(x, marked ? marked : command, err) < 0) {
        exec_abort(x);
        return -1;
    }
    return check_end(x, err);
}
