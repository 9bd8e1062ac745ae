/* ssh.h: keys, readiness, commands and streams over SSH.
 *
 * We make the guest's host key before the guest exists, and pass it to the guest on the seed drive.
 * It is compared before anything is sent, so there is no trust on first use. This module is the
 * only user of libssh, which works in a process without rights (speaker.h), one for each
 * connection. All waits end at the caller's deadline.
 *
 * Order: ssh_key_generate (client key, host key) → ssh_wait_ready or ssh_connect_to →
 * ssh_watch → ssh_exec (any number of times) → ssh_close.
 *
 * A guest that hangs is found in two ways. If its kernel is silent, the connection is lost after at
 * most SSH_DEAD_MS, whatever runs (TCP keepalive; a dialled stream has to do this itself). If it
 * answers but nothing has moved for the stall time, the result is ERR_TIMEOUT: no byte came, and
 * none could be sent. A slow transfer is never ended as long as it moves.
 *
 * All output is read until the server closes the channel, however long after the command's end. A
 * close that never comes is waited for SSH_LINGER_MS from the last output on.
 */
#ifndef CRABBOX_SSH_SSH_H
#define CRABBOX_SSH_SSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/deadline.h"

#define SSH_PUBKEY_SIZE 128 /* "ssh-ed25519 AAAA…" and NUL, ed25519 only */

/* Makes an ed25519 key. `private_pem` gets the unencrypted OpenSSH private key text (wipe and
 * free after use), `public_line` "ssh-ed25519 AAAA…" without comment. */
int ssh_key_generate(struct strbuf *private_pem, char public_line[static SSH_PUBKEY_SIZE],
                     struct error *err);

struct ssh_target {
    const char *host; /* numeric address; with dial, what messages call the machine */
    uint16_t port;    /* of no meaning with dial */
    /* How to get there where TCP doesn't lead there; NULL: TCP. Returns a connected stream socket
     * (owned by the caller; non-blocking, close-on-exec), or -1: ERR_SSH where a later attempt may
     * succeed, any other kind where none will. It has to end at the deadline, and when the machine
     * is gone. What ends a TCP connection to a machine that is silent does not work here: the
     * stream has to find that out by itself. */
    int (*dial)(const void *ctx, const struct deadline *d, struct error *err);
    /* Without dial: makes the TCP socket (close-on-exec, non-blocking) where TCP has to start in
     * another network namespace; NULL: in ours. ERR_SSH and other kinds as above. */
    int (*socket)(const void *ctx, struct error *err);
    const void *dial_ctx; /* of both */
    const char *user;
    const char *key_file; /* private key path (may be /proc/self/fd/N/name) */
    const char *host_key; /* pinned "ssh-ed25519 AAAA…" */
};

struct ssh_conn; /* opaque, owned by the caller until ssh_close */

/* The connection without SSH on it: a stream socket, which the caller closes. One attempt. */
int ssh_dial(const struct ssh_target *t, const struct deadline *d, struct error *err);

/* Connects, verifies the pinned host key (ERR_HOSTKEY on a mismatch, with both fingerprints),
 * authenticates. One attempt; ERR_SSH or ERR_TIMEOUT. */
int ssh_connect_to(const struct ssh_target *t, const struct deadline *d, struct ssh_conn **out,
                   struct error *err);

/* What readiness may watch besides the connection; every descriptor is borrowed and may be -1. */
struct ssh_wait {
    int guest_fd; /* readable when the guest sent a frame (net_watch_guest): retry at once */
    int gone_fd;  /* readable once the machine is gone: fail at once with ERR_VMM */
};

/* Connects as soon as the guest answers: retries on refusal or silence (ERR_SSH of `dial` is a
 * refusal) when guest_fd shows life, at the latest by a short growing timer; a wrong host key or
 * refused login is final. Times of the milestones are stored for the timing report. */
struct ssh_ready_times {
    int64_t first_frame_us, tcp_us, banner_us, auth_us; /* boottime clock; 0: not seen */
};
int ssh_wait_ready(const struct ssh_target *t, const struct ssh_wait *w, const struct deadline *d,
                   struct ssh_conn **out, struct ssh_ready_times *times, struct error *err);

/* LINGER: how long a command that has ended is waited for when something that it started keeps its
 * output open and says nothing. */
enum { SSH_DEAD_MS = 90000, SSH_STALL_MS = 300000, SSH_LINGER_MS = 10000 };

/* Sets how each command is watched from now on. `gone_fd` (readable once the machine is gone, or
 * -1) is borrowed until ssh_close: a machine that is gone is ERR_VMM at once. `stall_ms` limits how
 * long nothing may move. It also limits how long the guest's kernel may be silent, if it is less
 * than SSH_DEAD_MS. Without a call: no machine is watched, SSH_STALL_MS. */
void ssh_watch(struct ssh_conn *c, int gone_fd, int64_t stall_ms);

