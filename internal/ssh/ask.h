/* ask.h: the program's end of a connection, between the files that have it (ask.c, talk.c,
 * ready.c).
 *
 *   ask_start → ask_login (again after one that failed) → ssh_exec … → ssh_close
 */
#ifndef CRABBOX_SSH_ASK_H
#define CRABBOX_SSH_ASK_H

#include "ssh/speaker.h"

struct ssh_conn {
    struct child child; /* the speaker; pid 0 once it has ended */
    int talk_fd;        /* owned */
    int stop_fd;        /* owned: one byte ends what it does */
    char peer[PEER_SIZE];
    int gone_fd; /* borrowed, or -1 */
    int64_t stall_ms;
};

/* Starts a speaker for the connection with `peer` (dial_name). It is ready to be asked at once. */
int ask_start(const char *peer, struct ssh_conn **out, struct error *err);

/* SSH over a connected socket, which is consumed in any case: key exchange, host key, login. */
int ask_login(struct ssh_conn *c, const struct ssh_target *t, int fd, int gone_fd,
              const struct deadline *d, struct ssh_ready_times *times, enum conn_stage *stage,
              struct error *err);

/* One message of the speaker. One that is none, or the end, is ERR_SSH. */
int ask_receive(struct ssh_conn *c, struct said *said, struct error *err);
/* The error that an answer reports, if it does. */
int ask_result(struct said *said, struct error *err);
/* The speaker keeps the deadline itself; one that does not is given up a little later. */
struct deadline ask_deadline(const struct deadline *d);
/* Tells it to stop, and waits for its answer. One that gives none is ended. */
void ask_stop(struct ssh_conn *c);
/* Ends a speaker that does not do its work. See fenced_failed. */
int ask_failed(struct ssh_conn *c, const char *wrong, struct error *err);

#endif
