/* oddserver.h: an SSH server that does as a test says, on libssh, in a process of its own.
 *
 * oddserver_open in the group's setup (it enters a sandbox), oddserver_close in its teardown. Then
 * per connection oddserver_start → oddserver_connect → … → oddserver_stop:
 *
 *     static const struct oddserver server = {.port = 2211, .on_command = lie_about};
 *     pid_t pid = oddserver_start(&server, SILENT);
 *     assert_int_equal(oddserver_connect(&server, 10000, &c, &err), 0);
 *
 * Without a callback the server is honest. Callbacks run in the server's process, with the kind
 * that it was started with; what they don't answer stays without an answer.
 */
#ifndef CRABBOX_TESTUTIL_ODDSERVER_H
#define CRABBOX_TESTUTIL_ODDSERVER_H

#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "ssh/ssh.h"

struct oddserver {
    uint16_t port;
    void (*on_connect)(int fd, int kind); /* before a word of SSH */
    void (*on_login)(ssh_session s, ssh_message m, int kind);
    ssh_channel (*on_open)(ssh_session s, ssh_message m, int kind);
    void (*on_command)(ssh_session s, ssh_message m, ssh_channel ch, int kind);
};

int oddserver_open(void **state);
int oddserver_close(void **state);

/* Skips the running test where there is no sandbox; so does oddserver_start. */
void oddserver_or_skip(void);

/* Serves one connection. */
pid_t oddserver_start(const struct oddserver *o, int kind);
int oddserver_connect(const struct oddserver *o, int64_t ms, struct ssh_conn **c,
                      struct error *err);
void oddserver_stop(pid_t pid);

/* For callbacks: does nothing any more. */
void oddserver_hang(void) __attribute__((noreturn));

#endif
