#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "e2e/bed.h"
#include "e2e/bed_internal.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define DNS_MAX 512

/* Runs one batch of `ip` commands in the current namespace. */
static int ip_batch(const char *script, struct error *err)
{
    static const char *const argv[] = {"ip", "-batch", "-", NULL};
    int in[2];
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    if (pipe(in) < 0)
        return error_set(err, ERR_ENV, errno, "pipe");
    _cleanup_close_ int rd = in[0];
    (void)!write(in[1], script, strlen(script));
    (void)close(in[1]);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct deadline d = deadline_in_ms(10000);
    spec.argv = argv;
    spec.stdin_fd = rd;
    if (spawn_run(&spec, &d, 4096, NULL, &errout, &st, err) < 0)
        return -1;
    if (!st.exited || st.code != 0)
        return error_set(err, ERR_ENV, 0, "set up the test network: %s", errout.buf);
    return 0;
}

static int listen_on(int type, const char *address, uint16_t port)
{
    int one = 1;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)inet_pton(AF_INET, address, &sa.sin_addr);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0 ||
        (type == SOCK_STREAM && listen(fd, 16) < 0))
        return -1;
    return fd;
}

/* Every name has the address of the outside; other types exist and have no data. */
static void answer_dns(int fd)
{
    unsigned char q[DNS_MAX + 16];
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    ssize_t n = recvfrom(fd, q, DNS_MAX, 0, (struct sockaddr *)&peer, &len);
    if (n < 17)
        return;
    size_t at = 12;
    while (at < (size_t)n && q[at])
        at += q[at] + 1u;
    if (at + 5 > (size_t)n)
        return;
    bool is_a = q[at + 2] == 1;
    at += 5;
    q[2] = 0x84 | (q[2] & 1); /* answer, authoritative */
    q[3] = 0;
    memset(q + 6, 0, 6);
    q[7] = is_a;
    if (is_a) {
        static const unsigned char head[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4};
        memcpy(q + at, head, sizeof head);
        (void)inet_pton(AF_INET, BED_OUTSIDE, q + at + sizeof head);
        at += sizeof head + 4;
    }
    (void)sendto(fd, q, at, 0, (const struct sockaddr *)&peer, len);
}

/* Says who called and under which address, so that a test sees the translation. */
static void answer_tcp(int listener)
{
    char request[1024], peer[64] = "?", local[64] = "?";
    struct sockaddr_in a, b;
    socklen_t len = sizeof a, len2 = sizeof b;
    _cleanup_close_ int fd = accept4(listener, (struct sockaddr *)&a, &len, SOCK_CLOEXEC);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&b, &len2) < 0)
        return;
    struct timeval limit = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)!read(fd, request, sizeof request);
    (void)inet_ntop(AF_INET, &a.sin_addr, peer, sizeof peer);
    (void)inet_ntop(AF_INET, &b.sin_addr, local, sizeof local);
    (void)dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\npeer=%s local=%s\n", peer,
                  local);
}

static void serve(void) __attribute__((noreturn));
static void serve(void)
{
    struct pollfd p[2] = {{.fd = listen_on(SOCK_DGRAM, "0.0.0.0", 53), .events = POLLIN},
                          {.fd = listen_on(SOCK_STREAM, "0.0.0.0", 80), .events = POLLIN}};
    if (p[0].fd < 0 || p[1].fd < 0)
        _exit(1);
    for (;;) {
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[0].revents)
            answer_dns(p[0].fd);
        if (p[1].revents)
            answer_tcp(p[1].fd);
    }
}

/* The outside's side of the hand-shake: "I have a namespace", wait for the link, serve. */
static void outside_main(int sock) __attribute__((noreturn));
static void outside_main(int sock)
{
    static const char script[] = "link set lo up\n"
                                 "addr add " BED_METADATA "/32 dev lo\n"
                                 "addr add " BED_OUTSIDE "/24 dev out1\n"
                                 "link set out1 up\n";
    struct error err = ERROR_INIT;
    char go;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (unshare(CLONE_NEWNET) < 0 || write(sock, "n", 1) != 1 || read(sock, &go, 1) != 1 ||
        ip_batch(script, &err) < 0 || write(sock, "r", 1) != 1)
        _exit(1);
    (void)close(sock);
    serve();
}

static int join_outside(pid_t pid, int sock, struct error *err)
{
    char script[512], byte;
    (void)str_format(script, sizeof script,
                     "link set lo up\n"
                     "link add out0 type veth peer name out1 netns %d\n"
                     "addr add " BED_HOST "/24 dev out0\n"
                     "link set out0 up\n"
                     "route add default via " BED_OUTSIDE "\n",
                     (int)pid);
    if (read(sock, &byte, 1) != 1)
        return error_set(err, ERR_ENV, 0, "the test's outside namespace can't be made");
    if (ip_batch(script, err) < 0)
        return -1;
    if (write(sock, "g", 1) != 1 || read(sock, &byte, 1) != 1)
        return error_set(err, ERR_ENV, 0, "the test's outside namespace did not come up");
    return 0;
}

pid_t bed_outside_start(struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, ERR_ENV, errno, "socketpair");
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pair[0]);
        outside_main(pair[1]);
    }
    (void)close(pair[1]);
    _cleanup_close_ int sock = pair[0];
    if (pid < 0)
        return error_set(err, ERR_ENV, errno, "fork");
    if (join_outside(pid, sock, err) < 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return -1;
    }
    return pid;
}
