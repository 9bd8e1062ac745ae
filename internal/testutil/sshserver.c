#include "testutil/sshserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "sys/file.h"

#define HOST_KEY_PEM      "/run/hostkey.pem"
#define HOST_KEY_DROPBEAR "/run/hostkey.dropbear"
#define PASSWD                                                                                     \
    "root:*:0:0:root:/run/home:/bin/sh\n"                                                          \
    "tester:*:0:0:tester:/run/home:/bin/sh\n"                                                      \
    "sshd:*:65534:65534::/run:/usr/sbin/nologin\n"

static int put(const char *path, const char *text, mode_t mode, struct error *err)
{
    return file_write_new(AT_FDCWD, path, text, strlen(text), mode, err);
}

static int make_key(const char *path, char pub[static SSH_PUBKEY_SIZE], struct error *err)
{
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    if (ssh_key_generate(&pem, pub, err) < 0)
        return -1;
    return put(path, pem.buf, 0600, err);
}

/* The user exists in the sandbox only: a passwd of our own is mounted over the machine's. */
static int make_user(const char *client_pub, struct error *err)
{
    _cleanup_free_ char *keys = xasprintf("%s test\n", client_pub);
    if (dir_make_all("/run/home/.ssh", 0700, err) < 0 || dir_make_all("/run/sshd", 0755, err) < 0 ||
        put("/run/home/.ssh/authorized_keys", keys, 0600, err) < 0 ||
        put("/run/passwd", PASSWD, 0644, err) < 0)
        return -1;
    if (mount("/run/passwd", "/etc/passwd", NULL, MS_BIND, NULL) < 0)
        return error_set(err, ERR_ENV, errno, "mount a passwd for the test");
    return 0;
}

static int run(const char *const *argv, struct error *err)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct deadline d = deadline_in_ms(10000);
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    spec.argv = argv;
    if (spawn_run(&spec, &d, 4096, NULL, &errout, &st, err) < 0)
        return -1;
    if (!st.exited || st.code)
        return error_set(err, ERR_ENV, 0, "%s: %s", argv[0], errout.buf);
    return 0;
}

int sshserver_prepare(struct sshserver *s, struct error *err)
{
    char stranger_pub[SSH_PUBKEY_SIZE];
    *s = (struct sshserver){
        .client_key = "/run/client.pem", .stranger_key = "/run/stranger.pem", .child = CHILD_INIT};
    if (make_key(s->client_key, s->client_pub, err) < 0 ||
        make_key(s->stranger_key, stranger_pub, err) < 0 ||
        make_key(HOST_KEY_PEM, s->host_key, err) < 0 || make_user(s->client_pub, err) < 0)
        return -1;
    return run((const char *const[]){"dropbearconvert", "openssh", "dropbear", HOST_KEY_PEM,
                                     HOST_KEY_DROPBEAR, NULL},
               err);
}

int sshserver_launch(struct sshserver *s, bool dropbear, uint16_t port, struct error *err)
{
    char at[32];
    char port_text[16];
    (void)snprintf(at, sizeof at, "127.0.0.1:%u", port);
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    const char *const dropbear_argv[] = {
        "dropbear",        "-F", "-E", "-s", "-p", at, "-P", "/run/dropbear.pid", "-r",
        HOST_KEY_DROPBEAR, NULL};
    const char *const sshd_argv[] = {"/usr/sbin/sshd",
                                     "-D",
                                     "-e",
                                     "-f",
                                     "/dev/null",
                                     "-p",
                                     port_text,
                                     "-h",
                                     HOST_KEY_PEM,
                                     "-o",
                                     "ListenAddress=127.0.0.1",
                                     "-o",
                                     "UsePAM=no",
                                     "-o",
                                     "PidFile=none",
                                     "-o",
                                     "PermitRootLogin=yes",
                                     "-o",
                                     "StrictModes=no",
                                     NULL};
    _cleanup_close_ int log = open("/run/sshserver.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                                   0600);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = dropbear ? dropbear_argv : sshd_argv;
    spec.stderr_fd = log;
    spec.die_with_parent = true;
    spec.new_session = true;
    s->port = port;
    return spawn(&spec, &s->child, err);
}

int sshserver_serve(int fd, struct child *out, struct error *err)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = (const char *const[]){"dropbear", "-i", "-s", "-r", HOST_KEY_DROPBEAR, NULL};
    spec.stdin_fd = spec.stdout_fd = fd;
    spec.die_with_parent = true;
    return spawn(&spec, out, err);
}

static bool listens(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
}

int sshserver_start(struct sshserver *s, bool dropbear, uint16_t port, struct error *err)
{
    if (sshserver_launch(s, dropbear, port, err) < 0)
        return -1;
    for (int64_t end = clock_boot_ms() + 10000; !listens(port);) {
        struct pollfd p = {.fd = s->child.pidfd, .events = POLLIN};
        if (clock_boot_ms() > end || poll(&p, 1, 5) > 0) {
            sshserver_stop(s);
            return error_set(err, ERR_ENV, 0, "the test's SSH server does not listen");
        }
    }
    return 0;
}

void sshserver_stop(struct sshserver *s)
{
    child_kill(&s->child);
}

struct ssh_target sshserver_target(const struct sshserver *s)
{
    return (struct ssh_target){.host = "127.0.0.1",
                               .port = s->port,
                               .user = "tester",
                               .key_file = s->client_key,
                               .host_key = s->host_key};
}

struct ssh_conn *sshserver_connect(const struct sshserver *s)
{
    struct ssh_target t = sshserver_target(s);
    struct deadline d = deadline_in_ms(10000);
    struct ssh_conn *c = NULL;
    struct error err = ERROR_INIT;
    if (ssh_connect_to(&t, &d, &c, &err) < 0)
        fail_msg("connect: %s", err.msg);
    return c;
}
