/* Servers that abuse the protocol: floods, and packets that libssh's server never sends.
 *
 * A server is libssh in a process of its own. What it can't send is put over an SSH_MSG_IGNORE at
 * the moment of its encryption, so any message goes out with the right keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ssh/ssh.h"
#include "sys/file.h"
#include "testutil/oddserver.h"

enum {
    PORT = 2212,
    SHORT_MS = 400,
    FLOOD_MS = 6000,        /* how long lines come before a banner */
    FLOOD_PACKETS = 600000, /* more than can be read in FLOOD_SOON_MS */
    FLOOD_SOON_MS = 50,
#ifndef __SANITIZE_ADDRESS__
    ROOM_KIB = 8 * 1024,
#else
    ROOM_KIB = 512 * 1024, /* what was freed is held for a while */
#endif
    LONG_MS = 240000,
    CHANNEL = 43, /* the first that libssh opens as a client */
    PIECE = 16 * 1024,
};

enum abuse {
    OPENS,           /* channels that it opens */
    REQUESTS,        /* requests on ours */
    A_FEW,           /* of both, as an honest one may */
    TINY_PACKET,     /* a channel that takes 10 bytes a packet */
    TINY_LATER,      /* the same, told when the command runs */
    FLOOD,           /* of nothing, before it answers the request for a channel */
    EARLY_DATA,      /* output before the command has started */
    LATE_DATA,       /* output of a command that nobody waits for any more */
    DEAF,            /* asks for replies and reads none */
    REPLIES_OF_MUCH, /* output and requests while our reader sleeps */
    OUT_OF_TURN,     /* refuses a login that it has accepted, and sends much after that */
};

/* ---- any message at all ---- */

static const struct strbuf *raw; /* goes out in place of the next SSH_MSG_IGNORE */
static struct strbuf *caught;    /* where what is sent goes, if not NULL */

/* In place of libcrypto's, which libssh calls with a padding length and the message. */
int EVP_CipherUpdate(void *ctx, unsigned char *out, int *n_out, const unsigned char *in, int n);
int EVP_CipherUpdate(void *ctx, unsigned char *out, int *n_out, const unsigned char *in, int n)
{
    static int (*real)(void *, unsigned char *, int *, const unsigned char *, int);
    _cleanup_free_ unsigned char *mine = NULL;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "EVP_CipherUpdate");
    if (!raw || (size_t)n < raw->len + 6 || in[1] != 2)
        return real(ctx, out, n_out, in, n);
    mine = xcalloc(1, (size_t)n);
    memcpy(mine, in, (size_t)n);
    memcpy(mine + 1, raw->buf, raw->len);
    raw = NULL;
    return real(ctx, out, n_out, mine, n);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "send");
    if (!caught)
        return real(fd, data, len, flags);
    strbuf_add(caught, data, len);
    return (ssize_t)len;
}

static void put_u32(struct strbuf *m, uint32_t n)
{
    n = htonl(n);
    strbuf_add(m, (const char *)&n, sizeof n);
}

static void put_text(struct strbuf *m, const char *text, size_t len)
{
    put_u32(m, (uint32_t)len);
    strbuf_add(m, text, len);
}

/* A message of a number, then `n` numbers. */
static struct strbuf message(uint8_t type, size_t n, const uint32_t *numbers)
{
    struct strbuf m = STRBUF_INIT;
    strbuf_add(&m, (const char *)&type, 1);
    for (size_t i = 0; i < n; i++)
        put_u32(&m, numbers[i]);
    return m;
}

static void send_raw(ssh_session s, const struct strbuf *m)
{
    _cleanup_free_ char *filler = xcalloc(1, m->len + 1);
    memset(filler, 'x', m->len);
    raw = m;
    if (ssh_send_ignore(s, filler) != SSH_OK || raw)
        _exit(1);
    if (!caught)
        (void)ssh_blocking_flush(s, FLOOD_MS);
}

static void send_confirmation(ssh_session s, uint32_t packet_max)
{
    _cleanup_strbuf_ struct strbuf m = message(91, 4,
                                               (const uint32_t[]){CHANNEL, 0, 1 << 20, packet_max});
    send_raw(s, &m);
}

