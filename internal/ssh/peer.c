/* peer.c: what a server can make libssh do for it, and where that ends.
 *
 * libssh trusts the server it has logged in to. Each bound here is far beyond what an honest server
 * comes near, and each is a lost connection with its reason: a server that goes beyond is not one.
 */
#include <libssh/server.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/conn.h"

enum {
    ASKED_MAX = 100,       /* requests during one command; OpenSSH makes one or two */
    BACKLOG_MAX = 1 << 20, /* bytes, mostly replies, that it does not take; ours are 32 KiB */
    PACKET_EXTRA = 24,
    PACKET_MIN = 1024, /* RFC 4253 6.1 has 32768 */
};

/* Without this libssh keeps each of them for ever, for a caller of ssh_message_get. 1: refuse it in
 * the default way. */
static int refuse(ssh_session session, ssh_message message, void *ctx)
{
    (void)session;
    (void)message;
    ((struct conn *)ctx)->asked++;
    return 1;
}

static int drop(ssh_session session, ssh_channel ch, void *data, uint32_t len, int is_stderr,
                void *ctx)
{
    (void)session;
    (void)ch;
    (void)data;
    (void)is_stderr;
    (void)ctx;
    return (int)len;
}

void conn_guard(struct conn *c)
{
    c->drop = (struct ssh_channel_callbacks_struct){.channel_data_function = drop};
    ssh_callbacks_init(&c->drop);
    c->packet_max = UINT32_MAX;
    ssh_set_message_callback(c->session, refuse, c);
    ssh_set_counters(c->session, &c->wire, &c->packets);
}

void conn_begin(struct conn *c)
{
    c->asked = 0;
    c->packet_max = UINT32_MAX;
}

/* No call tells a channel's maximum packet, and libssh 0.10 writes empty packets without end where
 * it is 10 (it takes 10 off for a header). But libssh writes it into its log when the server
 * confirms the channel, and complains there when it confirms it again, with another maximum. Where
 * these words are missing, that is a newer libssh, which needs no care. */
static void read_log(int priority, const char *function, const char *text, void *ctx)
{
    static const char key[] = "maxpacket : ";
    struct conn *c = ctx;
    if (!c || strcmp(function, "ssh_packet_channel_open_conf") != 0)
        return;
    /* A channel that we gave up before it was confirmed; any server may be late. */
    if (strstr(text, "nknown channel"))
        return;
    const char *at = strstr(text, key);
    unsigned long n = at ? strtoul(at + sizeof key - 1, NULL, 10) : UINT32_MAX;
    if (n < c->packet_max)
        c->packet_max = (uint32_t)n;
    if (priority <= SSH_LOG_WARN)
        c->confirmed_again = true;
}

void conn_watch_open(struct conn *c)
{
    (void)ssh_set_log_userdata(c);
    (void)ssh_set_log_callback(read_log);
    (void)ssh_set_log_level(SSH_LOG_PROTOCOL);
}

void conn_watch_rest(void)
{
    (void)ssh_set_log_level(SSH_LOG_WARN);
}

void conn_watch_end(void)
{
    (void)ssh_set_log_level(SSH_LOG_NOLOG);
    (void)ssh_set_log_userdata(NULL);
}

static int distrust(const struct conn *c, const char *why, struct error *err)
{
    return error_set(err, ERR_SSH, 0,
                     "the guest (%s) %s: its SSH server can't be trusted; next: stop the lease",
                     c->peer, why);
}

/* How many bytes wait in libssh for the server to take them, at the least: it adds 24 bytes or more
 * to each message. Where some of that is more, the result is less, never the other way round. */
static int64_t backlog(struct conn *c)
{
    uint64_t made = c->packets.out_bytes + PACKET_EXTRA * c->packets.out_packets;
    int64_t left = (int64_t)(made - c->wire.out_bytes);
    if (left < c->least_left)
        c->least_left = left;
    return left - c->least_left;
}

/* After a packet that it refuses libssh does nothing more in this session, but stays connected and
 * keeps up to 256 MiB of what comes. */
static bool gave_up(const struct conn *c)
{
    return ssh_is_connected(c->session) && ssh_get_status(c->session) & SSH_CLOSED_ERROR;
}

int conn_check(struct conn *c, struct error *err)
{
    if (gave_up(c))
        return distrust(c, "breaks the SSH protocol", err);
    if (c->asked > ASKED_MAX)
        return distrust(c, "asks for channels and requests without end", err);
    if (backlog(c) > BACKLOG_MAX)
        return distrust(c, "asks for replies without end and takes none", err);
    if (c->packet_max < PACKET_MIN)
        return distrust(c, "takes only packets that are too small for SSH", err);
    if (c->confirmed_again)
        return distrust(c, "opens a channel that is open", err);
    return 0;
}

void conn_drop_data(struct conn *c, ssh_channel ch)
{
    (void)ssh_set_channel_callbacks(ch, &c->drop);
}
