#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "ops/access.h"

/* Becomes the stock ssh: sessions, terminals and forwards are its trade. */
static int become_ssh(const char *config, const char *host, const struct invocation *in,
                      int first_arg, struct error *err)
{
    size_t n = 0;
    _cleanup_free_ const char **argv = xcalloc((size_t)in->n_args + 8, sizeof *argv);
    sigset_t none;
    argv[n++] = "ssh";
    argv[n++] = "-F";
    argv[n++] = config;
    argv[n++] = host;
    for (int i = first_arg; i < in->n_args; i++)
        argv[n++] = in->args[i];
    union {
        const char **in;
        char **out;
    } u = {.in = argv};
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execvp("ssh", u.out);
    return error_set(err, ERR_ENV, errno,
                     "start ssh; next: install openssh-client, or use crabbox-fc run --id");
}

int cmd_ssh(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    char host[LEASE_NAME_SIZE];
    struct lease l;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "ssh needs a lease; next: crabbox-fc list");
    if (ops_find_ready(&in->ops, ref, &l, err) < 0)
        return -1;
    access_host(&l, host, sizeof host);
    _cleanup_free_ char *config = xasprintf("%s/leases/%s/" ACCESS_SSH_CONFIG, in->ops.store.path,
                                            l.id);
    if (in->opt.print) {
        _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
        strbuf_adds(&sb, "ssh -F ");
        strbuf_add_shell_quoted(&sb, config);
        return out_printf(err, "%s %s\n", sb.buf, host);
    }
    /* Stays open in ssh, so the lease is in use as long as the session. */
    int use_fd = ops_use(&in->ops, l.id, err);
    if (use_fd < 0 || ops_touch(&in->ops, l.id, NULL, err) < 0)
        return -1;
    (void)fcntl(use_fd, F_SETFD, 0);
    return become_ssh(config, host, in, in->opt.id ? 0 : 1, err);
}
