/* copy.c: `cp` in both directions.
 *
 * Out of the guest, fetch_path does the work. Into the guest, settle first asks the guest whether
 * the destination is a directory. A file is then sent as the input of a shell command that writes
 * it under another name and renames it. A directory is sent as the archive that a sync would make
 * of it, and unpacked by tar in the guest.
 */
#include "run/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "fetch/fetch.h"
#include "ops/session.h"
#include "run/hung.h"
#include "run/place.h"
#include "sync/sync.h"
#include "sys/beneath.h"

enum { SAID_MAX = 4096, MARK_BYTES = 16 };

/* One copy: a session with the lease while it lasts. */
struct copy {
    struct session session; /* owned */
    struct ops_copied *out;
    struct deadline d;
};

static void on_progress(void *ctx, size_t files, int64_t bytes)
{
    struct copy *c = ctx;
    const struct ops_progress *p = &c->session.ops->progress;
    if (p->update)
        p->update(p->ctx, "copy", files, bytes);
}

static int copy_open(struct ops *o, const char *ref, int64_t stall_ms, struct ops_copied *out,
                     struct copy *c, struct error *err)
{
    *out = (struct ops_copied){0};
    *c = (struct copy){.out = out, .session = SESSION_INIT, .d = deadline_never()};
    c->d.cancel_fd = o->cancel_fd;
    if (session_open(o, ref, stall_ms, &c->session, err) == 0)
        return 0;
    session_close(&c->session);
    return -1;
}

static void begin(const struct ops *o)
{
    if (o->progress.begin)
        o->progress.begin(o->progress.ctx, "copy");
}

static int end(struct copy *c, int64_t t0, int r, struct error *err)
{
    if (r < 0 && err->kind != ERR_CANCELLED && !session_ended(&c->session, err)) {
        (void)hung_in(ERR_SSH, &c->session.lease, false, err);
        (void)hung_or_full(&c->session.lease, err);
    }
    if (r < 0 && err->kind == ERR_CANCELLED) /* whatever of it was waited for */
        (void)error_set(err, ERR_CANCELLED, 0,
                        "interrupted while copying; next: the same command again");
    const struct ops_progress *p = &c->session.ops->progress;
    c->out->us = clock_boot_us() - t0;
    if (p->end)
        p->end(p->ctx, "copy", c->out->us, r == 0);
    session_close(&c->session);
    return r;
}

/* ---- out ---- */

static int receive(struct copy *c, const char *remote, struct place *place, struct error *err)
{
    struct fetch_result res;
    struct fetch_rules rules = {.dirfd = place->dirfd,
                                .name = place->name,
                                .limits = FETCH_LIMITS_DEFAULT,
                                .keep = true,
                                .progress = on_progress,
                                .ctx = c};
    rules.limits.idle_ms = c->session.stall_ms;
    if (fetch_path(c->session.conn, NULL, remote, &rules, &c->d, &res, err) < 0)
        return -1;
    c->out->n_files = res.n_files;
    c->out->bytes = res.bytes;
    c->out->n_skipped = res.n_skipped;
    (void)str_copy(c->out->first_skipped, sizeof c->out->first_skipped, res.first_skipped);
    c->out->n_obeyed = res.n_obeyed;
    (void)str_copy(c->out->first_obeyed, sizeof c->out->first_obeyed, res.first_obeyed);
    return 0;
}

int ops_copy_out(struct ops *o, const char *ref, const char *remote, const char *local,
                 int64_t stall_ms, struct ops_copied *out, struct error *err)
{
    struct copy c;
    _cleanup_(place_close) struct place place = PLACE_INIT;
    int64_t t0 = clock_boot_us();
    const char *path = *remote ? remote : ".";
    struct place_wish wish = {"cp to", local, path};
    if (place_find(&wish, &place, err) < 0 || copy_open(o, ref, stall_ms, out, &c, err) < 0)
        return -1;
    begin(o);
    int r = place_open(&place, err);
    if (r == 0)
        r = receive(&c, path, &place, err);
    place_end(&place, r == 0);
    return end(&c, t0, r, err);
}

/* ---- in ---- */

/* Runs a command in the guest; its stdout goes to `said`. */
static int guest(struct copy *c, const char *command, const struct ssh_io *streams,
                 struct strbuf *said, struct error *err)
{
    struct ssh_io io = *streams;
    io.out = said;
    io.out_max = SAID_MAX;
    io.abort_signal = "TERM";
    return ssh_command(c->session.conn, command, &io, &c->d, ERR_SSH, "copy into the guest", err);
}

