/* push.c: the archive on its way into the guest. */
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "sync/pack.h"
#include "sync/push.h"
#include "sync/survey.h"

enum { STDERR_MAX = 4096, PROGRESS_MS = 100 };

struct sender {
    struct pack pack;
    const struct push_progress *progress;
    const struct sync_result *before; /* what earlier archives of the same sync sent */
    int64_t told_ms;
};

static void cleanup_sender(struct sender *s)
{
    pack_free(&s->pack);
}

static void tell(struct sender *s, bool now)
{
    int64_t ms = clock_boot_ms();
    if (!s->progress->fn || (!now && ms - s->told_ms < PROGRESS_MS))
        return;
    s->told_ms = ms;
    s->progress->fn(s->progress->ctx, s->before->n_sent + s->pack.n_files,
                    s->before->bytes_sent + s->pack.bytes);
}

static ssize_t next_bytes(void *ctx, void *buf, size_t size, struct error *err)
{
    struct sender *s = ctx;
    tell(s, false);
    return pack_read(&s->pack, buf, size, err);
}

/* Options that GNU, busybox and bsd tar share: -p modes as sent, -o owner is who unpacks. */
static void unpack_command(struct strbuf *out, const char *dir, const char *marker_id)
{
    strbuf_adds(out, "mkdir -p -- ");
    strbuf_add_shell_quoted(out, dir);
    strbuf_adds(out, " && cd -- ");
    strbuf_add_shell_quoted(out, dir);
    strbuf_adds(out, " && tar -x -p -o -f -");
    if (!marker_id)
        return;
    _cleanup_strbuf_ struct strbuf marker = STRBUF_INIT;
    survey_marker(&marker, dir);
    strbuf_addf(out, " && printf %s > ", marker_id);
    strbuf_add_shell_quoted(out, marker.buf);
}

int push_add_next(struct error *err, const char *other)
{
    const char *said = err ? err->msg : "";
    bool full = strstr(said, "No space left") || strstr(said, "quota exceeded");
    return error_add_next(
        err, full ? "the guest has no room or no inodes left (df -h, df -i); make room with "
                    "crabbox-fc run --no-sync -- rm -r PATH, or take a lease with a larger --disk"
             : strstr(said, "Read-only file system")
                 ? "the guest's disk takes no writes any more; look at it with crabbox-fc run "
                   "--no-sync -- dmesg, or take another lease"
                 : other);
}

static int unpack_failed(const struct ssh_status *st, struct strbuf *errout, const char *dir,
                         struct error *err)
{
    _cleanup_free_ char *what = xasprintf("unpack in the guest's %s", dir);
    (void)ssh_succeeded(st, errout, ERR_SYNC, what, err);
    return push_add_next(err, "--full-resync, or remove what is in the way with crabbox-fc ssh");
}

/* 1 if the guest's tar could not unpack all of it. */
static int send_once(struct sender *s, struct ssh_conn *c, const struct sync_list *l,
                     const char *remote_dir, const char *marker_id, const struct deadline *d,
                     struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    io.mark = SSH_MARK_BEFORE;
    struct ssh_status st;
    if (pack_init(&s->pack, l, err) < 0)
        return -1;
    unpack_command(&command, remote_dir, marker_id);
    io.source = next_bytes;
    io.source_ctx = s;
    io.errout = &errout;
    io.out_max = STDERR_MAX;
    io.abort_signal = "TERM";
    if (ssh_exec(c, command.buf, &io, d, &st, err) < 0)
        return error_prefix(err, "sync");
    if (st.signalled || st.code) {
        (void)unpack_failed(&st, &errout, remote_dir, err);
        return st.signalled ? -1 : 1;
    }
    if (!s->pack.ended)
        return error_set(err, ERR_SYNC, 0,
                         "the guest's tar reported success after %zu of %zu files", s->pack.n_files,
                         l->n_files);
    return 0;
}

int push_files(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
               const char *marker_id, const struct deadline *d,
               const struct push_progress *progress, struct sync_result *res, struct error *err)
{
    _cleanup_(cleanup_sender) struct sender s = {.progress = progress, .before = res};
    int r = send_once(&s, c, l, remote_dir, marker_id, d, err);
    if (r > 0 && marker_id) {
        error_clear(err);
        pack_free(&s.pack);
        r = push_make_way(c, l, remote_dir, d, err);
        if (r == 0)
            r = send_once(&s, c, l, remote_dir, marker_id, d, err);
    }
    if (r != 0)
        return -1;
    tell(&s, true);
    if (s.pack.n_changed && !marker_id)
        return error_set(
            err, ERR_SYNC, 0,
            "%zu files changed or went away while they were sent, or have no size, as in "
            "/proc, first %s; next: the same command again",
            s.pack.n_changed, SHOWN(s.pack.first_changed));
    if (s.pack.n_changed)
        log_warn("sync: %zu files changed or went away while they were sent, first %s",
                 s.pack.n_changed, s.pack.first_changed);
    res->n_sent += s.pack.n_files;
    res->bytes_sent += s.pack.bytes;
    return 0;
}

int sync_push(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
              const struct deadline *d, sync_progress_fn *progress, void *ctx, struct error *err)
{
    struct push_progress p = {progress, ctx};
    struct sync_result unused = {0};
    return push_files(c, l, remote_dir, NULL, d, &p, &unused, err);
}
