#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "cmd.h"

int cmd_ssh(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    _cleanup_(stock_ssh_close) struct stock_ssh s = STOCK_SSH_INIT;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "ssh needs a lease; next: crabbox-fc list");
    const char *first = in->opt.id ? in->args[0] : in->n_args > 1 ? in->args[1] : NULL;
    if (first && str_has_prefix(first, "--") && first[2])
        return error_set(err, ERR_USAGE, 0,
                         "ssh: options come before the lease, and no command begins with --; next: "
                         "crabbox-fc ssh %s %s",
                         SHOWN(first), SHOWN(ref));
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
    return stock_ssh_run(in, &s, argv, false, err);
}
