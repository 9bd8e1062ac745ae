/* reader.c: reports are read by a part without rights (sys/fenced.h), many by the same one.
 *
 * Both directions go over one stream socket, which is descriptor 0 there: a request with the text
 * behind it, and an answer. The answer is checked and its names are cleaned.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "junit/junit.h"
#include "sys/deadline.h"
#include "sys/fenced.h"

struct request {
    size_t len; /* of the text */
    char what[256];
};

struct answer {
    bool failed;
    struct error err;
    struct junit sum; /* of this report alone */
};

struct junit_reader {
    struct child part;
    int fd; /* owned; -1: no part runs */
};

/* ---- the part ---- */

static void read_all(void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(STDIN_FILENO, (char *)out + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        at += (size_t)n;
    }
}

static void part_main(void)
{
    struct request r;
    fenced_settle();
    for (;;) {
        read_all(&r, sizeof r);
        if (r.len > JUNIT_MAX_BYTES || !memchr(r.what, '\0', sizeof r.what))
            _exit(1);
        struct answer a = {.err = ERROR_INIT};
        _cleanup_free_ char *text = xcalloc(1, r.len + 1);
        read_all(text, r.len);
        a.failed = junit_parse(text, r.len, r.what, -1, &a.sum, &a.err) < 0;
        if (send(STDIN_FILENO, &a, sizeof a, MSG_NOSIGNAL) != (ssize_t)sizeof a)
            _exit(1);
    }
}

extern const struct fenced_part junit_part;
FENCED_PART(junit_part, {"fenced-junit", part_main})

/* ---- asking it ---- */

struct junit_reader *junit_reader_new(void)
{
    struct junit_reader *r = xcalloc(1, sizeof *r);
    r->part = (struct child)CHILD_INIT;
    r->fd = -1;
    return r;
}

void junit_reader_free(struct junit_reader *r)
{
    if (!r)
        return;
    CLOSE_FD(r->fd);
    fenced_end(&r->part);
    free(r);
}

static int start(struct junit_reader *r, struct error *err)
{
    int ends[2];
    if (r->fd >= 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, ERR_ENV, errno, "make a socket for a report");
    _cleanup_close_ int ours = ends[0], its = ends[1];
    if (fenced_start(&junit_part, its, -1, &r->part, err) < 0)
        return -1;
    r->fd = TAKE_FD(ours);
    return 0;
}

/* What the user wants no more, or what answers no more: the next report gets another part. */
static int failed(struct junit_reader *r, const char *wrong, struct error *err)
{
    CLOSE_FD(r->fd);
    return fenced_failed(&r->part, "reads test reports", wrong, err);
}

static int transfer(struct junit_reader *r, bool out, void *data, size_t len,
                    const struct deadline *d, const char *what, struct error *err)
{
    for (size_t at = 0; at < len;) {
        struct pollfd p = {.fd = r->fd, .events = out ? POLLOUT : POLLIN};
        if (deadline_poll(&p, 1, d, what, err) < 0) {
            (void)failed(r, "", NULL);
            return -1;
        }
        char *piece = (char *)data + at;
        ssize_t n = out ? send(r->fd, piece, len - at, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : recv(r->fd, piece, len - at, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return failed(r, "is gone", err);
        at += (size_t)n;
    }
    return 0;
}

static bool is_likely(const struct junit *one, size_t len)
{
    return one->n_reports == 1 && one->tests > 0 && one->tests <= len &&
           one->failures <= one->tests && one->errors <= one->tests - one->failures &&
           one->skipped <= one->tests - one->failures - one->errors &&
           one->n_names <= JUNIT_NAMES_MAX && one->n_names <= one->failures + one->errors;
}

static void add(struct junit *sum, struct junit *one)
{
    sum->n_reports++;
    sum->tests += one->tests;
    sum->failures += one->failures;
    sum->errors += one->errors;
    sum->skipped += one->skipped;
    for (size_t i = 0; i < one->n_names && sum->n_names < JUNIT_NAMES_MAX; i++) {
        one->names[i][sizeof one->names[i] - 1] = '\0';
        text_copy(sum->names[sum->n_names++], sizeof sum->names[0], one->names[i]);
    }
}

int junit_read(struct junit_reader *r, char *text, size_t len, const char *what, int cancel_fd,
               struct junit *sum, struct error *err)
{
    struct request request = {.len = len};
    struct answer a;
    struct deadline d = deadline_never();
    _cleanup_free_ char *reading = xasprintf("the end of reading %s", what);
    d.cancel_fd = cancel_fd;
    if (len > JUNIT_MAX_BYTES)
        return error_set(err, ERR_SSH, 0, "%s is larger than %d MiB", what, JUNIT_MAX_BYTES >> 20);
    text_copy(request.what, sizeof request.what, what);
    if (start(r, err) < 0 || transfer(r, true, &request, sizeof request, &d, reading, err) < 0 ||
        transfer(r, true, text, len, &d, reading, err) < 0 ||
        transfer(r, false, &a, sizeof a, &d, reading, err) < 0)
        return -1;
    a.err.msg[sizeof a.err.msg - 1] = '\0';
    if (a.failed)
        return error_set(err, ERR_SSH, 0, "%s", a.err.msg);
    if (!is_likely(&a.sum, len))
        return failed(r, "answers nonsense", err);
    add(sum, &a.sum);
    return 0;
}
