/* escape.h: finds the keys that a user types for this program and not for the guest, as in ssh.
 *
 * At the start of a line "~." leaves, "~?" shows the keys, and "~~" sends one "~". With any other
 * key, the "~" and the key are both sent. A line starts at the beginning and after Enter (CR or
 * LF).
 */
#ifndef CRABBOX_SSH_ESCAPE_H
#define CRABBOX_SSH_ESCAPE_H

#include <stddef.h>

struct escape {
    enum { ESCAPE_LINE_START, ESCAPE_TILDE, ESCAPE_INSIDE } at; /* 0 to begin with */
};

enum escape_act { ESCAPE_NONE, ESCAPE_LEAVE, ESCAPE_HELP };

/* For people. */
#define ESCAPE_HELP_TEXT                                                                           \
    "~?\r\nEscapes at the start of a line:\r\n"                                                    \
    " ~.   end the command and leave\r\n"                                                          \
    " ~~   send ~\r\n"                                                                             \
    " ~?   show this\r\n"

/* Takes the typed bytes. `out`, with room for n + 1 bytes, gets the bytes for the guest. Returns
 * their number. Stops at ESCAPE_LEAVE; several requests for help are reported as one. */
size_t escape_filter(struct escape *e, const char *in, size_t n, char *out, enum escape_act *act);

#endif
