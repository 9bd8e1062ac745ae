/* conn.h: the inside of one connection. Only the files of this module use it, and of those only the
 * speaker's (speaker.h): what a guest sends is taken apart nowhere else.
 *
 * The session is never blocking. If a libssh call returns SSH_AGAIN, it is repeated after
 * conn_wait(), which watches the connection, the machine and the deadline together.
 */
#ifndef CRABBOX_SSH_CONN_H
#define CRABBOX_SSH_CONN_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <stdbool.h>

#include "base/error.h"
#include "ssh/ssh.h"
#include "sys/deadline.h"

#define PEER_SIZE 80

struct conn {
    ssh_session session;
    int fd;        /* the socket; closed by conn_close if the session has not done it */
    uint64_t sock; /* tells whether fd is still that socket */
    bool dialled;  /* no TCP */
    char peer[PEER_SIZE];
    int64_t stall_ms;
    /* What the peer makes us do; see peer.c. */
    struct ssh_counter_struct wire, packets;
    int64_t least_left;   /* see backlog() */
    unsigned asked;       /* what the server asked of us during this command */
    bool confirmed_again; /* it opened a channel that was open */
    uint32_t packet_max;  /* the smallest packet that the server takes, as far as known */
    struct ssh_channel_callbacks_struct drop; /* of channels that were given up */
};

/* How far an attempt came. Readiness uses it to decide whether another attempt makes sense. */
enum conn_stage {
    STAGE_NONE,    /* no TCP connection */
    STAGE_TCP,     /* connected, the server said nothing yet */
    STAGE_BANNER,  /* the server's banner came */
    STAGE_REFUSED, /* the login was refused: final */
    STAGE_AUTH,    /* logged in */
};

/* Starts a non-blocking TCP connect, or dials. Returns the socket, connecting or connected. A
 * failure that is known at once is ERR_SSH with its errno where another attempt makes sense. */
int dial_start(const struct ssh_target *t, const struct deadline *d, struct error *err);
/* After the socket turned writable: 0, or the errno of the failed connect. */
int dial_result(int fd);
/* Makes the kernel find out within `ms` that nobody answers any more. */
void dial_keep_alive(int fd, int64_t ms);
/* "10.0.0.2 port 22"; only the name of what is dialled. */
void dial_name(const struct ssh_target *t, char out[static PEER_SIZE]);

/* What a login needs. */
struct conn_login {
    const char *peer;     /* for messages (dial_name) */
    const char *user;     /* of the guest */
    const char *host_key; /* pinned */
    bool dialled;         /* the socket is no TCP */
    /* Gives the private key (borrowed) once the guest has shown the right host key; NULL: none. */
    const char *(*key)(void *ctx);
    void *ctx;
};

/* SSH over a connected socket, which is consumed in any case: key exchange, host key, login. */
int conn_open(const struct conn_login *login, int fd, int gone_fd, const struct deadline *d,
              struct ssh_ready_times *times, enum conn_stage *stage, struct conn **out,
              struct error *err);
void conn_close(struct conn *c); /* NULL is fine */
/* Sets for how long nothing may move from now on (ssh_watch). */
void conn_set_stall(struct conn *c, int64_t ms);

/* One command (ssh_exec), whose streams are pipes of the program that we speak for. */
struct conn_io {
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed, or -1; the outputs don't block */
    int gone_fd;                        /* borrowed, or -1 */
    int talk_fd;                        /* readable when `heard` is to be called; borrowed */
    bool may_be_silent, input_is_ours;  /* ours: a guest that takes all there is does not hang */
    enum ssh_mark mark;
    const char *abort_signal; /* NULL: none */
    const char *term;         /* of the terminal; NULL: none */
    int columns, rows;        /* of the terminal; `heard` may change them */
    bool was_left;            /* set: the end was not waited for, as something keeps it open */
    /* The guest has begun the command. */
    int (*started)(void *ctx, struct error *err);
    /* 1: the terminal has another size now. */
    int (*heard)(void *ctx, struct conn_io *io, struct error *err);
    void *ctx;
};
int conn_exec(struct conn *c, const char *command, struct conn_io *io, const struct deadline *d,
              struct ssh_status *st, struct error *err);

/* Events to poll the connection for. */
short conn_events(const struct conn *c);
/* Waits until the connection may go on. ERR_VMM, ERR_TIMEOUT, ERR_CANCELLED, or what conn_check
 * finds. */
int conn_wait(struct conn *c, int gone_fd, const struct deadline *d, const char *what,
              struct error *err);
/* peer.c: bounds for what a server can make libssh do for it.
 *
 * Order: conn_guard once, before anything is received → conn_begin at each command →
 * conn_watch_open while its channel is opened, conn_watch_rest until conn_watch_end → conn_check
 * after everything that may have read from the connection and before anything is written to a
 * channel → conn_drop_data when the channel is given up. */
void conn_guard(struct conn *c);
void conn_begin(struct conn *c);
void conn_watch_open(struct conn *c);
void conn_watch_rest(void);
void conn_watch_end(void);
/* ERR_SSH when the server breaks the protocol or asks for more than any honest one does. */
int conn_check(struct conn *c, struct error *err);
/* The server may go on sending to a channel that nobody reads any more. This drops the data. */
void conn_drop_data(struct conn *c, ssh_channel ch);

/* ERR_SSH with libssh's reason, or ERR_VMM if the machine is gone by now. `doing` completes
 * "<doing> <peer>: <reason>". */
int conn_fail(const struct conn *c, int gone_fd, const char *doing, struct error *err);

/* "ssh-ed25519 AAAA… comment" → key; -1 if it is not one. */
int key_parse_public(const char *line, ssh_key *out);
/* "SHA256:…" */
void key_fingerprint(const ssh_key key, char *out, size_t size);

#endif