/* What the destination comes to: itself, or a name in it where it is a directory. */
static int settle(struct copy *c, const char *remote, const char *base, struct strbuf *target,
                  struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    size_t len = strlen(remote);
    bool into = !len || remote[len - 1] == '/';
    if (!into) {
        strbuf_adds(&command, "if [ -d ");
        strbuf_add_shell_quoted(&command, remote);
        strbuf_adds(&command, " ]; then echo dir; else echo other; fi");
        if (guest(c, command.buf, &io, &said, err) < 0)
            return -1;
        into = str_has_prefix(said.buf, "dir");
    }
    strbuf_adds(target, remote);
    if (into && len && remote[len - 1] != '/')
        strbuf_adds(target, "/");
    if (into)
        strbuf_adds(target, base);
    return 0;
}

struct source {
    struct copy *copy;
    int fd;
    int64_t size; /* when it was opened */
    bool at_end;
    struct ssh_text mark; /* behind the content */
};

static ssize_t read_source(void *ctx, void *buf, size_t size, struct error *err)
{
    struct source *s = ctx;
    ssize_t n = s->at_end ? 0 : read(s->fd, buf, size);
    if (n < 0)
        return error_set(err, ERR_IO, errno, "read the file to copy");
    struct stat now;
    if (n == 0 && s->copy->out->bytes < s->size && fstat(s->fd, &now) == 0 &&
        now.st_size != s->size) /* in /sys, sizes are never those of the content */
        return error_set(
            err, ERR_IO, 0,
            "the file became shorter while it was copied; next: the same command again");
    s->copy->out->bytes += n;
    on_progress(s->copy, 0, s->copy->out->bytes);
    s->at_end = n == 0;
    return n ? n : ssh_text_next(&s->mark, buf, size, err);
}

static int not_written(const struct copy *c, struct error *err)
{
    if (!strstr(err->msg, "Permission denied"))
        return -1;
    _cleanup_free_ char *next = xasprintf("copy it to where the guest's user may write, then "
                                          "crabbox-fc ssh %s sudo mv",
                                          c->session.lease.slug);
    return error_add_next(err, next);
}

/* Complete under another name first, as on the way out. An input that ends because we were killed
 * looks to `cat` like any other end, so a mark stands behind the content. */
static int send_file(struct copy *c, int fd, const struct stat *st, const char *target,
                     struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    uint8_t raw[MARK_BYTES];
    char mark[2 * MARK_BYTES + 1];
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, mark);
    struct source source = {c, fd, st->st_size, false, {mark, strlen(mark)}};
    struct ssh_io io = SSH_IO_INIT;
    strbuf_addf(&command, "m=%s t=", mark);
    strbuf_add_shell_quoted(&command, target);
    strbuf_addf(&command,
                "; case $t in */*) d=${t%%/*} ;; *) d=. ;; esac; mkdir -p -- \"${d:-/}\" && "
                "p=$(mktemp -- \"$d/.crabbox-XXXXXX\") && "
                "if cat > \"$p\" && [ \"$(tail -c ${#m} -- \"$p\")\" = $m ] && "
                "truncate -s $(($(wc -c <\"$p\") - ${#m})) -- \"$p\" && chmod %04o -- \"$p\" && "
                "touch -d @%lld -- \"$p\" && mv -f -- "
                "\"$p\" \"$t\"; then :; else "
                "rm -f -- \"$p\"; exit 1; fi",
                (unsigned)(st->st_mode & 0777), (long long)st->st_mtim.tv_sec);
    io.source = read_source;
    io.source_ctx = &source;
    if (guest(c, command.buf, &io, NULL, err) < 0)
        return not_written(c, err);
    c->out->n_files = 1;
    return 0;
}

/* ---- the directories themselves ---- */

/* Makes the directory itself; *made: it was not there, so it is to get the mode of ours. */
static int make_target(struct copy *c, const char *target, bool *made, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    strbuf_adds(&command, "t=");
    strbuf_add_shell_quoted(&command, target);
    strbuf_adds(&command, "; [ -d \"$t\" ] || { mkdir -p -- \"$t\" && echo made; }");
    if (guest(c, command.buf, &io, &said, err) < 0)
        return not_written(c, err);
    *made = str_has_prefix(said.buf, "made");
    return 0;
}

