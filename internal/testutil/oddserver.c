#include "testutil/oddserver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "testutil/sandbox.h"

#define CLIENT_KEY "/run/client.pem"

static struct strbuf host_pem = STRBUF_INIT;
static char host_key[SSH_PUBKEY_SIZE];
static bool entered;

int oddserver_open(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char client_pub[SSH_PUBKEY_SIZE];
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    (void)signal(SIGPIPE, SIG_IGN);
    entered = sandbox_enter_or_skip();
    if (!entered)
        return 0;
    return ssh_key_generate(&host_pem, host_key, &err) < 0 ||
                   ssh_key_generate(&pem, client_pub, &err) < 0 ||
                   file_write_new(AT_FDCWD, CLIENT_KEY, pem.buf, pem.len, 0600, &err) < 0
               ? -1
               : 0;
}

int oddserver_close(void **state)
{
    (void)state;
    strbuf_free(&host_pem);
    return entered ? sandbox_children_left(5000) : 0;
}

void oddserver_hang(void)
{
    for (;;)
        (void)pause();
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* the callbacks are no shorter */
static void answer_login(const struct oddserver *o, ssh_session s, ssh_message m, int kind)
{
    if (ssh_message_subtype(m) == SSH_AUTH_METHOD_PUBLICKEY &&
        ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_NONE)
        (void)ssh_message_auth_reply_pk_ok_simple(m);
    else if (o->on_login)
        o->on_login(s, m, kind);
    else
        (void)ssh_message_auth_reply_success(m, 0);
}

static ssh_channel answer(const struct oddserver *o, ssh_session s, ssh_message m, int kind,
                          ssh_channel ch)
{
    switch (ssh_message_type(m)) {
    case SSH_REQUEST_AUTH:
        answer_login(o, s, m, kind);
        return ch;
    case SSH_REQUEST_CHANNEL_OPEN:
        return o->on_open ? o->on_open(s, m, kind)
                          : ssh_message_channel_request_open_reply_accept(m);
    case SSH_REQUEST_CHANNEL:
        if (o->on_command)
            o->on_command(s, m, ch, kind);
        else
            (void)ssh_message_channel_request_reply_success(m);
        return ch;
    default:
        (void)ssh_message_reply_default(m);
        return ch;
    }
}

#pragma GCC diagnostic pop

static void serve(const struct oddserver *o, int fd, int kind) __attribute__((noreturn));
static void serve(const struct oddserver *o, int fd, int kind)
{
    if (o->on_connect)
        o->on_connect(fd, kind);
    ssh_bind b = ssh_bind_new();
    ssh_session s = ssh_new();
    ssh_channel ch = NULL;
    ssh_key key = NULL;
    if (ssh_pki_import_privkey_base64(host_pem.buf, NULL, NULL, NULL, &key) != SSH_OK ||
        ssh_bind_options_set(b, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK ||
        ssh_bind_accept_fd(b, s, fd) != SSH_OK || ssh_handle_key_exchange(s) != SSH_OK)
        _exit(1);
    for (ssh_message m; (m = ssh_message_get(s));) {
        ch = answer(o, s, m, kind, ch);
        ssh_message_free(m);
    }
    _exit(0);
}

void oddserver_or_skip(void)
{
    if (!entered)
        skip();
}

pid_t oddserver_start(const struct oddserver *o, int kind)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(o->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    oddserver_or_skip();
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &(int){32768}, sizeof(int));
    assert_int_equal(bind(listener, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t pid = fork();
    if (pid == 0)
        serve(o, accept(listener, NULL, NULL), kind);
    return pid;
}

int oddserver_connect(const struct oddserver *o, int64_t ms, struct ssh_conn **c, struct error *err)
{
    struct ssh_target t = {.host = "127.0.0.1",
                           .port = o->port,
                           .user = "tester",
                           .key_file = CLIENT_KEY,
                           .host_key = host_key};
    struct deadline d = deadline_in_ms(ms);
    return ssh_connect_to(&t, &d, c, err);
}

void oddserver_stop(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}
