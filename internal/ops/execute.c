#include "ops/execute.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "ops/guestrun.h"
#include "sys/tty.h"

#define PUT_MS 60000

static int put_files(const struct execution *x, const struct ops_run *req, struct guest_run *g,
                     const struct lease *l, struct error *err)
{
    static const struct env_set none = ENV_SET_INIT;
    struct deadline d = ops_deadline(x->ops, PUT_MS);
    struct guest_command c = {
        .lease = l,
        .work_dir = x->work_dir,
        .argv = req->argv,
        .shell = req->shell,
        .script = req->script != NULL,
        .has_shebang = req->script_len >= 2 && memcmp(req->script, "#!", 2) == 0,
        .env = req->env ? req->env : &none,
    };
    if (guest_run_put(g, &c, &d, err) < 0)
        return -1;
    return req->script ? guest_run_put_script(g, req->script, req->script_len, &d, err) : 0;
}

/* With a terminal: raw mode for exactly as long as the command has it. */
static int exec_with_terminal(const struct execution *x, const struct ops_run *req,
                              const char *command, struct ssh_io *io, const struct deadline *d,
                              struct ssh_status *st, struct error *err)
{
    _cleanup_close_ int resize = -1;
    if (!req->term)
        return ssh_exec(x->conn, command, io, d, st, err);
    resize = tty_resize_open(err);
    if (resize < 0)
        return -1;
    struct ssh_tty tty = {.term = req->term, .fd = req->stdin_fd, .resize_fd = resize};
    io->tty = &tty;
    if (tty_raw_enter(req->stdin_fd, err) < 0)
        return -1;
    int r = ssh_exec(x->conn, command, io, d, st, err);
    tty_raw_leave();
    return r;
}

/* The guest may still hear us: then the command must not live on there without anybody waiting. */
static void end_left_over(const struct execution *x, struct guest_run *g, enum err_kind why)
{
    struct error err = ERROR_INIT;
    if (x->lease_ends || why == ERR_SSH || why == ERR_VMM || why == ERR_HOSTKEY)
        return;
    if (guest_run_end(g, &err) < 0)
        log_warn("%s; next: stop the lease", err.msg);
}

int execute_run(const struct execution *x, const struct ops_run *req, struct ops_run_result *res,
                struct error *err)
{
    struct guest_run g;
    struct ssh_io io = SSH_IO_INIT;
    struct deadline d = deadline_never();
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    if (guest_run_init(&g, x->conn, x->vmm_fd, &res->lease, err) < 0)
        return -1;
    (void)str_copy(res->run_id, sizeof res->run_id, g.id);
    int r = put_files(x, req, &g, &res->lease, err);
    int64_t t0 = clock_boot_us();
    if (r == 0) {
        guest_run_command(&g, &command);
        io.stdin_fd = req->stdin_fd;
        io.stdout_fd = req->stdout_fd;
        io.stderr_fd = req->stderr_fd;
        io.vmm_fd = x->vmm_fd;
        io.abort_signal = "TERM";
        if (req->timeout_ms > 0)
            d = deadline_in_ms(req->timeout_ms);
        d.cancel_fd = x->ops->cancel_fd;
        r = exec_with_terminal(x, req, command.buf, &io, &d, &res->status, err);
        if (r < 0)
            end_left_over(x, &g, err->kind);
    }
    res->command_us = clock_boot_us() - t0;
    if (r < 0 && err->kind == ERR_TIMEOUT && req->timeout_ms > 0 && deadline_passed(&d)) {
        res->timed_out = true;
        error_clear(err);
        r = 0;
    }
    if (!x->lease_ends && (req->script || r < 0) && err->kind != ERR_SSH && err->kind != ERR_VMM)
        guest_run_clean(&g);
    res->ran = r == 0;
    return r;
}