static void send_open(ssh_session s, size_t size)
{
    static char big[120000];
    _cleanup_strbuf_ struct strbuf m = message(90, 0, NULL);
    memset(big, 'b', sizeof big);
    put_text(&m, "forwarded-tcpip", 15);
    for (int i = 0; i < 3; i++)
        put_u32(&m, 1000);
    for (int i = 0; i < 2; i++) {
        put_text(&m, big, size);
        put_u32(&m, 1);
    }
    send_raw(s, &m);
}

static void send_request(ssh_session s, const char *name, size_t size)
{
    static char big[120000];
    _cleanup_strbuf_ struct strbuf m = message(98, 1, (const uint32_t[]){CHANNEL});
    memset(big, 'b', sizeof big);
    put_text(&m, name, strlen(name));
    strbuf_add(&m, "", 1); /* wants no reply */
    put_text(&m, big, size);
    put_text(&m, big, size);
    send_raw(s, &m);
}

static void send_data(ssh_session s, size_t size)
{
    static char text[PIECE];
    _cleanup_strbuf_ struct strbuf m = message(94, 1, (const uint32_t[]){CHANNEL});
    put_text(&m, text, size);
    send_raw(s, &m);
}

static void send_keepalive(ssh_session s)
{
    _cleanup_strbuf_ struct strbuf m = message(80, 0, NULL);
    put_text(&m, "k", 1);
    strbuf_add(&m, "\1", 1);
    send_raw(s, &m);
}

/* ---- the server ---- */

/* Sends all that was caught, as fast as it is taken. */
static void blast(int fd, const struct strbuf *all, bool listens)
{
    char drain[65536];
    for (size_t off = 0; off < all->len;) {
        struct pollfd p = {.fd = fd, .events = (short)(listens ? POLLIN | POLLOUT : POLLOUT)};
        (void)poll(&p, 1, -1);
        if (p.revents & POLLIN && read(fd, drain, sizeof drain) <= 0)
            _exit(0);
        ssize_t n = write(fd, all->buf + off, all->len - off);
        if (n < 0 && errno != EAGAIN)
            _exit(0);
        off += n > 0 ? (size_t)n : 0;
    }
}

static void end_command(ssh_channel ch)
{
    (void)ssh_channel_request_send_exit_status(ch, 0);
    (void)ssh_channel_send_eof(ch);
    (void)ssh_channel_close(ch);
}

/* Asks for replies and takes none; or takes them, and sends output with each. */
static void ask_without_end(ssh_session s, ssh_channel ch, bool output)
{
    struct strbuf all = STRBUF_INIT;
    caught = &all;
    for (int i = 0; i < 60000; i++) {
        if (output)
            send_data(s, 1000);
        send_keepalive(s);
    }
    end_command(ch);
    caught = NULL;
    blast(ssh_get_fd(s), &all, output);
    oddserver_hang();
}

/* Lets the client in, and nothing else for a while. */
static void flood_after_login(ssh_session s, ssh_message m)
{
    struct strbuf all = STRBUF_INIT;
    caught = &all;
    (void)ssh_message_auth_reply_success(m, 0);
    for (int i = 0; i < FLOOD_PACKETS; i++)
        (void)ssh_send_ignore(s, "");
    caught = NULL;
    blast(ssh_get_fd(s), &all, false);
    strbuf_free(&all);
}

/* Our libssh refuses the first packet and must not take the rest. */
static void send_out_of_turn(ssh_session s)
{
    struct strbuf all = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf m = message(51, 0, NULL);
    put_text(&m, "publickey", 9);
    strbuf_add(&m, "", 1);
    caught = &all;
    send_raw(s, &m);
    for (int i = 0; i < 4000; i++)
        send_data(s, PIECE);
    caught = NULL;
    blast(ssh_get_fd(s), &all, false);
    oddserver_hang();
}

