/* speaker.h: the process that speaks SSH with one guest, and how the program talks to it.
 *
 * It is a part without rights (sys/fenced.h), the only one that takes the guest's packets apart
 * (libssh). It has a connected socket to the guest, the lease's key, and a few pipes. If it is
 * taken over, it can say only what a guest could say anyway.
 *
 * Its descriptor 0 is the socket of these messages (SOCK_SEQPACKET), descriptor 1 a pipe on which
 * one byte means: stop what you do. Once the program has closed its ends, or has died, the speaker
 * ends.
 *
 *   SAY_LOGIN + the socket to the guest, [gone_fd]     → SAID_KNOWN, if it is the right one
 *   SAY_KEY                                            → SAID_LOGGED_IN
 *   SAY_EXEC + pipes, [gone_fd]; pieces of the command → SAID_STARTED → SAID_ENDED
 *   SAY_SIZE, while a command runs
 *
 * Everything that it says is checked (ask.c): it may be lying.
 */
#ifndef CRABBOX_SSH_SPEAKER_H
#define CRABBOX_SSH_SPEAKER_H

#include "ssh/conn.h"
#include "sys/fenced.h"

extern const struct fenced_part speaker_part;

enum { SPEAKER_KEY_MAX = 16384, SPEAKER_PIECE = 32768, SPEAKER_FDS = 4 };

enum speaker_word {
    SAY_LOGIN,
    SAY_KEY,
    SAY_EXEC,
    SAY_SIZE,
    SAID_KNOWN, /* the guest has shown the pinned host key */
    SAID_LOGGED_IN,
    SAID_STARTED,
    SAID_ENDED,
};

struct say_login {
    enum speaker_word word;
    int64_t at_ms, allowed_ms; /* the deadline */
    bool dialled;
    char peer[PEER_SIZE];
    char user[256], host_key[512];
};

struct say_key {
    enum speaker_word word;
    char key[SPEAKER_KEY_MAX];
};

struct say_exec {
    enum speaker_word word;
    int64_t at_ms, allowed_ms, stall_ms;
    bool has_in, has_out, has_err, has_gone; /* the descriptors that come with it, in this order */
    bool may_be_silent, input_is_ours;
    enum ssh_mark mark;
    char abort_signal[16];
    char term[64];
    int columns, rows;
    size_t command_len;
};

struct say_size {
    enum speaker_word word;
    int columns, rows;
};

struct said {
    enum speaker_word word;
    bool failed;
    struct error err;
    enum conn_stage stage;
    int64_t banner_us, auth_us;
    struct ssh_status status;
    bool was_left; /* something keeps the command's output open */
};

/* A message with descriptors. -1 with errno. */
int speaker_send(int fd, const void *message, size_t len, const int *fds, size_t n_fds);
/* Returns its length, 0 at the end of the other side. *n_fds is the room in fds, and gets how many
 * came (close-on-exec, owned by the caller). A message that is longer than `size` is an error. */
ssize_t speaker_receive(int fd, void *message, size_t size, int *fds, size_t *n_fds);

#endif
