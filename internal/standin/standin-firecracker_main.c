/* standin-firecracker: see standin/standin.h. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "standin/standin.h"
#include "standin/standin_api.h"
#include "standin/standin_fault.h"
#include "standin/standin_http.h"

#define CONNS_MAX 8

struct args {
    const char *api_sock;
    const char *id;
    const char *log_path;
    bool version;
};

static void logf_stdout(const struct standin *s, const char *what)
{
    (void)printf("2026-01-01T00:00:00.000000000 [%s:main] %s\n", s->id, what);
    (void)fflush(stdout);
}

static void die(int code, const char *what, const char *on) __attribute__((noreturn));
static void die(int code, const char *what, const char *on)
{
    (void)fprintf(stderr, "Error: %s%s%s\n", what, *on ? ": " : "", on);
    exit(code);
}

static void parse_args(int argc, char **argv, struct args *out)
{
    static const struct option options[] = {
        {"api-sock", required_argument, NULL, 'a'},
        {"id", required_argument, NULL, 'i'},
        {"log-path", required_argument, NULL, 'l'},
        {"level", required_argument, NULL, 'x'},
        {"metrics-path", required_argument, NULL, 'x'},
        {"show-level", no_argument, NULL, 'x'},
        {"show-log-origin", no_argument, NULL, 'x'},
        {"seccomp-filter", required_argument, NULL, 'x'},
        {"no-seccomp", no_argument, NULL, 'x'},
        {"boot-timer", no_argument, NULL, 'x'},
        {"enable-pci", no_argument, NULL, 'x'},
        {"start-time-us", required_argument, NULL, 'x'}, /* these three are its jailer's */
        {"start-time-cpu-us", required_argument, NULL, 'x'},
        {"parent-cpu-time-us", required_argument, NULL, 'x'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    *out = (struct args){.api_sock = "/run/firecracker.socket", .id = "anonymous-instance"};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == '?')
            exit(STANDIN_EXIT_BAD_ARGS);
        if (c == 'a')
            out->api_sock = optarg;
        if (c == 'i')
            out->id = optarg;
        if (c == 'l')
            out->log_path = optarg;
        out->version |= c == 'v';
    }
    if (optind < argc)
        die(STANDIN_EXIT_BAD_ARGS, "unexpected argument", argv[optind]);
}

static void check_id(const char *id)
{
    size_t n = strlen(id);
    if (n < 1 || n > 64 ||
        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != n)
        die(STANDIN_EXIT_BAD_ARGS, "invalid instance id", id);
}

static void set_version(struct standin *s)
{
    const char *v = fault_get("VERSION");
    if (str_copy(s->version, sizeof s->version, v ? v : "1.14.0") < 0 ||
        sscanf(s->version, "1.%u.", &s->minor) != 1)
        die(1, "CRABBOX_STANDIN_VERSION is not 1.x.y", v);
}

/* The log file is made if it is absent, as the real one does. */
static void open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(STANDIN_EXIT_BAD_CONFIG, "the log file can't be opened", path);
    (void)dprintf(fd, "Running Firecracker stand-in\n");
    (void)close(fd);
}

static int listen_on(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (str_copy(sa.sun_path, sizeof sa.sun_path, path) < 0)
        die(1, "the socket path is too long", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
        die(1, "the API socket is in use or can't be made", path);
    if (listen(fd, 16) < 0)
        die(1, "listen on the API socket", path);
    return fd;
}

/* A request that is not even HTTP as it reads it: no fault_message, and an end of line in a string,
 * which JSON does not allow. */
static void refuse_unread(struct conn *c, const char *why)
{
    char json[256];
    (void)str_format(json, sizeof json,
                     "{ \"error\": \"%s\nAll previous unanswered requests will be dropped.\" }",
                     why);
    (void)http_reply(c, 400, json);
}

/* Answers what has come in; false when the connection is done with. */
static bool serve(struct standin *s, struct conn *c)
{
    struct request r;
    const char *why = "";
    if (!http_fill(c))
        return false;
    for (int n; !c->hung && (n = http_next(c, &r, &why)) != 0;) {
        if (n < 0 || fault_hits("UNREADABLE", &r)) {
            refuse_unread(c, n < 0 ? why : "told to by CRABBOX_STANDIN_UNREADABLE");
            return false;
        }
        if (fault_hits("DIE", &r))
            (void)raise(SIGKILL);
        if (fault_hits("GARBAGE", &r))
            return send(c->fd, "SPAM/9 hello\r\n\r\n", 16, MSG_NOSIGNAL) < 0;
        c->hung = fault_hits("HANG", &r);
        if (c->hung) {
            fault_mark();
            break;
        }
        struct reply reply = api_handle(s, &r);
        _cleanup_free_ char *text = reply.body ? json_print(reply.body, false) : NULL;
        cJSON_Delete(reply.body);
        http_consume(c, &r);
        if (!http_reply(c, reply.status, text))
            return false;
    }
    return true;
}

static void accept_one(int listener, struct conn *conns)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < CONNS_MAX && fd >= 0; i++)
        if (conns[i].fd < 0) {
            conns[i].fd = fd;
            conns[i].len = 0;
            conns[i].hung = false;
            return;
        }
    if (fd >= 0)
        (void)close(fd);
}

