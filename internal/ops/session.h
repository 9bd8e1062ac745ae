/* session.h: a lease in use: what run, cp, ssh and tunnel need of a lease, wherever it runs.
 *
 *   session_find → [session_take_turn] → session_connect
 *                → ssh_exec, sync, fetch → session_close
 *   session_open does the first and the third; session_make makes a lease and has it open
 *
 * The lease's directory is opened once. The lease does not idle out while a session is open. If the
 * machine is gone, commands on the session's connection end at once (ssh_watch).
 */
#ifndef CRABBOX_OPS_SESSION_H
#define CRABBOX_OPS_SESSION_H

#include "ops/ops.h"

struct session {
    struct ops *ops; /* borrowed */
    struct lease lease;
    struct lease_handle dir; /* owned: the lease's directory, without its lock */
    struct ssh_conn *conn;   /* owned; NULL until there is a connection */
    int gone_fd;             /* owned: readable once the machine is gone; -1 before */
    int use_fd;              /* owned: the lock that keeps it from idling out */
    int turn_fd;             /* owned; -1: any number of sessions may do this at once */
    int64_t stall_ms;        /* a guest in which nothing moves for that long hangs */
};
#define SESSION_INIT                                                                               \
    {                                                                                              \
        .dir = LEASE_HANDLE_INIT, .gone_fd = -1, .use_fd = -1, .turn_fd = -1                       \
    }

/* Resolves id, slug or name to a lease that is ready and alive, and marks it as used just now.
 * `stall_ms` 0: SSH_STALL_MS. ERR_NOT_FOUND, ERR_NOT_RUNNING. Close it in any case. */
int session_find(struct ops *o, const char *ref, int64_t stall_ms, struct session *s,
                 struct error *err);

/* Only one session at a time has the turn, because two would sync and build in the same tree.
 * Waits at most `wait_ms` for another session (0: ERR_BUSY at once). Then checks the lease again,
 * because the session that had the turn may have removed it. */
int session_take_turn(struct session *s, int64_t wait_ms, struct error *err);

/* Connects with the lease's pinned host key. */
int session_connect(struct session *s, struct error *err);
/* Only the stream that SSH would go over; the caller closes it. */
int session_dial(const struct session *s, struct error *err);

/* Finds and connects. */
int session_open(struct ops *o, const char *ref, int64_t stall_ms, struct session *s,
                 struct error *err);

/* Makes a lease (ops_acquire), opens a session with it, and takes the turn. If this fails, the
 * lease may still exist: s->lease.id is not empty then. */
int session_make(struct ops *o, const struct ops_acquire *req, int64_t stall_ms,
                 struct ops_timing *timing, struct session *s, struct error *err);

/* Connects again where the connection was lost; the lease is still in use. */
int session_reconnect(struct session *s, struct error *err);

/* Room in the lease's directory for `bytes` more that its machine was not promised. It is reserved
 * until `*held` is closed, which is closed first: what it was for is on the disk by now. *bytes
 * gets what there is room for, which may be less. */
int session_hold_disk(const struct session *s, int *held, int64_t *bytes, struct error *err);

/* Whether the lease was stopped or has expired since: that is then why the session failed, and
 * becomes the error (ERR_NOT_RUNNING). */
bool session_ended(const struct session *s, struct error *err);

/* Closes the connection. The lease may idle out again, but the session keeps the turn until
 * session_close. */
void session_disconnect(struct session *s);
void session_close(struct session *s);

#endif
