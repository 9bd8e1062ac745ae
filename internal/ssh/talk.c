/* talk.c: the program's end of one remote command, between our streams and the speaker's pipes.
 *
 * ssh_exec asks the speaker to run the command (exec.c) and repeats talk_step until the speaker has
 * reported its end and all output is written. The speaker sees nothing of our descriptors: output
 * comes from its pipes and goes to sinks here (sink.c), and input goes into its pipe as far as that
 * takes it. While a sink is full nothing is read from the pipe, so the speaker, and in the end the
 * guest, has to wait. With a terminal, keys are always read, so that "~." works even if the guest
 * takes nothing.
 *
 * The deadline, the end of the machine and a guest that hangs are noticed by the speaker, because
 * only it sees what moves. If it does not say so in time, or does not stop when it is told to, it
 * is ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "ssh/ask.h"
#include "ssh/escape.h"
#include "ssh/sink.h"
#include "sys/tty.h"

enum { INPUT_CHUNK = 32 * 1024, OUTPUT_CHUNK = 64 * 1024, REST_MAX = 64 };

struct talk {
    struct ssh_conn *c;
    const struct ssh_io *io;
    const struct deadline *d;
    struct sink out, errout;
    int to_in, from_out, from_err; /* owned: our ends of its pipes; -1: none, or ended */
    bool begun;                    /* the guest has begun the command */
    bool over;                     /* the speaker has said how it ended */
    bool in_ended;                 /* nothing more will come from our side */
    int gone_fd;                   /* borrowed; -1: none, or seen */
    int64_t gone_ms;               /* when the machine was gone; INT64_MAX: not yet */
    struct said said;              /* its last words */
    struct escape escape;
    bool *left; /* the user typed ~. */
    size_t in_off, in_len;
    char in[INPUT_CHUNK];
    char got[OUTPUT_CHUNK];
};

static void talk_release(struct talk **pt)
{
    struct talk *t = *pt;
    CLOSE_FD(t->to_in);
    CLOSE_FD(t->from_out);
    CLOSE_FD(t->from_err);
    sink_free(&t->out);
    sink_free(&t->errout);
    explicit_bzero(t->in, sizeof t->in);
    free(t);
}

/* ---- asking ---- */

/* Nobody else shares a pipe, so neither end blocks: each side writes as much as fits. */
static int make_pipe(bool wanted, bool to_it, int *ours, int *its, struct error *err)
{
    int ends[2];
    if (!wanted)
        return 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set(err, ERR_ENV, errno, "make a pipe for a command in the guest");
    *ours = ends[to_it];
    *its = ends[!to_it];
    return 0;
}

static int send_command(struct ssh_conn *c, const char *command, size_t len)
{
    for (size_t at = 0; at < len; at += SPEAKER_PIECE) {
        size_t n = len - at < SPEAKER_PIECE ? len - at : SPEAKER_PIECE;
        if (speaker_send(c->talk_fd, command + at, n, NULL, 0) < 0)
            return -1;
    }
    return 0;
}

static struct say_exec request_of(const struct talk *t, const char *command)
{
    const struct ssh_io *io = t->io;
    struct say_exec m = {.word = SAY_EXEC,
                         .at_ms = t->d ? t->d->at_ms : INT64_MAX,
                         .allowed_ms = t->d ? t->d->allowed_ms : 0,
                         .stall_ms = t->c->stall_ms,
                         .may_be_silent = io->may_be_silent,
                         .input_is_ours = io->source != NULL,
                         .mark = io->mark,
                         .command_len = strlen(command)};
    if (io->abort_signal)
        (void)str_copy(m.abort_signal, sizeof m.abort_signal, io->abort_signal);
    if (io->tty) {
        (void)str_copy(m.term, sizeof m.term, io->tty->term);
        tty_size(io->tty->fd, &m.columns, &m.rows);
    }
    return m;
}

static int talk_begin(struct talk *t, const char *command, struct error *err)
{
    const struct ssh_io *io = t->io;
    struct say_exec m = request_of(t, command);
    _cleanup_close_ int in = -1, out = -1, errout = -1;
    int fds[SPEAKER_FDS];
    size_t n = 0;
    t->in_ended = io->stdin_fd < 0 && !io->source && !io->tty;
    if (make_pipe(!t->in_ended, true, &t->to_in, &in, err) < 0 ||
        make_pipe(true, false, &t->from_out, &out, err) < 0 ||
        make_pipe(true, false, &t->from_err, &errout, err) < 0)
        return -1;
    const int all[] = {in, out, errout, t->gone_fd};
    bool *const has[] = {&m.has_in, &m.has_out, &m.has_err, &m.has_gone};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        *has[i] = all[i] >= 0;
        if (all[i] >= 0)
            fds[n++] = all[i];
    }
    if (t->c->child.pid == 0)
        return error_set(err, ERR_SSH, 0, "the connection to %s was lost", t->c->peer);
    if (speaker_send(t->c->talk_fd, &m, sizeof m, fds, n) < 0 ||
        send_command(t->c, command, m.command_len) < 0)
        return ask_failed(t->c, "does not listen", err);
    return 0;
}

