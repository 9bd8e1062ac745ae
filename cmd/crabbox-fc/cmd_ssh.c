#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "ops/access.h"

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

/* The stock ssh closes every descriptor that it inherits, and with it a lock. So a process beside
 * it holds the lock until ssh, which is this process by then, has ended. It is not its parent:
 * signals, terminal and exit code are ssh's own. */
static int hold_until_end(int use_fd, struct error *err)
{
    int ends[2];
    char held = 0;
    _cleanup_close_ int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (self < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, ERR_INTERNAL, errno, "start what holds the lease");
    _cleanup_close_ int told = ends[0];
    _cleanup_close_ int tell = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_INTERNAL, errno, "start what holds the lease");
    if (pid == 0) { /* ssh knows of no child: init is to reap it */
        pid = fork();
        if (pid != 0)
            _exit(pid < 0);
        (void)setsid(); /* Ctrl-C ends ssh, if anything */
        struct pollfd end = {.fd = dup2(self, STDIN_FILENO), .events = POLLIN};
        if (end.fd < 0 || dup2(use_fd, STDOUT_FILENO) < 0 || dup2(tell, STDERR_FILENO) < 0 ||
            close_range(STDERR_FILENO + 1, ~0U, 0) < 0 || write(STDERR_FILENO, "", 1) != 1)
            _exit(1);
        (void)close(STDERR_FILENO);
        while (poll(&end, 1, -1) < 0 && errno == EINTR)
            ;
        _exit(0);
    }
    CLOSE_FD(tell);
    (void)waitpid(pid, NULL, 0);
    if (read(told, &held, 1) != 1)
        return error_set(err, ERR_INTERNAL, 0, "start what holds the lease");
    return 0;
}

/* Sessions, terminals and forwards are the stock ssh's trade. */
int stock_ssh_become(const struct stock_ssh *s, const char **argv, bool clean, struct error *err)
{
    char ssh[PATH_MAX];
    sigset_t none;
    _cleanup_close_ int saved = -1;
    union {
        const char **in;
        char **out;
    } u = {.in = argv};
    if (access_find_ssh(ssh, err) < 0)
        return -1;
    if (hold_until_end(s->session.use_fd, err) < 0 || (clean && stock_ssh_filter(&saved, err) < 0))
        return -1;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    /* In the user's own environment: it is their session. */
    (void)execv(ssh, u.out);
    int why = errno;
    if (saved >= 0)
        (void)dup2(saved, STDERR_FILENO);
    return error_set(err, ERR_ENV, why, "start %s" ACCESS_INSTALL_SSH, ssh);
}

int cmd_ssh(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    _cleanup_(stock_ssh_close) struct stock_ssh s = STOCK_SSH_INIT;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "ssh needs a lease; next: crabbox-fc list");
    if (stock_ssh_find(in, ref, &s, err) < 0)
        return -1;
    if (in->opt.print) {
        _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
        strbuf_adds(&sb, "ssh -F ");
        strbuf_add_shell_quoted(&sb, s.config);
        return out_line(err, "%s %s", sb.buf, s.host);
    }
    size_t n = 0;
    _cleanup_free_ const char **argv = xcalloc((size_t)in->n_args + 8, sizeof *argv);
    argv[n++] = "ssh";
    argv[n++] = "-F";
    argv[n++] = s.config;
    argv[n++] = s.host;
    for (int i = in->opt.id ? 0 : 1; i < in->n_args; i++)
        argv[n++] = in->args[i];
    return stock_ssh_become(&s, argv, false, err);
}
