#include "run/unfinished.h"

#include <string.h>

#include "base/log.h"
#include "run/guestrun.h"
#include "sys/file.h"

#define NAME "running"

void unfinished_note(const struct session *s, const char *run_id)
{
    struct error err = ERROR_INIT;
    if (file_write_new(s->dir.dirfd, NAME, run_id, strlen(run_id), 0600, &err) < 0)
        log_warn("if this run is killed, the next one will not know of its command: %s", err.msg);
}

void unfinished_forget(const struct session *s)
{
    (void)file_unlink(s->dir.dirfd, NAME, NULL);
}

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
    return 0;
}

int unfinished_end(const struct session *s, struct error *err)
{
    _cleanup_strbuf_ struct strbuf id = STRBUF_INIT;
    struct guest_run g;
    if (file_read_at(s->dir.dirfd, NAME, GUEST_RUN_ID_SIZE - 1, &id, NULL) == 0 &&
        guest_run_again(&g, s->conn, &s->lease, id.buf, NULL) == 0 && end_it(&g, s, err) < 0)
        return -1;
    unfinished_forget(s);
    return 0;
}