/* ---- input ---- */

/* Keys are also read while the guest takes none, so that "~." always works. */
static bool wants_input(const struct talk *t)
{
    if (t->in_ended || !t->begun || t->over || t->io->source)
        return false;
    return t->io->tty ? t->in_len < INPUT_CHUNK / 2 : t->in_len == 0;
}

static int take_keys(struct talk *t, struct error *err)
{
    char typed[1024];
    enum escape_act act;
    ssize_t n = read(t->io->tty->fd, typed, sizeof typed);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0 && errno != EIO)
        return error_set(err, ERR_IO, errno, "read the terminal");
    if (n <= 0) { /* EIO: it hung up */
        t->in_ended = true;
        return 0;
    }
    memmove(t->in, t->in + t->in_off, t->in_len);
    t->in_off = 0;
    t->in_len += escape_filter(&t->escape, typed, (size_t)n, t->in + t->in_len, &act);
    explicit_bzero(typed, sizeof typed);
    if (act == ESCAPE_HELP)
        sink_put(&t->out, ESCAPE_HELP_TEXT, sizeof ESCAPE_HELP_TEXT - 1);
    if (act != ESCAPE_LEAVE)
        return 0;
    *t->left = true;
    return error_set(err, ERR_CANCELLED, 0, "left by ~.");
}

static int take_input(struct talk *t, struct error *err)
{
    ssize_t n;
    if (t->io->tty)
        return take_keys(t, err);
    t->in_off = 0;
    if (t->io->source) {
        n = t->io->source(t->io->source_ctx, t->in, sizeof t->in, err);
        if (n < 0)
            return -1;
    } else {
        n = read(t->io->stdin_fd, t->in, sizeof t->in);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return 0;
        if (n < 0 && errno != EIO)
            return error_set(err, ERR_IO, errno, "read standard input");
    }
    t->in_ended = n <= 0; /* EIO: a terminal that hung up */
    t->in_len = n > 0 ? (size_t)n : 0;
    return 0;
}

/* Hands on what was read, and its end. It is no error if the command has closed its input: the rest
 * is dropped. */
static void give_input(struct talk *t)
{
    while (t->in_len > 0 && t->to_in >= 0) {
        ssize_t n = write(t->to_in, t->in + t->in_off, t->in_len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            t->in_ended = true;
            t->in_len = 0;
            break;
        }
        t->in_off += (size_t)n;
        t->in_len -= (size_t)n;
    }
    if (t->in_ended && t->in_len == 0)
        CLOSE_FD(t->to_in);
}

/* ---- output ---- */

/* What is in a pipe now, or a part of it. Returns false if there was nothing. */
static bool take_output(struct talk *t, int *from, bool is_stderr)
{
    const struct ssh_io *io = t->io;
    ssize_t n = *from < 0 ? 0 : read(*from, t->got, sizeof t->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        CLOSE_FD(*from);
        return false;
    }
    if (!is_stderr && io->out_at_us && *io->out_at_us == 0)
        *io->out_at_us = clock_unix_us();
    sink_put(is_stderr ? &t->errout : &t->out, t->got, (size_t)n);
    if (io->hear)
        io->hear(io->hear_ctx, is_stderr, t->got, (size_t)n);
    return true;
}

/* It closes its pipes before it says that it is done. */
static void take_rest(struct talk *t)
{
    for (int i = 0; i < REST_MAX && take_output(t, &t->from_out, false); i++)
        ;
    for (int i = 0; i < REST_MAX && take_output(t, &t->from_err, true); i++)
        ;
    CLOSE_FD(t->from_out);
    CLOSE_FD(t->from_err);
    CLOSE_FD(t->to_in);
    t->in_ended = true;
    t->in_len = 0;
}

/* ---- the talk ---- */

static int listen_to_it(struct talk *t, struct error *err)
{
    const struct ssh_tty *tty = t->io->tty;
    if (ask_receive(t->c, &t->said, err) < 0)
        return -1;
    if (t->said.word == SAID_STARTED && !t->begun) {
        t->begun = true;
        return tty && tty->begun ? tty->begun(tty->fd, err) : 0;
    }
    if (t->said.word != SAID_ENDED)
        return ask_failed(t->c, "answers nonsense", err);
    t->over = true;
    take_rest(t);
    return 0;
}

static void tell_size(const struct talk *t, const struct ssh_tty *tty)
{
    struct say_size m = {.word = SAY_SIZE};
    tty_resize_take(tty->resize_fd);
    tty_size(tty->fd, &m.columns, &m.rows);
    (void)speaker_send(t->c->talk_fd, &m, sizeof m, NULL, 0);
}

