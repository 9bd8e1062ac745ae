/* stock_ssh.c: the stock ssh as a child of ours.
 *
 * It has our streams, our terminal and our process group. So Ctrl-C, Ctrl-Z and its own questions
 * are its own affair, and so is the exit code, unless we were interrupted. We hold the lease in use
 * as long as it runs, pass on a signal that was sent to us alone, and stop when it has stopped
 * itself (its "~^Z"). When the machine is gone, which ssh would wait for, it is ended. If its
 * connection fails, we say what has become of the lease.
 *
 * It prints a guest's last words with the new lines, bells and carriage returns that are in them.
 * For a tunnel they are cleaned, and each line begins with "ssh: ".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "cmd.h"
#include "ops/access.h"
#include "sys/file.h"
#include "sys/spawn.h"

/* LAST_WORDS_MS: for what has come from a machine before it went. */
enum { FAILED = 255, WORDS_MAX = 16 * 1024, LAST_WORDS_MS = 2000 };

/* ssh while it runs. */
struct running {
    struct child child;
    int ended_fd; /* owned: SIGCHLD */
    int words_fd; /* owned: what it says; -1: that goes to our standard error by itself */
    struct text_stream stream;
    bool begun;
    struct strbuf words;  /* the first of what it has said */
    bool cancelled, gone; /* by the user; the machine */
    bool refused;         /* the user was told that nobody listens in the guest */
};

static void running_close(struct running *r)
{
    child_kill(&r->child);
    CLOSE_FD(r->ended_fd);
    CLOSE_FD(r->words_fd);
    strbuf_free(&r->words);
}

int stock_ssh_find(struct invocation *in, const char *ref, struct stock_ssh *out, struct error *err)
{
    if (session_find(&in->ops, ref, 0, &out->session, err) < 0)
        return -1;
    access_host(&out->session.lease, out->host, sizeof out->host);
    return str_format(out->config, sizeof out->config, "%s/" ACCESS_SSH_CONFIG,
                      out->session.dir.path) < 0
               ? error_set(err, ERR_STATE, ENAMETOOLONG, "%s", out->session.dir.path)
               : 0;
}

void stock_ssh_close(struct stock_ssh *s)
{
    session_close(&s->session);
}

/* ---- what it says ---- */

/* A piece, or at the end what is left. A terminal that is gone holds up nobody. */
static void print_words(struct running *r, const char *raw, size_t len)
{
    _cleanup_strbuf_ struct strbuf clean = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf marked = STRBUF_INIT;
    if (len)
        text_stream_add(&r->stream, raw, len, &clean);
    else
        text_stream_end(&r->stream, &clean);
    out_mark_lines(&marked, &clean, "ssh: ", &r->begun);
    if (!len && r->begun)
        strbuf_adds(&marked, "\n");
    (void)fd_write_all(STDERR_FILENO, marked.buf, marked.len, "standard error", NULL);
    if (r->words.len < WORDS_MAX)
        strbuf_add(&r->words, clean.buf, clean.len);
}

static void read_words(struct running *r)
{
    char raw[4096];
    ssize_t n = read(r->words_fd, raw, sizeof raw);
    if (n > 0)
        print_words(r, raw, (size_t)n);
    else if (n == 0 || errno != EINTR)
        CLOSE_FD(r->words_fd);
}

static bool said(const struct running *r, const char *text)
{
    return r->words.buf && strstr(r->words.buf, text);
}

/* What is still in the pipe: a program that ssh has started may hold it open for longer. */
static void end_words(struct running *r)
{
    struct pollfd p = {.fd = r->words_fd, .events = POLLIN};
    bool clean = r->words_fd >= 0;
    while (r->words_fd >= 0 && poll(&p, 1, 0) > 0)
        read_words(r);
    if (clean || r->begun)
        print_words(r, "", 0);
}

/* ---- its life ---- */

static int start(struct running *r, const char **argv, bool clean, struct error *err)
{
    sigset_t child;
    char ssh[PATH_MAX];
    _cleanup_close_ int to = -1;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    if (access_find_ssh(ssh, err) < 0)
        return -1;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL);
    r->ended_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->ended_fd < 0)
        return error_set(err, ERR_INTERNAL, errno, "signalfd");
    int fds[2];
    if (clean) {
        if (pipe2(fds, O_CLOEXEC) < 0)
            return error_set(err, ERR_IO, errno, "make a pipe");
        r->words_fd = fds[0];
        to = fds[1];
    }
    argv[0] = ssh;
    spec.argv = argv;
    spec.envp = (const char *const *)environ; /* it is the user's session */
    spec.stdin_fd = STDIN_FILENO;
    spec.stdout_fd = STDOUT_FILENO;
    spec.stderr_fd = clean ? to : STDERR_FILENO;
    spec.die_with_parent = true;
    return spawn(&spec, &r->child, err);
}

/* Only ssh has them from now on, so whoever reads or writes there sees when it closes them. */
static void leave_streams(void)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
    }
}

