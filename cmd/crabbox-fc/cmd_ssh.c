#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "ops/access.h"
#include "sys/program.h"

#define INSTALL_SSH "; next: install openssh-client, or use crabbox-fc run --id"

int stock_ssh_find(struct invocation *in, const char *ref, struct stock_ssh *out, struct error *err)
{
    struct lease l;
    if (ops_find_ready(&in->ops, ref, &l, err) < 0)
        return -1;
    access_host(&l, out->host, sizeof out->host);
    (void)str_copy(out->id, sizeof out->id, l.id);
    return str_format(out->config, sizeof out->config, "%s/leases/%s/" ACCESS_SSH_CONFIG,
                      in->ops.store.path, l.id) < 0
               ? error_set(err, ERR_STATE, ENAMETOOLONG, "%s", in->ops.store.path)
               : 0;
}

/* Sessions, terminals and forwards are the stock ssh's trade. */
int stock_ssh_become(struct invocation *in, const struct stock_ssh *s, const char **argv,
                     bool clean, struct error *err)
{
    char ssh[PATH_MAX];
    sigset_t none;
    _cleanup_close_ int saved = -1;
    union {
        const char **in;
        char **out;
    } u = {.in = argv};
    if (program_locate("ssh", "SSH client", NULL, ssh, err) < 0)
        return err->kind == ERR_ENV ? error_append(err, INSTALL_SSH) : -1;
    /* Stays open in ssh, so the lease is in use as long as the session. */
    int use_fd = ops_use(&in->ops, s->id, err);
    if (use_fd < 0 || ops_touch(&in->ops, s->id, NULL, err) < 0)
        return -1;
    (void)fcntl(use_fd, F_SETFD, 0);
    if (clean && stock_ssh_filter(use_fd, &saved, err) < 0)
        return -1;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    /* In the user's own environment: it is their session. */
    (void)execv(ssh, u.out);
    int why = errno;
    if (saved >= 0)
        (void)dup2(saved, STDERR_FILENO);
    return error_set(err, ERR_ENV, why, "start %s" INSTALL_SSH, ssh);
}

int cmd_ssh(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    struct stock_ssh s;
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
    return stock_ssh_become(in, &s, argv, false, err);
}
