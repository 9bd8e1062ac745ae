/* fetch.c: runs tar in the guest and reads its archive.
 *
 * Two threads work at the same time, with a pipe between them. The main thread speaks SSH and
 * writes the archive into the pipe. The other reads it and makes files (fetch_unpack). Each piece
 * of progress sets a timer again. If the timer fires, or if the reader fails, the main thread wakes
 * up and ends the transfer; if the main thread fails, it sets `stop` for the reader. Then it waits
 * for the reader's end, and decides which of the two errors was the cause (why_ended). */
#include "fetch/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "fetch/name.h"

enum {
    STDERR_MAX = 4096,
    TAIL_MAX = 1024 * 1024,
    /* Exit codes of the guest's shell that tar never uses: nothing has this name; a file has
     * content although its size is 0. */
    NOT_THERE = 44,
    NO_SIZE = 45,
};

/* The data of the reading thread; the main thread looks at the result after joining it. */
struct reader {
    int fd; /* owned by the thread */
    const struct fetch_rules *asked;
    struct fetch_rules rules; /* the same, but progress is reported through this struct */
    struct fetch_result *res;
    int alarm_fd;       /* owned: a timer that wakes the main thread; progress sets it again */
    int wake_fd;        /* owned: the main thread watches it: the alarm and the user's interrupt */
    atomic_bool stop;   /* the rest of the archive is not needed any more */
    atomic_bool failed; /* the reader itself failed, before the transfer was ended */
    struct error err;
    int rc;
};

/* ms 0: now. */
static void wind_up(const struct reader *r, int64_t ms)
{
    struct itimerspec t = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 1}};
    (void)timerfd_settime(r->alarm_fd, 0, &t, NULL);
}

static void on_progress(void *ctx, size_t files, int64_t bytes)
{
    struct reader *r = ctx;
    wind_up(r, r->asked->limits.idle_ms);
    if (r->asked->progress)
        r->asked->progress(r->asked->ctx, files, bytes);
}

static int watch(int epoll_fd, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN};
    return fd < 0 ? 0 : epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void reader_close(struct reader *r)
{
    CLOSE_FD(r->alarm_fd);
    CLOSE_FD(r->wake_fd);
}

static int reader_init(struct reader *r, const struct fetch_rules *rules, int cancel_fd,
                       struct fetch_result *res, struct error *err)
{
    *r = (struct reader){.asked = rules, .rules = *rules, .res = res, .fd = -1};
    r->rules.progress = on_progress;
    r->rules.stop = &r->stop;
    r->rules.ctx = r;
    r->alarm_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    r->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->alarm_fd >= 0 && r->wake_fd >= 0 && watch(r->wake_fd, r->alarm_fd) == 0 &&
        watch(r->wake_fd, cancel_fd) == 0) {
        wind_up(r, rules->limits.idle_ms);
        return 0;
    }
    error_fill(err, ERR_IO, errno, "watch a transfer");
    reader_close(r);
    return -1;
}

/* Reads the zeros at the end of tar's output, so that closing the pipe does not make tar fail. */
static void drain(int fd)
{
    char buf[4096];
    for (size_t n = 0; n < TAIL_MAX; n += sizeof buf)
        if (read(fd, buf, sizeof buf) <= 0)
            return;
}

static void *read_archive(void *ctx)
{
    struct reader *r = ctx;
    r->rc = fetch_unpack(r->fd, &r->rules, r->res, &r->err);
    if (r->rc == 0)
        drain(r->fd);
    if (r->rc < 0) { /* wake the main thread: the guest may send nothing more and wait */
        atomic_store(&r->failed, true);
        wind_up(r, 0);
    }
    CLOSE_FD(r->fd);
    return NULL;
}

static int guest_failed(const struct ssh_status *st, struct strbuf *errout, struct error *err)
{
    /* GNU tar's last line only repeats that there were errors. */
    char *last = strstr(errout->buf, "\ntar: Exiting with failure status");
    if (last)
        errout->len = (size_t)(last - errout->buf);
    errout->buf[errout->len] = '\0';
    if (st->exited && st->code == NOT_THERE)
        return error_set(err, ERR_NOT_FOUND, 0, "the guest has no such file or directory");
    if (st->exited && st->code == NO_SIZE)
        return error_set(err, ERR_SSH, 0,
                         "the guest has a file with content but without a size, as in /proc: %s; "
                         "next: fetch it by its own name, with crabbox-fc cp or --download",
                         SHOWN(errout->buf));
    bool changed = strstr(errout->buf, "file changed as we read it") ||
                   strstr(errout->buf, ": File shrank by ");
    (void)ssh_succeeded(st, errout, ERR_SSH, "tar in the guest", err);
    return changed ? error_add_next(err, "the same command when nothing writes to it; files of "
                                         "/sys one by one")
                   : -1;
}

