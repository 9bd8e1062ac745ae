#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cmd.h"
#include "sys/deadline.h"
#include "sys/tty.h"

enum { NARROWEST = 40 };

bool out_rewrites(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && !str_eq(term, "dumb");
}

bool out_colours(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    return out_rewrites(fd) && !(no_colour && *no_colour);
}

size_t out_width(int fd)
{
    int columns, rows;
    if (!isatty(fd))
        return 0;
    tty_size(fd, &columns, &rows);
    return columns < NARROWEST ? NARROWEST : (size_t)columns;
}

void out_left(const struct lease *l, char *out, size_t size)
{
    long long s = (long long)(lease_expires_at(l) - clock_unix_s());
    if (s >= 3600)
        (void)str_format(out, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)str_format(out, size, "%lldm%02llds", s / 60, s % 60);
    else
        (void)str_format(out, size, "%llds", s > 0 ? s : 0);
}

void out_ends(const struct lease_entry *e, char *out, size_t size)
{
    char left[32];
    enum ops_view_state v = ops_view(e);
    out_left(&e->lease, left, sizeof left);
    if (ops_end(e) != END_KEEPER || v == VIEW_BROKEN)
        (void)str_format(out, size, "by %s", ops_end_name(ops_end(e)));
    else if (v == VIEW_INTERRUPTED || v == VIEW_RELEASING || v == VIEW_EXPIRED)
        (void)str_copy(out, size, "now");
    else if (v == VIEW_UNKNOWN && lease_expires_at(&e->lease) <= clock_unix_s())
        (void)str_copy(out, size, "once its state is known");
    else
        (void)str_format(out, size, "in %s", left);
}

int out_check(struct error *err)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    return flags < 0 || (flags & O_ACCMODE) == O_RDONLY
               ? error_set(err, ERR_IO, 0,
                           "standard output is closed; next: the same without >&-, or with "
                           ">/dev/null")
               : 0;
}

bool out_reader_gone(const struct error *e)
{
    /* Other pipes end in programs of ours. */
    return e->kind == ERR_IO && e->sys == EPIPE && strstr(e->msg, "write to standard ");
}

/* Of the first write that failed; those after it may find nothing left to write. */
static int write_errno;

static int write_failed(struct error *err)
{
    write_errno = write_errno ? write_errno : errno;
    return out_check(err) < 0 ? -1
                              : error_set(err, ERR_IO, write_errno, "write to standard output");
}

static int put(const char *text, size_t len, struct error *err)
{
    return len && fwrite(text, 1, len, stdout) != len ? write_failed(err) : 0;
}

int out_finish(struct error *err)
{
    return fflush(stdout) != 0 || ferror(stdout) ? write_failed(err) : 0;
}

int out_line(struct error *err, const char *fmt, ...)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return error_set(err, ERR_INTERNAL, errno, "print");
    text_add(&line, text);
    strbuf_addc(&line, '\n');
    return put(line.buf, line.len, err) < 0 ? -1 : out_finish(err);
}

int out_text(const char *text, struct error *err)
{
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    text_add_lines(&lines, text, strlen(text));
    return put(lines.buf, lines.len, err) < 0 ? -1 : out_finish(err);
}

int out_coloured(const char *text, struct error *err)
{
    return put(text, strlen(text), err) < 0 ? -1 : out_finish(err);
}

int out_json(const cJSON *j, struct error *err)
{
    _cleanup_free_ char *text = json_print_shown(j, true);
    return put(text, strlen(text), err) < 0 || put("\n", 1, err) < 0 ? -1 : out_finish(err);
}

void out_json_stderr(const cJSON *j)
{
    _cleanup_free_ char *text = json_print_shown(j, false);
    fprintf(stderr, "%s\n", text);
}

void out_error(const struct error *e)
{
    if (out_reader_gone(e))
        return;
    char line[2 * ERROR_MSG_MAX];
    size_t len;
    const char *next = error_next(e, &len);
    _cleanup_free_ char *what = xasprintf("%.*s", (int)len, e->msg);
    text_copy(line, sizeof line, what);
    fprintf(stderr, "crabbox-fc: %s\n", line);
    if (!next)
        return;
    /* On a line of its own, so that no name in the message can look like it. */
    text_copy(line, sizeof line, next);
    fprintf(stderr, "crabbox-fc: next: %s\n", line);
}

void out_mark_lines(struct strbuf *out, const struct strbuf *text, const char *mark, bool *begun)
{
    for (size_t i = 0; i < text->len; i++) {
        if (!*begun)
            strbuf_adds(out, mark);
        strbuf_addc(out, text->buf[i]);
        *begun = text->buf[i] != '\n';
    }
}

/* A piece of a file as it is printed; without `data` what is left at its end. */
struct printed {
    struct text_stream stream;
    const char *mark;
    bool begun;
};

static int put_piece(struct printed *p, const char *data, size_t len, struct error *err)
{
    _cleanup_strbuf_ struct strbuf clean = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf marked = STRBUF_INIT;
    if (!p->mark)
        return put(data, len, err);
    if (data)
        text_stream_add(&p->stream, data, len, &clean);
    else
        text_stream_end(&p->stream, &clean);
    out_mark_lines(&marked, &clean, p->mark, &p->begun);
    if (!data && p->begun && *p->mark)
        strbuf_addc(&marked, '\n');
    return put(marked.buf, marked.len, err);
}

int out_file(int fd, const char *mark, struct error *err)
{
    struct printed p = {.stream = TEXT_STREAM_INIT, .mark = mark};
    char chunk[16384];
    struct stat st;
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = 0;
    if (at < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at the file to print");
    for (off_t left = st.st_size - at; left > 0; left -= n) {
        n = read(fd, chunk, left < (off_t)sizeof chunk ? (size_t)left : sizeof chunk);
        if (n <= 0)
            break;
        if (put_piece(&p, chunk, (size_t)n, err) < 0)
            return -1;
    }
    if (n < 0)
        return error_set(err, ERR_IO, errno, "read the file to print");
    return put_piece(&p, NULL, 0, err) < 0 ? -1 : out_finish(err);
}