static void abuse_after_start(ssh_session s, ssh_channel ch, enum abuse abuse)
{
    int n = abuse == A_FEW ? 20 : 600;
    size_t size = abuse == A_FEW ? 10 : 120000;
    for (int i = 0; i < n && (abuse == OPENS || abuse == A_FEW); i++)
        send_open(s, size);
    for (int i = 0; i < n && (abuse == REQUESTS || abuse == A_FEW); i++)
        send_request(s, abuse == A_FEW ? "eow@openssh.com" : "env", size);
    if (abuse == TINY_LATER) {
        send_confirmation(s, 10);
        while (ssh_blocking_flush(s, FLOOD_MS) == SSH_AGAIN) /* however busy the machine is */
            ;
        oddserver_hang();
    }
    if (abuse == OUT_OF_TURN)
        send_out_of_turn(s);
    if (abuse == DEAF || abuse == REPLIES_OF_MUCH)
        ask_without_end(s, ch, abuse == REPLIES_OF_MUCH);
    end_command(ch);
}

/* Whether the command gets an answer. */
static bool abuse_before_start(ssh_session s, enum abuse abuse)
{
    static int commands;
    for (int i = 0; i < 4000 && (abuse == EARLY_DATA || (abuse == LATE_DATA && commands)); i++)
        send_data(s, PIECE);
    return abuse != LATE_DATA || commands++ > 0;
}

/* For abuse < 0: lines before its banner. */
static void flood_before_banner(int fd, int abuse)
{
    struct strbuf lines = STRBUF_INIT;
    if (abuse >= 0)
        return;
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&lines, "no banner yet\r\n");
    struct deadline d = deadline_in_ms(FLOOD_MS);
    while (!deadline_passed(&d))
        blast(fd, &lines, false);
    _exit(0);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* the callbacks are no shorter */
static void log_in(ssh_session s, ssh_message m, int abuse)
{
    if (abuse == FLOOD)
        flood_after_login(s, m);
    else
        (void)ssh_message_auth_reply_success(m, 0);
}

static ssh_channel open_channel(ssh_session s, ssh_message m, int abuse)
{
    if (abuse != TINY_PACKET)
        return ssh_message_channel_request_open_reply_accept(m);
    send_confirmation(s, 10);
    return NULL;
}

static void start_command(ssh_session s, ssh_message m, ssh_channel ch, int abuse)
{
    if (!abuse_before_start(s, (enum abuse)abuse))
        return;
    (void)ssh_message_channel_request_reply_success(m);
    abuse_after_start(s, ch, (enum abuse)abuse);
}

#pragma GCC diagnostic pop

static const struct oddserver server = {.port = PORT,
                                        .on_connect = flood_before_banner,
                                        .on_login = log_in,
                                        .on_open = open_channel,
                                        .on_command = start_command};

/* ---- the tests ---- */

/* What this process has held at most since forget_peak(). */
static long peak_kib(void)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    assert_int_equal(file_read_at(AT_FDCWD, "/proc/self/status", 65536, &text, NULL), 0);
    const char *at = strstr(text.buf, "VmHWM:");
    assert_non_null(at);
    return strtol(at + 6, NULL, 10);
}

static void forget_peak(void)
{
    _cleanup_close_ int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "5", 1), 1);
}

struct attempt {
    struct ssh_io io;
    int64_t ms; /* the deadline of the first command */
    int n;      /* how many commands, on one connection */
    int rc;
    struct error err;
    long grown_kib;
};

/* rc and err are those of the last command. */
static void run(enum abuse abuse, struct attempt *a)
{
    struct ssh_conn *c = NULL;
    struct ssh_status st;
    pid_t pid = oddserver_start(&server, (int)abuse);
    if (oddserver_connect(&server, LONG_MS, &c, &a->err) < 0)
        fail_msg("connect: %s", a->err.msg);
    ssh_watch(c, -1, LONG_MS);
    forget_peak();
    long before = peak_kib();
    for (int i = 0; i < a->n; i++) {
        struct deadline d = deadline_in_ms(i == 0 && a->ms ? a->ms : LONG_MS);
        error_clear(&a->err);
        a->rc = ssh_exec(c, "command", &a->io, &d, &st, &a->err);
    }
    a->grown_kib = peak_kib() - before;
    ssh_close(c);
    oddserver_stop(pid);
}