/* Finds out why the transfer was ended: by an error of the reader, by the user, because nothing
 * came for too long, or because the connection broke. In the last case the reader's error is only
 * that the archive ended too soon. */
static int why_ended(const struct reader *r, bool reader_first, const struct deadline *d,
                     const struct error *ssh_err, struct error *err)
{
    struct pollfd user = {.fd = d ? d->cancel_fd : -1, .events = POLLIN};
    bool woken = ssh_err->kind == ERR_CANCELLED && poll(&user, 1, 0) <= 0;
    if (woken && !reader_first)
        return error_set(err, ERR_TIMEOUT, 0, "nothing came from the guest for %lld s",
                         (long long)(r->asked->limits.idle_ms / 1000));
    *err = reader_first && (woken || ssh_err->sys == EPIPE) ? r->err : *ssh_err;
    return -1;
}

/* Runs `command`, whose output is an archive. The reader's error is reported first, unless the
 * guest or the connection failed and the archive only ended too soon. */
static int transfer(struct ssh_conn *c, const char *command, const struct fetch_rules *rules,
                    const struct deadline *d, struct fetch_result *res, struct error *err)
{
    struct reader reader;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct error ssh_err = ERROR_INIT;
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct deadline watched = d ? *d : deadline_never();
    pthread_t thread;
    int pipefd[2];
    *res = (struct fetch_result){0};
    if (reader_init(&reader, rules, d ? d->cancel_fd : -1, res, err) < 0)
        return -1;
    if (pipe2(pipefd, O_CLOEXEC) < 0) {
        reader_close(&reader);
        return error_set(err, ERR_IO, errno, "make a pipe");
    }
    watched.cancel_fd = reader.wake_fd;
    reader.fd = pipefd[0];
    io.stdout_fd = pipefd[1];
    io.errout = &errout;
    io.out_max = STDERR_MAX;
    io.abort_signal = "TERM";
    io.may_be_silent = true; /* the reader watches for progress */
    io.mark = SSH_MARK_BEFORE;
    int rc = pthread_create(&thread, NULL, read_archive, &reader);
    if (rc) {
        CLOSE_FD(pipefd[0]);
        CLOSE_FD(pipefd[1]);
        reader_close(&reader);
        return error_set(err, ERR_INTERNAL, rc, "start a thread");
    }
    rc = ssh_exec(c, command, &io, &watched, &st, &ssh_err);
    bool reader_first = atomic_load(&reader.failed);
    if (rc < 0)
        atomic_store(&reader.stop, true);
    CLOSE_FD(pipefd[1]);
    (void)pthread_join(thread, NULL);
    reader_close(&reader);
    if (rc < 0)
        return why_ended(&reader, reader_first, d, &ssh_err, err);
    if (st.signalled || st.code)
        return guest_failed(&st, &errout, err);
    if (reader.rc < 0)
        *err = reader.err;
    else if (rules->name && res->empty)
        /* Checked only now, because a tar that fails sends an empty archive before its message. */
        return error_set(err, ERR_SSH, 0, "the guest sent an empty archive");
    return reader.rc;
}

/* dirname and basename of a path that may end in slashes. */
static void split(const char *path, struct strbuf *dir, struct strbuf *base)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && path[start - 1] != '/')
        start--;
    strbuf_add(dir, path, start);
    if (!dir->len)
        strbuf_adds(dir, ".");
    strbuf_add(base, path + start, len - start);
}

/* Puts the name of the fetched directory in front, so that the path can be used to fetch the
 * file. */
static void name_below(const char *remote, struct fetch_result *res)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    strbuf_adds(&path, remote);
    while (path.len && path.buf[path.len - 1] == '/')
        path.buf[--path.len] = '\0';
    if (!path.len && *remote != '/')
        return;
    strbuf_addf(&path, "/%s", res->first_obeyed);
    text_copy(res->first_obeyed, sizeof res->first_obeyed, path.buf);
}

/* A further name of a file comes with the content, as the first one does: a link would be left out
 * here. GNU tar obeys this, other tars don't know it. */
#define TAR_OPTIONS "export TAR_OPTIONS=--hard-dereference; "

/* Refuses the current directory if tar would make an empty file of one with content. */
static const char check_sizes[] =
    "f=$(find . -type f -size 0 -exec sh -c 'for f do x=; { read -r x <\"$f\" || [ \"$x\" ]; } && "
    "echo \"$f\" && exit; done' sh {} + 2>/dev/null | head -n 1 | head -c 200); [ -z \"$f\" ] || "
    "{ printf %s \"$f\" >&2; exit 45; }; ";
_Static_assert(NO_SIZE == 45, "as in the scripts");

/* The kernel's own files in /proc and /sys have a size of 0 or of one page, whatever is in them.
 * tar would go by that, so it gets a copy of $f. The copy has no name, so it never stays behind. */
