/* ask.c: the program's end of a connection. SSH itself is spoken by the speaker (speaker.h).
 *
 * What the speaker says is taken for what a guest says: each answer is checked, and its messages
 * are cleaned. Of the advice in them only that counts which we know (advice).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ssh/ask.h"
#include "sys/file.h"

/* How long an answer may be late after the deadline, or after the word to stop. */
enum { GRACE_MS = 5000 };

/* The pipes to the speaker may have lost their reader. A handler of the program's own is kept. */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
}

int ask_start(const char *peer, struct ssh_conn **out, struct error *err)
{
    int talk[2], stop[2];
    const struct timeval patience = {.tv_sec = GRACE_MS / 1000};
    ignore_sigpipe();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) < 0)
        return error_set(err, ERR_ENV, errno, "make a socket for SSH");
    _cleanup_close_ int ours = talk[0], its = talk[1];
    if (pipe2(stop, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set(err, ERR_ENV, errno, "make a pipe for SSH");
    _cleanup_close_ int heard = stop[0], stop_fd = stop[1];
    (void)setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    struct ssh_conn *c = xcalloc(1, sizeof *c);
    if (fenced_start(&speaker_part, its, heard, &c->child, err) < 0) {
        free(c);
        return -1;
    }
    c->talk_fd = TAKE_FD(ours);
    c->stop_fd = TAKE_FD(stop_fd);
    c->gone_fd = -1;
    c->stall_ms = SSH_STALL_MS;
    (void)str_copy(c->peer, sizeof c->peer, peer);
    *out = c;
    return 0;
}

/* ---- answers ---- */

static const char *const advice[] = {"; next: stop the lease", "; next: take another lease",
                                     "; next: put `return` in the place of `exit` there, or stop "
                                     "the lease"};

/* What the speaker reports as an error. One that claims what it can't know is only a lost
 * connection. */
static void take_error(struct error *e, struct error *err)
{
    char text[ERROR_MSG_MAX];
    const char *next = "";
    enum err_kind kind = e->kind;
    e->msg[sizeof e->msg - 1] = '\0';
    size_t len = strlen(e->msg);
    for (size_t i = 0; i < ARRAY_LEN(advice); i++)
        if (len > strlen(advice[i]) && str_eq(e->msg + len - strlen(advice[i]), advice[i]))
            next = advice[i];
    (void)str_format(text, sizeof text, "%.*s", (int)(len - strlen(next)), e->msg);
    if (kind != ERR_TIMEOUT && kind != ERR_VMM && kind != ERR_HOSTKEY && kind != ERR_CANCELLED &&
        kind != ERR_ENV && kind != ERR_IO && kind != ERR_INTERNAL)
        kind = ERR_SSH;
    error_fill(err, kind, 0, "%s", text);
    if (*next)
        (void)error_add_next(err, next + strlen("; next: "));
}

int ask_failed(struct ssh_conn *c, const char *wrong, struct error *err)
{
    _cleanup_free_ char *does = xasprintf("speaks SSH with %s", c->peer);
    return fenced_failed(&c->child, does, wrong, err);
}

int ask_receive(struct ssh_conn *c, struct said *said, struct error *err)
{
    ssize_t n = speaker_receive(c->talk_fd, said, sizeof *said, NULL, NULL);
    if (n == (ssize_t)sizeof *said && said->word >= SAID_KNOWN && said->word <= SAID_ENDED)
        return 0;
    return ask_failed(c, n <= 0 ? "is gone" : "answers nonsense", err);
}

int ask_result(struct said *said, struct error *err)
{
    if (!said->failed)
        return 0;
    take_error(&said->err, err);
    return -1;
}

struct deadline ask_deadline(const struct deadline *d)
{
    struct deadline late = d ? *d : deadline_never();
    if (late.at_ms < INT64_MAX - GRACE_MS)
        late.at_ms += GRACE_MS;
    return late;
}

void ask_stop(struct ssh_conn *c)
{
    struct said said;
    struct deadline d = deadline_in_ms(GRACE_MS);
    (void)!write(c->stop_fd, "", 1);
    for (;;) {
        struct pollfd p = {.fd = c->talk_fd, .events = POLLIN};
        if (c->child.pid == 0 || deadline_poll(&p, 1, &d, "SSH to stop", NULL) < 0 ||
            ask_receive(c, &said, NULL) < 0)
            break;
        if (said.word != SAID_STARTED)
            return;
    }
    child_kill(&c->child);
}

/* ---- logging in ---- */

/* The guest is known now. Without a key, the login fails. */
static int give_key(struct ssh_conn *c, const char *path, struct error *err)
{
    struct say_key m = {.word = SAY_KEY};
    _cleanup_(strbuf_wipe) struct strbuf pem = STRBUF_INIT;
    if (file_read_at(AT_FDCWD, path, sizeof m.key - 1, &pem, err) < 0)
        return error_prefix(err, "client key");
    (void)str_copy(m.key, sizeof m.key, pem.buf);
    int r = speaker_send(c->talk_fd, &m, sizeof m, NULL, 0);
    explicit_bzero(&m, sizeof m);
    return r < 0 ? ask_failed(c, "does not listen", err) : 0;
}

static int64_t between(int64_t t, int64_t from, int64_t to)
{
    return t < from ? from : t > to ? to : t;
}

static int wait_for(struct ssh_conn *c, enum speaker_word word, const struct deadline *late,
                    struct said *said, struct error *err)
{
    struct pollfd p = {.fd = c->talk_fd, .events = POLLIN};
    if (deadline_poll_once(&p, 1, late, "the SSH handshake", err) < 0) {
        ask_stop(c);
        return -1;
    }
    if (ask_receive(c, said, err) < 0)
        return -1;
    /* A failure may come at any time. */
    bool failed = said->word == SAID_LOGGED_IN && said->failed;
    return said->word == word || failed ? 0 : ask_failed(c, "answers nonsense", err);
}

static int wait_login(struct ssh_conn *c, const char *key_file, const struct deadline *d,
                      struct said *said, struct error *err)
{
    struct deadline late = ask_deadline(d);
    if (wait_for(c, SAID_KNOWN, &late, said, err) < 0)
        return -1;
    if (said->word == SAID_LOGGED_IN)
        return 0;
    return give_key(c, key_file, err) < 0 ? -1 : wait_for(c, SAID_LOGGED_IN, &late, said, err);
}

static int ask_to_log_in(struct ssh_conn *c, const struct ssh_target *t, const int *fds, size_t n,
                         const struct deadline *d, struct error *err)
{
    struct say_login m = {.word = SAY_LOGIN,
                          .at_ms = d ? d->at_ms : INT64_MAX,
                          .allowed_ms = d ? d->allowed_ms : 0,
                          .dialled = t->dial != NULL};
    if (str_copy(m.peer, sizeof m.peer, c->peer) < 0 ||
        str_copy(m.user, sizeof m.user, t->user) < 0 ||
        str_copy(m.host_key, sizeof m.host_key, t->host_key ? t->host_key : "") < 0)
        return error_set(err, ERR_INTERNAL, ENAMETOOLONG, "log in to %s", c->peer);
    return speaker_send(c->talk_fd, &m, sizeof m, fds, n) < 0
               ? ask_failed(c, "does not listen", err)
               : 0;
}

int ask_login(struct ssh_conn *c, const struct ssh_target *t, int fd, int gone_fd,
              const struct deadline *d, struct ssh_ready_times *times, enum conn_stage *stage,
              struct error *err)
{
    struct said said;
    _cleanup_close_ int guest = fd;
    const int fds[] = {guest, gone_fd};
    times->tcp_us = clock_boot_us();
    times->banner_us = times->auth_us = 0;
    *stage = STAGE_REFUSED; /* unless the guest has done it, another attempt would end no better */
    int r = ask_to_log_in(c, t, fds, gone_fd >= 0 ? 2 : 1, d, err);
    CLOSE_FD(guest);
    if (r < 0 || wait_login(c, t->key_file, d, &said, err) < 0)
        return -1;
    if (said.stage >= STAGE_NONE && said.stage <= STAGE_AUTH)
        *stage = said.stage;
    int64_t now = clock_boot_us();
    if (*stage >= STAGE_BANNER)
        times->banner_us = between(said.banner_us, times->tcp_us, now);
    if (*stage == STAGE_AUTH)
        times->auth_us = between(said.auth_us, times->banner_us, now);
    return ask_result(&said, err);
}

int ssh_connect_to(const struct ssh_target *t, const struct deadline *d, struct ssh_conn **out,
                   struct error *err)
{
    struct ssh_ready_times times = {0};
    enum conn_stage stage;
    char name[PEER_SIZE];
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = NULL;
    dial_name(t, name);
    int fd = ssh_dial(t, d, err);
    if (fd < 0)
        return -1;
    if (ask_start(name, &c, err) < 0) {
        (void)close(fd);
        return -1;
    }
    if (ask_login(c, t, fd, -1, d, &times, &stage, err) < 0)
        return -1;
    *out = TAKE_PTR(c);
    return 0;
}

void ssh_watch(struct ssh_conn *c, int gone_fd, int64_t stall_ms)
{
    c->gone_fd = gone_fd;
    c->stall_ms = stall_ms;
}

/* It says goodbye to the guest when it sees the end. */
void ssh_close(struct ssh_conn *c)
{
    if (!c)
        return;
    CLOSE_FD(c->stop_fd);
    CLOSE_FD(c->talk_fd);
    fenced_end(&c->child);
    free(c);
}