static void pump(const struct standin *s, const struct pollfd *p)
{
    if (p[0].revents & POLLIN)
        standin_tap_pump(s->tap_fd, s->guest_tap_fd);
    if (p[1].revents & POLLIN)
        standin_tap_pump(s->guest_tap_fd, s->tap_fd);
}

static void guest_ended(struct standin *s)
{
    bool rebooted = standin_guest_rebooted(s);
    if (rebooted) {
        logf_stdout(s, "Firecracker exiting successfully. exit_code=0");
        exit(0);
    }
    /* Powered off: nothing is left to run, but the process stays, as on x86. */
    (void)close(s->guest_tap_fd);
    s->guest_tap_fd = -1;
}

static void loop(struct standin *s, int listener) __attribute__((noreturn));
static void loop(struct standin *s, int listener)
{
    static struct conn conns[CONNS_MAX];
    struct pollfd p[4 + CONNS_MAX];
    for (int i = 0; i < CONNS_MAX; i++)
        conns[i].fd = -1;
    for (;;) {
        bool wired = s->guest_tap_fd >= 0 && !s->paused;
        p[0] = (struct pollfd){wired ? s->tap_fd : -1, POLLIN, 0};
        p[1] = (struct pollfd){wired ? s->guest_tap_fd : -1, POLLIN, 0};
        p[2] = (struct pollfd){s->guest_pidfd, POLLIN, 0};
        p[3] = (struct pollfd){listener, POLLIN, 0};
        for (int i = 0; i < CONNS_MAX; i++)
            p[4 + i] = (struct pollfd){conns[i].fd, POLLIN, 0};
        if (poll(p, 4 + CONNS_MAX, -1) < 0)
            continue;
        pump(s, p);
        for (int i = 0; i < CONNS_MAX; i++)
            if (p[4 + i].revents && !serve(s, &conns[i]))
                CLOSE_FD(conns[i].fd);
        if (p[3].revents)
            accept_one(listener, conns);
        if (p[2].revents)
            guest_ended(s);
    }
}

int main(int argc, char **argv)
{
    struct args a;
    struct standin s = {.kernel_fd = -1,
                        .initrd_fd = -1,
                        .tap_fd = -1,
                        .console_fd = STDOUT_FILENO,
                        .guest_pidfd = -1,
                        .guest_tap_fd = -1};
    parse_args(argc, argv, &a);
    set_version(&s);
    (void)str_copy(s.id, sizeof s.id, a.id);
    if (a.version) {
        (void)printf("Firecracker v%s\n\n", s.version);
        logf_stdout(&s, "Firecracker exiting successfully. exit_code=0");
        return 0;
    }
    check_id(a.id);
    uint64_t code;
    if (fault_get("EXIT") && str_to_u64(fault_get("EXIT"), &code) == 0)
        die((int)code, "told to end by CRABBOX_STANDIN_EXIT", fault_get("EXIT"));
    if (a.log_path)
        open_log(a.log_path);
    logf_stdout(&s, "Running Firecracker stand-in");
    api_init(&s);
    if (fault_get("NO_SOCKET")) {
        fault_mark();
        for (;;)
            (void)pause();
    }
    loop(&s, listen_on(a.api_sock));
}
