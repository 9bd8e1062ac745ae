/* command.c: commands of ours in the guest, which have to succeed. */
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "ssh/ssh.h"

enum { STDERR_MAX = 4096 };

ssize_t ssh_text_next(void *text, void *buf, size_t size, struct error *err)
{
    struct ssh_text *t = text;
    size_t n = t->left < size ? t->left : size;
    (void)err;
    memcpy(buf, t->at, n);
    t->at += n;
    t->left -= n;
    return (ssize_t)n;
}

int ssh_succeeded(const struct ssh_status *st, struct strbuf *errout, enum err_kind kind,
                  const char *what, struct error *err)
{
    char how[32];
    if (st->exited && st->code == 0)
        return 0;
    if (st->exited)
        (void)snprintf(how, sizeof how, "exit code %d", st->code);
    else
        (void)snprintf(how, sizeof how, "killed by SIG%s", st->signal);
    text_flatten(errout, COMPLAINT_MAX);
    return error_set(err, kind, 0, "%s: %s%s%s", what, how, errout->len ? ": " : ", no message",
                     errout->len ? errout->buf : "");
}

int ssh_command(struct ssh_conn *c, const char *command, const struct ssh_io *streams,
                const struct deadline *d, enum err_kind kind, const char *what, struct error *err)
{
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct ssh_io io = *streams;
    struct ssh_status st;
    io.errout = &errout;
    io.mark = SSH_MARK_BEFORE;
    if (!io.out)
        io.out_max = STDERR_MAX;
    if (ssh_exec(c, command, &io, d, &st, err) < 0)
        return error_prefix(err, "%s", what);
    return ssh_succeeded(&st, &errout, kind, what, err);
}