/* The wait status; -1: it still runs. */
static int look(struct running *r)
{
    struct signalfd_siginfo info;
    int status;
    while (read(r->ended_fd, &info, sizeof info) > 0)
        ;
    while (waitpid(r->child.pid, &status, WNOHANG | WUNTRACED) == r->child.pid) {
        if (!WIFSTOPPED(status)) {
            r->child.pid = 0;
            return status;
        }
        (void)raise(SIGSTOP); /* the shell sees that its job has stopped, and goes on with both */
    }
    return -1;
}

static void end_it(struct running *r, int cancel_fd)
{
    char taken[sizeof(struct signalfd_siginfo)];
    if (cancel_fd >= 0)
        (void)!read(cancel_fd, taken, sizeof taken);
    (void)child_signal(&r->child, SIGTERM, NULL);
}

/* Once, since a program may try again and again. A line has to be complete before ours. */
static void explain_refused(struct running *r, const char *slug)
{
    if (r->refused || r->begun || !said(r, "connect failed: Connection refused"))
        return;
    r->refused = true;
    log_warn("nothing in the lease listens on the port that the tunnel leads to; next: crabbox-fc "
             "ssh %s ss -ltn",
             slug);
}

static int wait_end(struct running *r, const char *slug, int gone_fd, int cancel_fd)
{
    int status = -1;
    while (status < 0) {
        struct pollfd p[] = {{.fd = r->ended_fd, .events = POLLIN},
                             {.fd = cancel_fd, .events = POLLIN},
                             {.fd = r->words_fd, .events = POLLIN},
                             {.fd = r->gone ? -1 : gone_fd, .events = POLLIN}};
        int n = poll(p, ARRAY_LEN(p), r->gone ? LAST_WORDS_MS : -1);
        if (n < 0)
            continue;
        if (n == 0 || p[1].revents)
            end_it(r, p[1].revents ? cancel_fd : -1);
        r->cancelled |= p[1].revents != 0;
        r->gone |= p[3].revents != 0;
        if (p[2].revents) {
            read_words(r);
            explain_refused(r, slug);
        }
        if (p[0].revents)
            status = look(r);
    }
    end_words(r);
    return status;
}

/* ---- why it failed ---- */

/* The guest may have said the same; then it is only the advice that is wrong. */
static void explain_tunnel(const struct running *r, const char *slug, struct error *why)
{
    if (said(r, "Address already in use"))
        (void)error_set(why, ERR_NET, 0,
                        "another program listens on this port already; next: another port before "
                        "the colon of -L, --local-port 0 for a free one, or ss -ltnp to see the "
                        "program");
    else if (said(r, "bind") && said(r, "Permission denied"))
        (void)error_set(why, ERR_NET, 0,
                        "only root may listen on a port below 1024; next: a higher port before the "
                        "colon of -L, or --local-port");
    else if (said(r, "Cannot assign requested address"))
        (void)error_set(why, ERR_NET, 0,
                        "this host does not have the address of -L; next: leave it out for "
                        "127.0.0.1, or ip -brief address to see what there is");
    else if (said(r, "remote port forwarding failed"))
        (void)error_set(why, ERR_NET, 0,
                        "the guest could not listen on the port of -R, which may be taken there; "
                        "next: another port, or crabbox-fc ssh %s ss -ltn",
                        slug);
    else
        (void)error_set(why, ERR_SSH, 0,
                        "the connection of the tunnel has ended; next: the same command again, or "
                        "crabbox-fc status %s, crabbox-fc logs %s",
                        slug, slug);
}

/* 255 may also be the code of the command in the guest, so where all is well nothing is said. */
static void explain(const struct stock_ssh *s, const struct running *r, bool is_tunnel)
{
    const struct lease *l = &s->session.lease;
    struct error why = ERROR_INIT;
    struct lease_entry e;
    bool ended = session_ended(&s->session, &why);
    if (!ended && (r->gone ||
                   (ops_entry(s->session.ops, l->id, &e, NULL) == 0 && ops_view(&e) != VIEW_READY)))
        (void)error_set(&why, ERR_NOT_RUNNING, 0,
                        "the machine of lease %s has ended; next: crabbox-fc logs %s, "
                        "crabbox-fc stop %s",
                        l->slug, l->slug, l->slug);
    if (!error_is_set(&why) && is_tunnel)
        explain_tunnel(r, l->slug, &why);
    if (error_is_set(&why))
        out_error(&why);
}

/* As ssh ended, so that a shell sees what it would see of ssh. */
static int end_by(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 128 + sig;
}

int stock_ssh_run(struct invocation *in, const struct stock_ssh *s, const char **argv,
                  bool is_tunnel, struct error *err)
{
    _cleanup_(running_close) struct running r = {
        .child = CHILD_INIT, .ended_fd = -1, .words_fd = -1, .stream = TEXT_STREAM_INIT};
    if (start(&r, argv, is_tunnel, err) < 0)
        return -1;
    leave_streams();
    int status = wait_end(&r, s->session.lease.slug, s->session.gone_fd, in->cancel_fd);
    if (WIFSIGNALED(status) && !r.gone)
        return end_by(WTERMSIG(status));
    if (r.cancelled)
        return error_exit_code(ERR_CANCELLED);
    int code = r.gone ? FAILED : WEXITSTATUS(status);
    if (code == FAILED)
        explain(s, &r, is_tunnel);
    return code;
}
