#include "ssh/speaker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

enum { TALK_FD = STDIN_FILENO, STOP_FD = STDOUT_FILENO };

/* ---- messages ---- */

union control {
    char buf[CMSG_SPACE(SPEAKER_FDS * sizeof(int))];
    struct cmsghdr align;
};

int speaker_send(int fd, const void *message, size_t len, const int *fds, size_t n_fds)
{
    union control control = {0};
    union {
        const void *in;
        void *out;
    } u = {.in = message};
    struct iovec part = {u.out, len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds) {
        m.msg_control = control.buf;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

/* The descriptors of a message; those for which there is no room are closed. */
static size_t take_fds(struct msghdr *m, int *fds, size_t room)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < room)
                fds[n++] = fd;
            else
                (void)close(fd);
        }
    }
    return n;
}

ssize_t speaker_receive(int fd, void *message, size_t size, int *fds, size_t *n_fds)
{
    union control control;
    struct iovec part = {message, size};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.buf,
                       .msg_controllen = sizeof control.buf};
    size_t room = n_fds ? *n_fds : 0;
    ssize_t n;
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    size_t got = n < 0 ? 0 : take_fds(&m, fds, room);
    if (n_fds)
        *n_fds = got;
    if (n < 0 || !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return n;
    for (size_t i = 0; i < got; i++)
        (void)close(fds[i]);
    errno = EMSGSIZE;
    return -1;
}

/* ---- the speaker ---- */

/* Both ends of the talk are the same program, so a message that is not as it should be is the end.
 */
static void say(const struct said *s)
{
    if (speaker_send(TALK_FD, s, sizeof *s, NULL, 0) < 0)
        _exit(1);
}

static struct deadline deadline_of(int64_t at_ms, int64_t allowed_ms)
{
    return (struct deadline){.at_ms = at_ms, .allowed_ms = allowed_ms, .cancel_fd = STOP_FD};
}

/* The word to stop what came before may be late. */
static void forget_stop(void)
{
    char byte;
    struct pollfd p = {.fd = STOP_FD, .events = POLLIN};
    while (poll(&p, 1, 0) > 0 && p.revents & POLLIN && read(STOP_FD, &byte, 1) == 1)
        ;
}

static const char *ask_for_key(void *ctx)
{
    struct say_key *m = ctx;
    say(&(struct said){.word = SAID_KNOWN});
    ssize_t n = speaker_receive(TALK_FD, m, sizeof *m, NULL, NULL);
    if (n != (ssize_t)sizeof *m || m->word != SAY_KEY || !memchr(m->key, '\0', sizeof m->key))
        _exit(1);
    return m->key;
}

static void log_in(const struct say_login *m, const int *fds, size_t n_fds, struct conn **c)
{
    struct deadline d = deadline_of(m->at_ms, m->allowed_ms);
    struct say_key key;
    struct conn_login login = {m->peer, m->user, m->host_key, m->dialled, ask_for_key, &key};
    struct ssh_ready_times times = {0};
    struct said said = {.word = SAID_LOGGED_IN, .err = ERROR_INIT};
    _cleanup_close_ int gone_fd = n_fds > 1 ? fds[1] : -1;
    if (n_fds < 1 || *c)
        _exit(1);
    said.failed = conn_open(&login, fds[0], gone_fd, &d, &times, &said.stage, c, &said.err) < 0;
    explicit_bzero(&key, sizeof key);
    said.banner_us = times.banner_us;
    said.auth_us = times.auth_us;
    say(&said);
}

static int on_started(void *ctx, struct error *err)
{
    (void)ctx;
    (void)err;
    say(&(struct said){.word = SAID_STARTED});
    return 0;
}

static int on_heard(void *ctx, struct conn_io *io, struct error *err)
{
    struct say_size m;
    (void)ctx;
    ssize_t n = speaker_receive(TALK_FD, &m, sizeof m, NULL, NULL);
    if (n != (ssize_t)sizeof m || m.word != SAY_SIZE)
        return error_set(err, ERR_CANCELLED, 0, "nobody waits for the command any more");
    io->columns = m.columns;
    io->rows = m.rows;
    return 1;
}

static int next_fd(const int *fds, size_t n_fds, size_t *at, bool has)
{
    if (has && *at >= n_fds)
        _exit(1);
    return has ? fds[(*at)++] : -1;
}

static void receive_command(size_t len, struct strbuf *out)
{
    char piece[SPEAKER_PIECE];
    while (out->len < len) {
        ssize_t n = speaker_receive(TALK_FD, piece, sizeof piece, NULL, NULL);
        if (n <= 0 || (size_t)n > len - out->len)
            _exit(1);
        strbuf_add(out, piece, (size_t)n);
    }
}

static void execute(const struct say_exec *m, const int *fds, size_t n_fds, struct conn *c)
{
    struct deadline d = deadline_of(m->at_ms, m->allowed_ms);
    struct said said = {.word = SAID_ENDED, .err = ERROR_INIT};
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    size_t at = 0;
    struct conn_io io = {.talk_fd = TALK_FD,
                         .may_be_silent = m->may_be_silent,
                         .input_is_ours = m->input_is_ours,
                         .mark = m->mark,
                         .abort_signal = *m->abort_signal ? m->abort_signal : NULL,
                         .term = *m->term ? m->term : NULL,
                         .columns = m->columns,
                         .rows = m->rows,
                         .started = on_started,
                         .heard = on_heard};
    if (!c)
        _exit(1);
    io.stdin_fd = next_fd(fds, n_fds, &at, m->has_in);
    io.stdout_fd = next_fd(fds, n_fds, &at, m->has_out);
    io.stderr_fd = next_fd(fds, n_fds, &at, m->has_err);
    io.gone_fd = next_fd(fds, n_fds, &at, m->has_gone);
    receive_command(m->command_len, &command);
    conn_set_stall(c, m->stall_ms);
    said.failed = conn_exec(c, command.buf ? command.buf : "", &io, &d, &said.status, &said.err) <
                  0;
    said.was_left = io.was_left;
    for (size_t i = 0; i < n_fds; i++)
        (void)close(fds[i]);
    say(&said);
}

static void speak(void)
{
    union {
        enum speaker_word word;
        struct say_login login;
        struct say_exec exec;
    } m;
    struct conn *c = NULL;
    fenced_settle();
    for (;;) {
        int fds[SPEAKER_FDS];
        size_t n_fds = SPEAKER_FDS;
        ssize_t n = speaker_receive(TALK_FD, &m, sizeof m, fds, &n_fds);
        if (n < (ssize_t)sizeof m.word)
            break;
        if (m.word == SAY_LOGIN && n == (ssize_t)sizeof m.login) {
            forget_stop();
            log_in(&m.login, fds, n_fds, &c);
        } else if (m.word == SAY_EXEC && n == (ssize_t)sizeof m.exec) {
            forget_stop();
            execute(&m.exec, fds, n_fds, c);
        } else if (m.word != SAY_SIZE) {
            break;
        }
    }
    conn_close(c);
}

FENCED_PART(speaker_part, {"fenced-ssh", speak})