/* A line of shell for the directory, if its mode is one that the archive could not give it. */
static void add_mode(struct strbuf *script, int fd, const char *dir, bool always)
{
    struct stat st;
    _cleanup_close_ int there = beneath_open(fd, dir, O_PATH | O_DIRECTORY, 0);
    if (there < 0 || fstat(there, &st) < 0 || (!always && (st.st_mode & 0700) == 0700))
        return;
    strbuf_addf(script, "chmod %04o -- ", (unsigned)(st.st_mode & 0777));
    strbuf_add_shell_quoted(script, dir);
    strbuf_adds(script, "\n");
}

/* The archive has directories that can be written, so that they can be filled. The others are
 * closed now, each after all that is in it: its first file is the last one here. */
static int close_dirs(struct copy *c, int fd, const struct sync_list *list, const char *target,
                      bool made, struct error *err)
{
    _cleanup_strbuf_ struct strbuf script = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    for (size_t i = list->n_files; i-- > 0;) {
        const char *path = list->files[i].path;
        const char *before = i ? list->files[i - 1].path : "";
        if (S_ISDIR(list->files[i].mode))
            add_mode(&script, fd, path, false);
        for (size_t len = strlen(path); len-- > 0;) {
            if (path[len] != '/' || strncmp(path, before, len + 1) == 0)
                continue;
            _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, path);
            add_mode(&script, fd, dir, false);
        }
    }
    if (made)
        add_mode(&script, fd, ".", true);
    if (!script.len)
        return 0;
    strbuf_adds(&command, "cd -- ");
    strbuf_add_shell_quoted(&command, target);
    strbuf_adds(&command, " && sh -e");
    struct ssh_text text = {script.buf, script.len};
    io.source = ssh_text_next;
    io.source_ctx = &text;
    return guest(c, command.buf, &io, NULL, err);
}

/* The directory that was opened, whatever its path leads to by now. */
static int send_dir(struct copy *c, int fd, const char *target, struct error *err)
{
    struct sync_list list = {0};
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    bool made = false;
    limits.never = c->session.ops->store.path; /* the keys of all leases */
    if (sync_walk(fd, &limits, &c->d, &list, err) < 0)
        return -1;
    int r = make_target(c, target, &made, err);
    if (r == 0)
        r = sync_push(c->session.conn, &list, target, &c->d, on_progress, c, err);
    if (r == 0)
        r = close_dirs(c, fd, &list, target, made, err);
    for (size_t i = 0; i < list.n_files; i++)
        c->out->n_files += !S_ISDIR(list.files[i].mode);
    c->out->bytes = list.bytes;
    c->out->n_skipped = list.n_skipped;
    if (list.first_skipped)
        text_copy(c->out->first_skipped, sizeof c->out->first_skipped, list.first_skipped);
    sync_list_free(&list);
    return r;
}

static int transmit(struct copy *c, const char *local, const char *remote, struct error *err)
{
    _cleanup_strbuf_ struct strbuf target = STRBUF_INIT;
    char base[NAME_MAX + 1];
    struct stat st;
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    if (beneath_find("cp", local, &b, err) < 0)
        return -1;
    _cleanup_close_ int fd = beneath_open_plain(b.dirfd, b.rest, O_RDONLY, &st);
    if (fd < 0)
        return beneath_failed(&b, errno, err);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return error_set(err, ERR_USAGE, 0, "%s is neither a file nor a directory", local);
    if (path_base(local, base) < 0)
        return error_set(err, ERR_USAGE, ENAMETOOLONG, "%s", local);
    if (S_ISDIR(st.st_mode) && beneath_check_sent(&b, err) < 0)
        return -1;
    if (settle(c, remote, str_eq(base, ".") || str_eq(base, "..") ? "" : base, &target, err) < 0)
        return -1;
    if (!target.len)
        strbuf_adds(&target, ".");
    return S_ISDIR(st.st_mode) ? send_dir(c, fd, target.buf, err)
                               : send_file(c, fd, &st, target.buf, err);
}

int ops_copy_in(struct ops *o, const char *local, const char *ref, const char *remote,
                int64_t stall_ms, struct ops_copied *out, struct error *err)
{
    struct copy c;
    int64_t t0 = clock_boot_us();
    if (copy_open(o, ref, stall_ms, out, &c, err) < 0)
        return -1;
    begin(o);
    return end(&c, t0, transmit(&c, local, remote, err), err);
}
