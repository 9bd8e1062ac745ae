#include "testutil/sshpair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "testutil/sandbox.h"

enum { DROPBEAR_PORT = 2201, SSHD_PORT = 2202, MIB = 1024 * 1024 };

struct sshserver sshpair_dropbear, sshpair_openssh;
static bool entered;

int sshpair_open(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    entered = sandbox_enter_or_skip();
    if (!entered)
        return 0;
    if (sshserver_prepare(&sshpair_dropbear, &err) < 0)
        goto fail;
    sshpair_openssh = sshpair_dropbear;
    if (sshserver_start(&sshpair_dropbear, true, DROPBEAR_PORT, &err) < 0 ||
        sshserver_start(&sshpair_openssh, false, SSHD_PORT, &err) < 0)
        goto fail;
    return 0;
fail:
    (void)fprintf(stderr, "setup: %s\n", err.msg);
    return -1;
}

int sshpair_close(void **state)
{
    (void)state;
    if (!entered)
        return 0;
    sshserver_stop(&sshpair_dropbear);
    sshserver_stop(&sshpair_openssh);
    return sandbox_children_left(5000);
}

const struct sshserver *sshpair_of(void **state)
{
    if (!entered)
        skip();
    return *state;
}

int sshpair_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

void sshpair_run(struct ssh_conn *c, const char *command, struct sshpair_said *r)
{
    struct ssh_io io = SSH_IO_INIT;
    struct deadline d = deadline_in_ms(30000);
    struct error err = ERROR_INIT;
    *r = (struct sshpair_said){{0}, STRBUF_INIT, STRBUF_INIT};
    io.out = &r->out;
    io.errout = &r->errout;
    io.out_max = MIB;
    if (ssh_exec(c, command, &io, &d, &r->st, &err) < 0)
        fail_msg("%s: %s", command, err.msg);
}

void sshpair_said_free(struct sshpair_said *r)
{
    strbuf_free(&r->out);
    strbuf_free(&r->errout);
}