static void refused(enum abuse abuse, const struct ssh_io *io, const char *says)
{
    struct attempt a = {.io = *io, .n = 1, .err = ERROR_INIT};
    run(abuse, &a);
    if (a.rc != -1 || a.err.kind != ERR_SSH || !strstr(a.err.msg, says))
        fail_msg("abuse %d: rc %d, %s", (int)abuse, a.rc, a.err.msg);
    if (a.grown_kib > ROOM_KIB)
        fail_msg("abuse %d: %ld KiB more", (int)abuse, a.grown_kib);
}

static ssize_t zeros(void *ctx, void *buf, size_t size, struct error *err)
{
    (void)ctx;
    (void)err;
    memset(buf, 0, size);
    return (ssize_t)size;
}

static void test_requests_are_counted(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    refused(OPENS, &io, "asks for channels and requests without end");
    refused(REQUESTS, &io, "asks for channels and requests without end");
    struct attempt a = {.io = SSH_IO_INIT, .n = 1, .err = ERROR_INIT};
    run(A_FEW, &a);
    if (a.rc < 0)
        fail_msg("%s", a.err.msg);
}

/* How much of what is sent the kernel keeps for a reader that sleeps. */
static void set_send_buffers(const char *sizes)
{
    _cleanup_close_ int fd = open("/proc/sys/net/ipv4/tcp_wmem", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, sizes, strlen(sizes)), strlen(sizes));
}

static void test_replies_that_nobody_takes(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    oddserver_or_skip();
    set_send_buffers("4096 16384 65536");
    refused(DEAF, &io, "asks for replies without end and takes none");
    set_send_buffers("4096 16384 4194304");
}

static void test_tiny_packets(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    io.source = zeros;
    refused(TINY_PACKET, &io, "too small for SSH");
    refused(TINY_LATER, &io, "opens a channel that is open");
}

static void test_packets_out_of_turn(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    refused(OUT_OF_TURN, &io, "breaks the SSH protocol");
}

static void test_floods_and_deadlines(void **state)
{
    (void)state;
    struct attempt a = {.io = SSH_IO_INIT, .ms = FLOOD_SOON_MS, .n = 1, .err = ERROR_INIT};
    run(FLOOD, &a);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(a.err.msg, "waiting for a channel to the guest"));
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    pid_t pid = oddserver_start(&server, -1);
    assert_int_equal(oddserver_connect(&server, SHORT_MS, &c, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    oddserver_stop(pid);
}

static void test_data_that_nobody_waits_for(void **state)
{
    (void)state;
    struct ssh_io io = SSH_IO_INIT;
    _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    io.stdout_fd = null;
    refused(EARLY_DATA, &io, "output of a command that it has not started");
    struct attempt late = {.io = io, .ms = SHORT_MS, .n = 2, .err = ERROR_INIT};
    run(LATE_DATA, &late);
    if (late.rc < 0)
        fail_msg("%s", late.err.msg);
    if (late.grown_kib > ROOM_KIB)
        fail_msg("%ld KiB more", late.grown_kib);
}

/* Nobody reads our standard output; the server keeps us writing replies. */
static void test_a_reader_that_sleeps(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    struct attempt a = {.io = SSH_IO_INIT, .ms = 8 * SHORT_MS, .n = 1, .err = ERROR_INIT};
    a.io.stdout_fd = p[1];
    run(REPLIES_OF_MUCH, &a);
    (void)close(p[0]);
    (void)close(p[1]);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
    if (a.grown_kib > ROOM_KIB)
        fail_msg("%ld KiB more", a.grown_kib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_counted),
        cmocka_unit_test(test_replies_that_nobody_takes),
        cmocka_unit_test(test_tiny_packets),
        cmocka_unit_test(test_packets_out_of_turn),
        cmocka_unit_test(test_floods_and_deadlines),
        cmocka_unit_test(test_data_that_nobody_waits_for),
        cmocka_unit_test(test_a_reader_that_sleeps),
    };
    return cmocka_run_group_tests(tests, oddserver_open, oddserver_close);
}
