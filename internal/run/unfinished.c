#include "run/unfinished.h"

#include <string.h>

#include "base/log.h"
#include "run/guestrun.h"
#include "sys/file.h"

#define NAME "running"

/* Commands that can't be ended are few. Of more, the first are kept. */
enum { IDS_MAX = 64, FILE_MAX = IDS_MAX * GUEST_RUN_ID_SIZE };

static void read_ids(const struct session *s, struct strbuf *ids)
{
    (void)file_read_at(s->dir.dirfd, NAME, FILE_MAX, ids, NULL);
}

void unfinished_note(const struct session *s, const char *run_id)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf ids = STRBUF_INIT;
    read_ids(s, &ids);
    if (ids.len && ids.buf[ids.len - 1] != '\n') /* of an earlier version */
        strbuf_addc(&ids, '\n');
    strbuf_addf(&ids, "%s\n", run_id);
    if (ids.len <= FILE_MAX && file_write_new(s->dir.dirfd, NAME, ids.buf, ids.len, 0600, &err) < 0)
        log_warn("if this run is killed, the next one will not know of its command: %s", err.msg);
}

/* The ids that stay. */
static void write_ids(const struct session *s, const struct strbuf *ids)
{
    if (!ids->len)
        (void)file_unlink(s->dir.dirfd, NAME, NULL);
    else
        (void)file_write_new(s->dir.dirfd, NAME, ids->buf, ids->len, 0600, NULL);
}

void unfinished_forget(const struct session *s, const char *run_id)
{
    _cleanup_strbuf_ struct strbuf ids = STRBUF_INIT, rest = STRBUF_INIT;
    read_ids(s, &ids);
    char *at = ids.buf;
    for (char *id; (id = strsep(&at, "\n"));)
        if (*id && !str_eq(id, run_id))
            strbuf_addf(&rest, "%s\n", id);
    write_ids(s, &rest);
}

/* 1: the guest has nothing of it any more, 0: it could not be ended, so the next run tries again.
 */
static int end_it(struct guest_run *g, const struct session *s, struct error *err)
{
    struct deadline d = deadline_in_ms(GUEST_RUN_END_MS);
    struct error e = ERROR_INIT;
    d.cancel_fd = s->ops->cancel_fd;
    int found = guest_run_end(g, &d, &e);
    if (found < 0 && e.kind == ERR_CANCELLED) {
        *err = e;
        return -1;
    }
    if (found < 0)
        log_warn("an earlier run (%s) was cut off, and its command still runs in the guest: %s; "
                 "next: crabbox-fc stop %s",
                 g->id, e.msg, s->lease.slug);
    else if (found > 0)
        log_warn("an earlier run (%s) was cut off, and its command still ran in the guest: it was "
                 "ended now",
                 g->id);
    guest_run_clean(g);
    return found >= 0;
}

int unfinished_end(const struct session *s, struct error *err)
{
    _cleanup_strbuf_ struct strbuf ids = STRBUF_INIT, rest = STRBUF_INIT;
    struct guest_run g;
    int r = 0;
    read_ids(s, &ids);
    if (!ids.len)
        return 0;
    char *at = ids.buf;
    for (char *id; (id = strsep(&at, "\n"));) {
        if (guest_run_again(&g, s->conn, &s->lease, id, NULL) < 0)
            continue; /* a line that we did not write */
        int ended = r < 0 ? 0 : end_it(&g, s, err);
        if (ended <= 0)
            strbuf_addf(&rest, "%s\n", id);
        if (ended < 0)
            r = -1;
    }
    write_ids(s, &rest);
    return r;
}