static bool wants_output(const struct talk *t, int from, const struct sink *s)
{
    return from >= 0 && !t->over && !sink_full(s);
}

/* For an answer of the speaker, which has seen the end of the machine itself. */
static struct deadline patience(const struct talk *t)
{
    struct deadline d = t->d ? *t->d : deadline_never();
    if (t->gone_ms < d.at_ms)
        d.at_ms = t->gone_ms;
    return ask_deadline(&d);
}

static int talk_step(struct talk *t, struct error *err)
{
    struct deadline late = patience(t);
    const struct deadline *d = t->over ? t->d : &late;
    bool pull = t->io->source && t->begun && !t->in_ended;
    const struct ssh_tty *tty = t->io->tty;
    struct pollfd fds[] = {
        {.fd = t->over ? -1 : t->c->talk_fd, .events = POLLIN},
        {.fd = t->in_len > 0 || pull ? t->to_in : -1, .events = POLLOUT},
        {.fd = wants_input(t) ? tty ? tty->fd : t->io->stdin_fd : -1, .events = POLLIN},
        {.fd = wants_output(t, t->from_out, &t->out) ? t->from_out : -1, .events = POLLIN},
        {.fd = wants_output(t, t->from_err, &t->errout) ? t->from_err : -1, .events = POLLIN},
        {.fd = sink_empty(&t->out) ? -1 : t->out.fd, .events = POLLOUT},
        {.fd = sink_empty(&t->errout) ? -1 : t->errout.fd, .events = POLLOUT},
        {.fd = tty && !t->over ? tty->resize_fd : -1, .events = POLLIN},
        {.fd = t->over ? -1 : t->gone_fd, .events = POLLIN},
    };
    unsigned n = !t->over && deadline_passed(d) ? 0 : ARRAY_LEN(fds);
    if (deadline_poll_once(fds, n, d, "the command to end", err) < 0)
        return -1;
    if (fds[8].revents) {
        t->gone_fd = -1;
        t->gone_ms = clock_boot_ms();
    }
    if (fds[3].revents)
        (void)take_output(t, &t->from_out, false);
    if (fds[4].revents)
        (void)take_output(t, &t->from_err, true);
    if (tty && fds[7].revents)
        tell_size(t, tty);
    if (fds[0].revents && listen_to_it(t, err) < 0)
        return -1;
    bool input = fds[2].revents || (pull && fds[1].revents && t->in_len == 0);
    if (input && !t->over && take_input(t, err) < 0)
        return -1;
    give_input(t);
    return sink_write(&t->out, err) < 0 ? -1 : sink_write(&t->errout, err);
}

/* One that is late by now is not asked again. */
static void give_up(const struct talk *t)
{
    struct deadline late = patience(t);
    if (deadline_passed(&late))
        child_kill(&t->c->child);
    else
        ask_stop(t->c);
}

static int talk_run(struct talk *t, struct error *err)
{
    struct error e = ERROR_INIT;
    while (!t->over || !sink_empty(&t->out) || !sink_empty(&t->errout))
        if (talk_step(t, &e) < 0) {
            if (!t->over)
                give_up(t);
            if (e.kind == ERR_TIMEOUT && t->gone_ms < INT64_MAX)
                error_fill(&e, ERR_VMM, 0, "the machine ended while a command was running");
            /* What the speaker reported came first. */
            if (t->over && t->said.failed)
                break;
            if (err)
                *err = e;
            return -1;
        }
    return ask_result(&t->said, err);
}

static void take_status(struct talk *t, struct ssh_status *st)
{
    bool left = st->left;
    *st = t->said.status;
    st->signal[sizeof st->signal - 1] = '\0';
    st->signal[strspn(st->signal, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?")] = '\0';
    st->code &= 0xff;
    st->exited = !st->signalled;
    st->left = left;
    if (t->said.was_left)
        log_warn("the command has ended, but a process that it started keeps its output open: not "
                 "waiting for that");
}

int ssh_exec(struct ssh_conn *c, const char *command, const struct ssh_io *io,
             const struct deadline *d, struct ssh_status *st, struct error *err)
{
    _cleanup_(talk_release) struct talk *t = xcalloc(1, sizeof *t);
    *st = (struct ssh_status){0};
    t->c = c;
    t->io = io;
    t->d = d;
    t->left = &st->left;
    t->to_in = t->from_out = t->from_err = -1;
    t->gone_fd = io->gone_fd >= 0 ? io->gone_fd : c->gone_fd;
    t->gone_ms = INT64_MAX;
    sink_init(&t->out, io->stdout_fd, io->out, io->out_max, "standard output");
    sink_init(&t->errout, io->stderr_fd, io->errout, io->out_max, "standard error");
    if (talk_begin(t, command, err) < 0 || talk_run(t, err) < 0)
        return -1;
    take_status(t, st);
    return 0;
}
