/* execute.c: runs the user's command in the guest.
 *
 * execute_run puts the start script into the guest (guestrun.h), connects the user's streams or
 * terminal, and waits in ssh_exec. Afterwards it decides whether the command must be ended: it is
 * if its time is over, the user interrupts, or the connection is lost. In the last case a new
 * connection is tried for that. Nothing has to be ended if the lease ends with this run.
 */
#include "run/execute.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "run/capture.h"
#include "run/guestrun.h"
#include "run/hung.h"
#include "run/unfinished.h"
#include "sys/tty.h"

/* Who typed ~. does not want to wait for a guest that may be stuck. */
#define LEAVE_MS 8000

/* The time of the start is asked for later. */
static bool keeps_dir(const struct ops_run *req)
{
    return req->collect && req->collect->auto_reports;
}

static int put_files(const struct execution *x, const struct ops_run *req, struct guest_run *g,
                     const struct lease *l, struct error *err)
{
    static const struct env_set none = ENV_SET_INIT;
    struct deadline d = deadline_never();
    struct guest_command c = {
        .lease = l,
        .work_dir = x->work_dir,
        .elsewhere = req->no_sync,
        .argv = req->argv,
        .shell = req->shell,
        .script = req->script != NULL,
        .has_shebang = req->script && req->script_len >= 2 && memcmp(req->script, "#!", 2) == 0,
        .terminal = req->term != NULL,
        .env = req->env ? req->env : &none,
        .keeps_dir = keeps_dir(req),
    };
    d.cancel_fd = x->session->ops->cancel_fd;
    if (guest_run_put(g, &c, &d, err) < 0)
        return -1;
    if (req->script && guest_run_put_script(g, req->script, req->script_len, &d, err) < 0)
        return hung_or_full(l, err);
    return 0;
}

/* Raw mode for exactly as long as the command has the terminal: it begins with the command. */
static int exec_on_terminal(const struct execution *x, const struct ops_run *req,
                            const char *command, const struct ssh_io *streams,
                            const struct deadline *d, struct ssh_status *st, struct error *err)
{
    struct ssh_io io = *streams;
    _cleanup_close_ int resize = tty_resize_open(err);
    if (resize < 0)
        return -1;
    struct ssh_tty tty = {
        .term = req->term, .fd = req->stdin_fd, .resize_fd = resize, .begun = tty_raw_enter};
    io.tty = &tty;
    int r = ssh_exec(x->session->conn, command, &io, d, st, err);
    tty_raw_leave();
    return r;
}

/* Lends the command our streams until it ends or we have waited enough. */
static int exec_on(const struct execution *x, const struct ops_run *req, struct guest_run *g,
                   int stdout_fd, int stderr_fd, const struct deadline *d, struct ssh_status *st,
                   struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    guest_run_command(g, &command);
    io.stdin_fd = req->stdin_fd;
    io.stdout_fd = stdout_fd;
    io.stderr_fd = stderr_fd;
    io.may_be_silent = true;
    io.mark = SSH_MARK_INSIDE;
    if (req->bundle) {
        io.hear = bundle_hear;
        io.hear_ctx = req->bundle;
    }
    return req->term ? exec_on_terminal(x, req, command.buf, &io, d, st, err)
                     : ssh_exec(x->session->conn, command.buf, &io, d, st, err);
}

static int exec_command(const struct execution *x, const struct ops_run *req, struct guest_run *g,
                        const struct deadline *d, struct ssh_status *st, struct error *err)
{
    struct capture out;
    struct capture errout;
    if (capture_begin(&out, req->stdout_fd, req->capture_stdout, err) < 0)
        return -1;
    int r = capture_begin(&errout, req->stderr_fd, req->capture_stderr, err);
    if (r == 0)
        r = exec_on(x, req, g, out.write_fd, errout.write_fd, d, st, err);
    r = capture_end(&errout, r, err);
    return capture_end(&out, r, err);
}

/* Takes the Ctrl-C that has been heard, so that another one can be. */
static void forget_cancel(int fd)
{
    char info[128]; /* of an eventfd or signalfd */
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 0) > 0)
        (void)!read(fd, info, sizeof info);
}

/* Nobody waits for the command any more: it must not live on. Where the connection was lost,
 * another one may be had. */
static void end_command(const struct execution *x, struct guest_run *g, bool left,
                        struct error *failure)
{
    struct error err = ERROR_INIT;
    const enum err_kind why = failure->kind;
    if (x->lease_ends || why == ERR_VMM || session_ended(x->session, &err))
        return;
    struct deadline d = deadline_in_ms(left ? LEAVE_MS : GUEST_RUN_END_MS);
    if (why == ERR_SSH && session_reconnect(x->session, &err) < 0) {
        log_warn("the command may still run in the guest, and the next run there will end it: %s",
                 err.msg);
        return;
    }
    g->conn = x->session->conn;
    if (why == ERR_CANCELLED) {
        log_info("ending the command in the guest; press Ctrl-C again to leave it running");
        forget_cancel(x->session->ops->cancel_fd);
        d.cancel_fd = x->session->ops->cancel_fd;
    }
    bool ended = guest_run_end(g, &d, &err) >= 0;
    if (!ended)
        log_warn("%s; next: stop the lease", err.msg);
    else
        unfinished_forget(x->session, g->id);
    if (why == ERR_CANCELLED && ended)
        (void)error_append(failure, "; the command was ended");
    else if (why == ERR_CANCELLED)
        (void)error_append(failure,
                           "; it may still run in %s, and the next run there will end it; "
                           "next: crabbox-fc stop %s",
                           x->session->lease.slug, x->session->lease.slug);
    guest_run_clean(g);
}

int execute_run(const struct execution *x, const struct ops_run *req, struct ops_run_result *res,
                struct error *err)
{
    struct guest_run g;
    struct deadline d = deadline_never();
    if (guest_run_init(&g, x->session->conn, &res->lease, res->run_id, err) < 0)
        return -1;
    int r = put_files(x, req, &g, &res->lease, err);
    int64_t t0 = clock_boot_us();
    bool begun = r == 0;
    if (begun) {
        if (req->timeout_ms > 0)
            d = deadline_in_ms(req->timeout_ms);
        d.cancel_fd = x->session->ops->cancel_fd;
        unfinished_note(x->session, g.id);
        r = exec_command(x, req, &g, &d, &res->status, err);
    }
    res->command_us = clock_boot_us() - t0;
    bool timed_out = r < 0 && err->kind == ERR_TIMEOUT && deadline_passed(&d);
    if (begun && r == 0)
        unfinished_forget(x->session, g.id);
    if (r < 0 && (timed_out || (err->kind != ERR_TIMEOUT && (begun || err->kind != ERR_SSH))))
        end_command(x, &g, res->status.left, err);
    else if (req->script && !keeps_dir(req) && !x->lease_ends)
        guest_run_clean(&g);
    if (timed_out) {
        res->timed_out = true;
        error_clear(err);
        r = 0;
    }
    res->ran = r == 0;
    return r;
}
