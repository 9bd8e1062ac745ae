#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "guest/guest.h"
#include "guest/init.h"
#include "guest/netconf.h"
#include "guest/seed.h"
#include "guest/sshd.h"
#include "ssh/ssh.h"
#include "standin/standin.h"
#include "standin/standin_fault.h"

/* What init_main.c offers to the rest of the guest code, here for a guest without a kernel. */
static int64_t started_ms;
static char boot_args[2048];

static int64_t monotonic_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t boot_ms(void)
{
    return monotonic_ms() - started_ms;
}

void console(const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)dprintf(STDERR_FILENO, "crabbox-init: %s\n", text);
}

int cmdline_value(const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    _cleanup_free_ char *copy = xstrdup(boot_args);
    char *rest = copy, *word;
    while ((word = strsep(&rest, " \n")))
        if (strncmp(word, name, len) == 0 && word[len] == '=')
            return str_copy(out, size, word + len + 1);
    return -1;
}

/* ---- the seed ---- */

/* The seed is the drive with a seed on it, as the real init finds it. */
static int find_seed(const struct standin *s, struct seed *seed, struct error *err)
{
    for (unsigned i = 0; i < s->n_drives; i++) {
        error_clear(err);
        if (seed_read(s->drives[i].fd, seed, err) == 0)
            return 0;
        if (err->kind != ERR_NOT_FOUND)
            return error_prefix(err, "drive %s", s->drives[i].id);
    }
    return error_set(err, ERR_NOT_FOUND, 0, "no drive is an ISO9660 volume labelled cidata");
}

/* Another host key in the place of the seed's. */
static int swap_hostkey(struct seed *seed, struct error *err)
{
    char line[SSH_PUBKEY_SIZE];
    struct strbuf pem = STRBUF_INIT;
    if (ssh_key_generate(&pem, line, err) < 0)
        return -1;
    free(seed->host_private);
    seed->host_private = strbuf_detach(&pem);
    return 0;
}

/* Turns the seed into what a misbehaving guest would have made of it. */
static int spoil_seed(struct seed *seed, struct error *err)
{
    bool ignore = fault_is("GUEST", "ignore-seed");
    if (fault_is("GUEST", "nonce"))
        for (unsigned i = 0; i < seed->nfiles; i++)
            if (str_has_suffix(seed->files[i].path, "/nonce"))
                memset(seed->files[i].content, '0', strcspn(seed->files[i].content, "\n"));
    if (ignore)
        seed->net.naddrs = seed->net.nroutes = 0;
    if (ignore || fault_is("GUEST", "hostkey"))
        return swap_hostkey(seed, err);
    return 0;
}

/* ---- PID 1 ---- */

/* Hands the guest's tap to the stand-in and waits until it has everything. End of file means that
 * the stand-in died before the parent-death signal was armed. */
static int give_tap(int sock, int tap, struct error *err)
{
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.h = {.cmsg_len = CMSG_LEN(sizeof(int)),
                       .cmsg_level = SOL_SOCKET,
                       .cmsg_type = SCM_RIGHTS}};
    char go = 0;
    struct iovec iov = {&go, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    memcpy(CMSG_DATA(&control.h), &tap, sizeof tap);
    if (sendmsg(sock, &msg, MSG_NOSIGNAL) != 1 || read(sock, &go, 1) != 1)
        return error_set(err, ERR_VMM, errno, "hand over the guest's tap");
    return 0;
}

/* A directory as the initrd has it, with no module in it. */
static int no_modules(void)
{
    int dir = -1;
    if (mkdir(GUEST_RUN_DIR "/modules", 0700) == 0)
        dir = open(GUEST_RUN_DIR "/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int list = dir < 0 ? -1 : openat(dir, "modules.list", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (list >= 0)
        (void)close(list);
    return dir;
}

/* Ten megabytes of serial output, as a guest with a broken driver writes it. */
static void chatter(void)
{
    char line[101];
    memset(line, 'x', sizeof line);
    line[100] = '\n';
    for (int i = 0; i < 10 * 1024 * 1024 / 101; i++)
        (void)!write(STDOUT_FILENO, line, sizeof line);
}

/* A script in the place of a program of the guest's. What is below the overlay stays as it is. */
static int replace_program(const char *path, const char *script, struct error *err)
{
    size_t len = strlen(script);
    (void)unlink(path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (fd < 0 || write(fd, script, len) != (ssize_t)len)
        return error_set(err, ERR_IO, errno, "put a script in the place of %s", path);
    return 0;
}

static int put_sleeper(struct error *err)
{
    const char *name = fault_get("SLEEPER");
    _cleanup_free_ char *path = xasprintf("/usr/bin/%s", name ? name : "");
    return name ? replace_program(path, "#!/bin/sh\nexec sleep 9292\n", err) : 0;
}

static int put_server(struct error *err)
{
    static const char script[] =
        "#!/bin/sh\nset -e\ndropbearconvert openssh dropbear " GUEST_HOSTKEY " " GUEST_HOSTKEY
        ".dropbear\nexec dropbear -F -E -s -p 22 -r " GUEST_HOSTKEY ".dropbear\n";
    return fault_is("SERVER", "dropbear") ? replace_program(guest_sshd_argv[0], script, err) : 0;
}

static int bring_up(const struct seed *seed, struct error *err)
{
    if (standin_root_enter(err) < 0 || put_sleeper(err) < 0 || put_server(err) < 0)
        return -1;
    if (sethostname(seed->hostname, strlen(seed->hostname)) < 0)
        return error_set(err, ERR_IO, errno, "set the host name");
    if (fault_is("GUEST", "silent"))
        return netconf_loopback(err) < 0 ? -1 : guest_setup("/", seed, err);
    if (seed->has_net ? netconf_apply(&seed->net, err) < 0 : netconf_loopback(err) < 0)
        return -1;
    return guest_setup("/", seed, err);
}

/* Waits to be told to end, with no SSH server. */
static void wait_for_the_end(void)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)sigwait(&set, &sig);
}