/* How a remote command ended: exactly one of the first two unless the connection was lost. */
struct ssh_status {
    bool exited;
    bool signalled;
    int code;
    char signal[16]; /* "KILL", as in the protocol */
    bool left;       /* the user typed ~. */
};

/* A terminal in the guest for the command. Its output is then one stream, stdout. Typed keys go to
 * the guest, except the escapes of escape.h: "~." ends the wait with ERR_CANCELLED. */
struct ssh_tty {
    const char *term; /* "xterm-256color" */
    int fd;           /* the local terminal, whose size is taken */
    int resize_fd;    /* readable when that has changed (tty_resize_open); -1: never */
    /* Called when the guest has begun the command: the time to enter raw mode. Until then nothing
     * is read from fd. May be NULL. */
    int (*begun)(int fd, struct error *err);
};

/* Start-up files of the guest's shell (~/.bashrc) may print, and may exit. With a mark, what comes
 * on stdout before the mark is left out, and a command that ends without it was never begun: that
 * is ERR_SSH. */
enum ssh_mark {
    SSH_MARK_NONE,
    SSH_MARK_BEFORE, /* ssh_exec has it printed before the command */
    SSH_MARK_INSIDE, /* the command prints it by SSH_MARK_PRINT */
};
#define SSH_MARK_PRINT "printf '\\002crabbox-fc\\003'; "

/* Where a command's streams go. Descriptors are borrowed. */
struct ssh_io {
    int stdin_fd;          /* -1: end of file at once */
    int stdout_fd;         /* -1: discard (or out) */
    int stderr_fd;         /* -1: discard (or errout) */
    struct strbuf *out;    /* alternative to stdout_fd: capture at most out_max bytes */
    struct strbuf *errout; /* alternative to stderr_fd */
    size_t out_max;
    int64_t *out_at_us; /* when its first byte came, by the wall clock; NULL: nobody asks */
    /* Called with each piece of output as it comes, wherever it goes; NULL: nobody listens. */
    void (*hear)(void *ctx, bool is_stderr, const void *data, size_t len);
    void *hear_ctx;
    /* Alternative to stdin_fd: called when the channel can take data. Fills buf, returns the
     * number of bytes, 0 at the end, -1 with err set to abort. */
    ssize_t (*source)(void *ctx, void *buf, size_t size, struct error *err);
    void *source_ctx;
    int gone_fd;               /* to watch; -1: that of ssh_watch */
    bool may_be_silent;        /* the command is not ours: only its start can hang, and what still
                                * holds its output when it has ended */
    const struct ssh_tty *tty; /* borrowed; NULL: no terminal */
    /* "INT", "TERM", …: sent to the command when the wait for it ends early (deadline, cancel, an
     * output that is gone). NULL: none; the command may then live on in the guest. It reaches the
     * process that `command` became, not its children. */
    const char *abort_signal;
    enum ssh_mark mark;
};
#define SSH_IO_INIT                                                                                \
    {                                                                                              \
        .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .gone_fd = -1                            \
    }

/* Runs `command` (one string, as SSH has it: the login shell of the guest's user reads it) and
 * streams to the end, byte-exact, memory bounded (a slow reader pushes back to the guest). A lost
 * connection is ERR_SSH, a machine that is gone ERR_VMM, a guest that hangs or a deadline
 * ERR_TIMEOUT; a command that ended is 0 with `st` filled, whatever its code. An end that no
 * command can have (a code beyond 255, two ends) is ERR_SSH. */
int ssh_exec(struct ssh_conn *c, const char *command, const struct ssh_io *io,
             const struct deadline *d, struct ssh_status *st, struct error *err);

/* Runs a command that has to succeed. Any other end than exit code 0 is an error of that kind,
 * which says how the command ended and quotes its stderr. `what` begins every message: "copy into
 * the guest". Sets errout of the streams, and out_max if they have no `out`. */
int ssh_command(struct ssh_conn *c, const char *command, const struct ssh_io *streams,
                const struct deadline *d, enum err_kind kind, const char *what, struct error *err);

/* The second half of ssh_command, for a caller that needs its own ssh_exec: 0 for exit code 0, or
 * the error. Flattens errout. */
int ssh_succeeded(const struct ssh_status *st, struct strbuf *errout, enum err_kind kind,
                  const char *what, struct error *err);

/* A source that is a text in memory: io.source = ssh_text_next, io.source_ctx = &text. */
struct ssh_text {
    const char *at;
    size_t left;
};
ssize_t ssh_text_next(void *text, void *buf, size_t size, struct error *err);

void ssh_close(struct ssh_conn *c); /* NULL is fine */
static inline void cleanup_ssh_conn(struct ssh_conn **c)
{
    ssh_close(*c);
}

/* argv → one string that any POSIX shell reads back as exactly these words. */
void ssh_quote_argv(struct strbuf *out, const char *const *argv);

#endif