static const char pack_file[] =
    "case $([ ! -f \"$f\" ] || stat -L -c %b:%s -- \"$f\") in 0:0|0:4096|0:16384|0:65536) "
    "t=$(mktemp) && exec 3>\"$t\" 4<\"$t\" && rm -f -- \"$t\" && head -c 67108865 <\"$f\" >&3 || "
    "exit; "
    "t=/proc/self/fd/4; [ \"$(wc -c <$t)\" -le 67108864 ] || "
    "{ echo 'it has no size, and is longer than 64 MiB' >&2; exit 1; }; "
    "chmod \"$(stat -L -c %a -- \"$f\")\" $t && touch -r \"$f\" $t && "
    "exec tar -c -h -f - -C /proc/self/fd ./4 ;; *) exec tar -c -h -f - \"$f\" ;; esac";

/* Of a directory only the content is sent, so its name in the guest does not matter. A file is sent
 * alone. If the name is a symlink, the file that it leads to is sent. */
int fetch_path(struct ssh_conn *c, const char *from, const char *remote,
               const struct fetch_rules *rules, const struct deadline *d, struct fetch_result *res,
               struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf dir = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf base = STRBUF_INIT;
    split(remote, &dir, &base);
    strbuf_adds(&command, TAR_OPTIONS);
    if (from) {
        strbuf_adds(&command, "cd -- ");
        strbuf_add_shell_quoted(&command, from);
        strbuf_adds(&command, " && ");
    }
    strbuf_adds(&command, "if [ -d ");
    strbuf_add_shell_quoted(&command, remote);
    strbuf_adds(&command, " ]; then cd -- ");
    strbuf_add_shell_quoted(&command, remote);
    strbuf_addf(&command, " && { %sexec tar -c -f - .; }; elif [ -e ", check_sizes);
    strbuf_add_shell_quoted(&command, remote);
    strbuf_adds(&command, " ]; then cd -- ");
    strbuf_add_shell_quoted(&command, dir.buf);
    strbuf_adds(&command, " && f=./");
    strbuf_add_shell_quoted(&command, base.buf);
    strbuf_addf(&command, " && { %s; }; else exit %d; fi", pack_file, NOT_THERE);
    struct fetch_rules own = *rules;
    /* A .git that is asked for by name is fetched whole, but without any other one below it. */
    own.is_store = name_is_store(base.buf, base.len) ||
                   name_is_store(rules->name, strlen(rules->name));
    if (transfer(c, command.buf, &own, d, res, err) < 0)
        return error_prefix(err, "fetch %s", remote);
    if (res->n_obeyed && !str_eq(remote, "."))
        name_below(remote, res);
    if (res->n_skipped && !res->n_files && !res->bytes && str_eq(res->first_skipped, base.buf))
        return error_set(err, ERR_SSH, 0, "fetch %s: it is not a regular file", remote);
    return 0;
}

/* With an empty IFS, the shell expands a word as a pattern but does not split it. */
static const char glob_script[] =
    "shopt -s nullglob globstar; set -o pipefail; IFS=\n"
    "fresh() { [[ ! $since || ( -e $since && ! $since -nt $1 && /$1 != */node_modules/* ) ]]; }\n"
    "no_size() { [ ! -s \"$1\" ] && read -r -d '' -n 1 _ <\"$1\"; } 2>/dev/null\n"
    "{ code=0; for g do for f in $g; do\n"
    "    if ! [ -f \"$f\" ] || ! fresh \"$f\"; then continue; fi\n"
    "    if no_size \"$f\"; then printf %s \"$f\" >&2; code=45; else printf './%s\\0' \"$f\"; fi\n"
    "done; done; exit $code; } | LC_ALL=C sort -zu | tar -c -h -f - --null -T -";

int fetch_globs(struct ssh_conn *c, const char *from, const struct fetch_rules *rules,
                const struct deadline *d, struct fetch_result *res, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    strbuf_adds(&command, TAR_OPTIONS "cd -- ");
    strbuf_add_shell_quoted(&command, from ? from : ".");
    strbuf_adds(&command, " && since=");
    strbuf_add_shell_quoted(&command, rules->since ? rules->since : "");
    strbuf_adds(&command, " exec bash -c ");
    strbuf_add_shell_quoted(&command, glob_script);
    strbuf_adds(&command, " bash");
    for (const char *const *glob = rules->globs; *glob; glob++) {
        /* Two spellings of the same name would send the file twice. */
        char clean[PATH_MAX];
        (void)name_clean(*glob, clean, sizeof clean);
        strbuf_adds(&command, " ");
        ssh_quote_argv(&command, (const char *const[]){clean, NULL});
    }
    if (transfer(c, command.buf, rules, d, res, err) < 0)
        return error_prefix(err, "fetch by pattern");
    return 0;
}