/* Only the console and `sock` (which becomes descriptor 3) stay open: the API's connections and
 * the lease's tap are not the guest's. */
static void take_console(const struct standin *s, int *sock)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)dup2(s->console_fd, STDOUT_FILENO);
    (void)dup2(s->console_fd, STDERR_FILENO);
    (void)dup2(null, STDIN_FILENO);
    if (*sock != 3)
        (void)dup3(*sock, 3, O_CLOEXEC);
    *sock = 3;
    (void)close_range(4, ~0u, 0);
}

static int boot(const struct standin *s, int sock, struct seed *seed, struct error *err)
{
    bool seen = find_seed(s, seed, err) == 0;
    struct error seed_err = *err;
    take_console(s, &sock);
    console("start");
    _cleanup_close_ int tap = standin_tap_make("eth0", s->mac, err);
    if (tap < 0 || give_tap(sock, tap, err) < 0)
        return -1;
    if (!seen) {
        *err = seed_err;
        return -1;
    }
    if (fault_is("GUEST", "chatty"))
        chatter();
    if (fault_is("GUEST", "panic"))
        return error_set(err, ERR_VMM, 0, "Kernel panic - not syncing: as asked for");
    if (spoil_seed(seed, err) < 0)
        return -1;
    return bring_up(seed, err);
}

static void guest_main(const struct standin *s, int sock) __attribute__((noreturn));
static void guest_main(const struct standin *s, int sock)
{
    struct error err = ERROR_INIT;
    struct seed seed = {0};
    started_ms = monotonic_ms();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getpid() != 1)
        _exit(1); /* the guest code ends "the machine": it must never be the real one */
    power_block_signals();
    if (boot(s, sock, &seed, &err) < 0) {
        console("fatal: %s", err.msg);
        power_off();
    }
    console("times ready=%lld", (long long)boot_ms());
    seed_free(&seed);
    if (fault_is("GUEST", "deaf"))
        wait_for_the_end();
    else
        power_loop(power_start_server(), no_modules(), NULL); /* its clock is the host's */
    power_off();
}

/* ---- the stand-in's side ---- */

static int take_tap(int sock, int *tap, struct error *err)
{
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
        return error_set(err, ERR_VMM, 0, "the guest did not start: see its console");
    memcpy(tap, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof *tap);
    (void)!write(sock, "", 1);
    return 0;
}

/* fork into new namespaces. SIGINT is blocked across it, so that an early Ctrl-Alt-Del waits until
 * the guest can take it. */
static pid_t clone_guest(int *pidfd)
{
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, &old);
    const unsigned long flags = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS |
                                CLONE_NEWIPC | CLONE_PIDFD | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, pidfd, NULL, NULL);
    if (pid != 0)
        (void)sigprocmask(SIG_SETMASK, &old, NULL);
    return pid;
}

int standin_guest_start(struct standin *s, struct error *err)
{
    int pair[2];
    if (s->tap_fd < 0)
        return error_set(err, ERR_VMM, 0, "the stand-in serves no guest without a network");
    const cJSON *boot_source = cJSON_GetObjectItem(s->config, "boot-source");
    (void)str_copy(boot_args, sizeof boot_args, json_opt_string(boot_source, "boot_args", ""));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, ERR_VMM, errno, "start the guest");
    _cleanup_close_ int ours = pair[0];
    _cleanup_close_ int theirs = pair[1];
    s->guest_pid = clone_guest(&s->guest_pidfd);
    if (s->guest_pid < 0)
        return error_set(err, ERR_VMM, errno, "start the guest in namespaces of its own");
    if (s->guest_pid == 0)
        guest_main(s, theirs);
    CLOSE_FD(theirs);
    return take_tap(ours, &s->guest_tap_fd, err);
}

void standin_guest_ctrl_alt_del(const struct standin *s)
{
    (void)syscall(SYS_pidfd_send_signal, s->guest_pidfd, SIGINT, NULL, 0);
}

bool standin_guest_rebooted(struct standin *s)
{
    siginfo_t info = {0};
    (void)waitid(P_PIDFD, (id_t)s->guest_pidfd, &info, WEXITED);
    (void)close(s->guest_pidfd);
    s->guest_pidfd = -1;
    /* How the kernel tells of reboot(2) in a pid namespace: SIGINT for off, SIGHUP for restart. */
    return !(info.si_code == CLD_KILLED && info.si_status == SIGINT);
}
