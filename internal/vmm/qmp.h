/* qmp.h: a client for QEMU's control socket (each line is a JSON object).
 *
 *   qmp_open      connects, reads the greeting, agrees on capabilities
 *   qmp_execute   one command, one answer; events in between are dropped
 *   qmp_close
 *
 * QEMU serves one client at a time: a second one waits for its greeting until its deadline. Errors:
 * ERR_VMM (err->sys ECONNRESET if QEMU hung up), ERR_TIMEOUT, ERR_CANCELLED.
 */
#ifndef CRABBOX_VMM_QMP_H
#define CRABBOX_VMM_QMP_H

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "sys/deadline.h"

#define QMP_LINE_MAX (1024 * 1024)

struct qmp {
    int fd;          /* owned; -1: none */
    unsigned serial; /* of the last command */
    struct strbuf in;
};

#define QMP_INIT                                                                                   \
    {                                                                                              \
        .fd = -1, .serial = 0, .in = STRBUF_INIT                                                   \
    }

/* The kinds of lines from QEMU. */
enum qmp_kind { QMP_GREETING, QMP_EVENT, QMP_RETURN, QMP_REFUSAL, QMP_OTHER };

/* Listens on `name` below dirfd (mode as the directory's), for QEMU to inherit. Returns the
 * descriptor. A stale socket is removed first. */
int qmp_listen(int dirfd, const char *name, struct error *err);

/* `version` (may be NULL) gets the "7.2.22" of the greeting. */
int qmp_open(struct qmp *q, int dirfd, const char *name, const struct deadline *d, char *version,
             size_t size, struct error *err);

/* `args` (may be NULL) stays the caller's. `reply` (may be NULL) gets the "return" value, owned by
 * the caller. */
int qmp_execute(struct qmp *q, const char *command, const cJSON *args, const struct deadline *d,
                cJSON **reply, struct error *err);

void qmp_close(struct qmp *q);

/* Parses one line (without its end). QMP_RETURN and QMP_REFUSAL only for the answer that carries
 * `serial`. NULL with ERR_VMM if it is not a JSON object. */
cJSON *qmp_parse_line(const char *line, size_t len, unsigned serial, enum qmp_kind *kind,
                      struct error *err);

/* The version of a greeting. */
int qmp_greeting_version(const cJSON *greeting, char *version, size_t size, struct error *err);

#endif
