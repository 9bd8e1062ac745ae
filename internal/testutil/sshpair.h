/* sshpair.h: dropbear and OpenSSH side by side, for what has to hold with both.
 *
 * sshpair_open in the group's setup (it enters a sandbox), sshpair_close in its teardown. Each test
 * stands in the table as SSHPAIR_BOTH(test) and runs twice:
 *
 *     static void test_a_command_has_a_code(void **state)
 *     {
 *         _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(sshpair_of(state));
 *         _cleanup_(sshpair_said_free) struct sshpair_said r;
 *         sshpair_run(c, "exit 3", &r);
 *         assert_int_equal(r.st.code, 3);
 *     }
 *
 * The helpers fail the running test by cmocka.
 */
#ifndef CRABBOX_TESTUTIL_SSHPAIR_H
#define CRABBOX_TESTUTIL_SSHPAIR_H

#include "base/str.h"
#include "ssh/ssh.h"
#include "testutil/sshserver.h"

extern struct sshserver sshpair_dropbear, sshpair_openssh;

int sshpair_open(void **state);
int sshpair_close(void **state);

#define SSHPAIR_BOTH(test)                                                                         \
    {#test " (dropbear)", test, NULL, NULL, &sshpair_dropbear},                                    \
    {                                                                                              \
#test " (sshd)", test, NULL, NULL, &sshpair_openssh                                        \
    }

/* The server of this run of the test; skips it where there is no sandbox. */
const struct sshserver *sshpair_of(void **state);

struct sshpair_said {
    struct ssh_status st;
    struct strbuf out, errout; /* at most 1 MiB of each */
};
/* Runs a command to its end; sshpair_said_free() is the caller's. */
void sshpair_run(struct ssh_conn *c, const char *command, struct sshpair_said *r);
void sshpair_said_free(struct sshpair_said *r);

/* How many descriptors are open here. */
int sshpair_fds(void);

#endif
