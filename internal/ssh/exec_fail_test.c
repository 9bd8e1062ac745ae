/* What goes wrong with a connection, against a real dropbear and a real sshd: time that is over,
 * interrupts, deaths, keys that are not the right ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ssh/conn.h"
#include "sys/file.h"
#include "testutil/sshpair.h"

/* Memory that libssh does not get for the table of what it polls. */
static bool table_fails;

void *realloc(void *p, size_t size)
{
    static void *(*real)(void *, size_t);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "realloc");
        memcpy(&real, &symbol, sizeof real);
    }
    if (!table_fails || p || size != 2 * sizeof(void *))
        return real(p, size);
    table_fails = false;
    errno = ENOMEM;
    return NULL;
}

static void test_deadline_holds_under_a_flood(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(300);
    /* Without it this would never end. */
    assert_int_equal(ssh_exec(c, "yes", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    error_clear(&err);
    d = deadline_in_ms(200);
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
}

static void test_cancel_and_dying_vmm(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    _cleanup_close_ int event = eventfd(1, EFD_CLOEXEC);
    d.cancel_fd = event;
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    error_clear(&err);
    /* What the server answers to the command that nobody waits for is no fault of it. */
    (void)poll(NULL, 0, 200);
    d.cancel_fd = -1;
    if (ssh_exec(c, "true", &io, &d, &st, &err) < 0)
        fail_msg("%s", err.msg);
    io.gone_fd = event;
    assert_int_equal(ssh_exec(c, "sleep 2", &io, &d, &st, &err), -1);
    if (err.kind != ERR_VMM)
        fail_msg("%s", err.msg);
}

static const char *key_of(void *ctx)
{
    return ((const struct strbuf *)ctx)->buf;
}

/* libssh says nothing about it, and then reads nothing, however much comes. What the speaker does
 * is done here, where memory can fail. */
static void test_connection_that_is_not_polled(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    struct ssh_target t = sshserver_target(s);
    _cleanup_strbuf_ struct strbuf key = STRBUF_INIT;
    struct conn_login login = {"box", t.user, t.host_key, false, key_of, &key};
    struct conn_io io = {
        .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .gone_fd = -1, .talk_fd = -1};
    struct ssh_ready_times times = {0};
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    enum conn_stage stage;
    struct conn *c = NULL;
    assert_int_equal(file_read_at(AT_FDCWD, t.key_file, 16384, &key, &err), 0);
    int fd = ssh_dial(&t, &d, &err);
    if (conn_open(&login, fd, -1, &d, &times, &stage, &c, &err) < 0)
        fail_msg("%s", err.msg);
    table_fails = true;
    assert_int_equal(conn_exec(c, "true", &io, &d, &st, &err), -1);
    assert_false(table_fails);
    conn_close(c);
    if (err.kind != ERR_SSH)
        fail_msg("%s", err.msg);
}

/* Who interrupts a run takes its command along, also where the lease lives on. */
static void test_abort_signal_reaches_the_command(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(300);
    (void)unlink("/run/got-term");
    io.abort_signal = "TERM";
    assert_int_equal(
        ssh_exec(c, "trap 'echo > /run/got-term; exit' TERM; sleep 1 & wait", &io, &d, &st, &err),
        -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    for (int i = 0; i < 400 && access("/run/got-term", F_OK) < 0; i++)
        (void)poll(NULL, 0, 5);
    assert_int_equal(access("/run/got-term", F_OK), 0);
}

/* The server's process for this connection is killed by the command itself. */
static void test_connection_dies_during_a_command(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    int fds = sshpair_fds();
    struct ssh_conn *c = sshserver_connect(s);
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    io.out = &out;
    io.out_max = 100;
    assert_int_equal(
        ssh_exec(c, "echo begun; sleep 0.2; kill -9 $PPID; sleep 0.2", &io, &d, &st, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_string_equal(out.buf, "begun\n");
    assert_false(st.exited || st.signalled);
    ssh_close(c);
    assert_int_equal(sshpair_fds(), fds);
}

static void refused_host_key(struct ssh_target t, const char *pinned)
{
    struct deadline d = deadline_in_ms(60000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    t.host_key = pinned;
    /* The key file must not even be read before the guest is known: it does not exist. */
    t.key_file = "/run/no-such-key";
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_null(c);
    assert_int_equal(err.kind, ERR_HOSTKEY);
}

static void test_wrong_host_key(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    char other[SSH_PUBKEY_SIZE];
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    int fds = sshpair_fds();
    assert_int_equal(ssh_key_generate(&pem, other, NULL), 0);
    refused_host_key(sshserver_target(s), other);
    refused_host_key(sshserver_target(s), "ssh-ed25519 AAAA");
    refused_host_key(sshserver_target(s), "");
    assert_int_equal(sshpair_fds(), fds);
}

static void test_wrong_client_key(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    struct ssh_target t = sshserver_target(s);
    struct deadline d = deadline_in_ms(60000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    int fds = sshpair_fds();
    t.key_file = s->stranger_key;
    assert_int_equal(ssh_connect_to(&t, &d, &c, &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_non_null(strstr(err.msg, "its login shell or its authorized_keys"));
    error_clear(&err);
    /* That is final: it does not try until the deadline. */
    assert_int_equal(ssh_wait_ready(&t, NULL, &d, &c, NULL, &err), -1);
    assert_non_null(strstr(err.msg, "refused the lease's key"));
    assert_false(deadline_passed(&d));
    assert_int_equal(sshpair_fds(), fds);
}

/* However a command of ours fails, the message has its end and what it wrote, as one line. */
static void test_command_that_has_to_succeed(void **state)
{
    const struct sshserver *s = sshpair_of(state);
    static const struct {
        const char *command, *message;
    } failures[] = {
        {"exit 3", "look: exit code 3, no message"},
        {"printf 'a\\033[2J\\nb\\n' >&2; exit 1", "look: exit code 1: a\\x1b[2J; b"},
        {"ulimit -c 0; kill -KILL $$", "look: killed by SIGKILL, no message"},
        {"cat; exit 2", "look: exit code 2, no message"},
    };
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = sshserver_connect(s);
    struct deadline d = deadline_in_ms(60000);
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        struct ssh_io io = SSH_IO_INIT;
        struct error err = ERROR_INIT;
        assert_int_equal(ssh_command(c, failures[i].command, &io, &d, ERR_SYNC, "look", &err), -1);
        assert_string_equal(err.msg, failures[i].message);
        assert_int_equal(err.kind, ERR_SYNC);
    }
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct ssh_text text = {"text", 4};
    struct ssh_io io = SSH_IO_INIT;
    struct error err = ERROR_INIT;
    io.source = ssh_text_next;
    io.source_ctx = &text;
    io.out = &out;
    io.out_max = 64;
    assert_int_equal(ssh_command(c, "cat", &io, &d, ERR_SSH, "look", &err), 0);
    assert_string_equal(out.buf, "text");
    d = deadline_in_ms(0);
    assert_int_equal(ssh_command(c, "cat", &io, &d, ERR_SYNC, "look", &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_memory_equal(err.msg, "look: ", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SSHPAIR_BOTH(test_deadline_holds_under_a_flood),
        SSHPAIR_BOTH(test_cancel_and_dying_vmm),
        SSHPAIR_BOTH(test_connection_that_is_not_polled),
        /* sshd forwards no signals where the user is root: dropbear only. */
        {"test_abort_signal_reaches_the_command (dropbear)", test_abort_signal_reaches_the_command,
         NULL, NULL, &sshpair_dropbear},
        SSHPAIR_BOTH(test_connection_dies_during_a_command),
        SSHPAIR_BOTH(test_command_that_has_to_succeed),
        SSHPAIR_BOTH(test_wrong_host_key),
        SSHPAIR_BOTH(test_wrong_client_key),
    };
    return cmocka_run_group_tests(tests, sshpair_open, sshpair_close);
}
