#include "net/pasta.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "net/flows.h"
#include "net/link.h"
#include "net/ns.h"
#include "net/pasta_udp.h"
#include "net/plan.h"
#include "net/record.h"
#include "net/rules.h"
#include "net/tap.h"
#include "net/way.h"
#include "sys/file.h"
#include "sys/program.h"
#include "sys/spawn.h"

#define READY_MS 10000
#define END_MS   5000
#define SAID_MAX 400         /* of its words in a message */
#define LOG_MAX  (64 * 1024) /* it has only just begun */
/* It takes two for each connection of the guest (LIMITS_PASTA_CONNS) and one for each port of UDP,
 * and keeps some ready. */
#define FILES_MAX 1280

bool pasta_is_needed(void)
{
    return geteuid() != 0 && net_check_rights(NULL) < 0;
}

/* ---- the plan ---- */

int pasta_plan(const struct net_request *req, struct net_lease *out, struct error *err)
{
    struct net_lease n = {.mode = NET_PASTA, .slot = pasta_udp_part(), .rates = req->rates};
    struct plan_routes routes;
    struct dns_list dns;
    struct net_view v;
    /* The pool is the host's own; without links there nothing is taken of it. */
    const struct cidr none = {.base = 0, .plen = 32};
    if (plan_common(req, &n, err) < 0 || plan_look_at_routes(none, &routes, err) < 0 ||
        dns_choose(req->dns, &dns, err) < 0)
        return -1;
    plan_guest(&routes, &dns, &n);
    if (net_parse_ipv4(n.guest_addr, &v.guest_addr) < 0)
        return error_set(err, ERR_INTERNAL, 0, "the guest's address");
    net_format_ipv4(v.guest_addr + 3, n.host_addr);
    net_format_ipv4(v.guest_addr + 4, n.lease_addr);
    if (net_view(&n, &v, err) < 0)
        return -1;
    *out = n;
    return 0;
}

/* ---- inside ---- */

struct make {
    const struct net_lease *n;
    struct net_view v;
    struct strbuf hosts;
};

static int add_host_address(const struct route_info *r, void *arg)
{
    struct strbuf *out = arg;
    char addr[NET_ADDR_SIZE];
    if (r->type != RTN_LOCAL || r->gone || r->dst >> 24 == 127)
        return 0;
    net_format_ipv4(r->dst, addr);
    strbuf_addf(out, ", %s/%u", addr, r->plen);
    return 0;
}

/* The host's own addresses. What means "this host" everywhere, and what is nobody's, belongs to
 * them. */
static int list_hosts(struct strbuf *out, struct error *err)
{
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    strbuf_adds(out, "{ 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3");
    if (!sk || route_each(sk, add_host_address, out, err) < 0)
        return -1;
    strbuf_adds(out, " }");
    return 0;
}

static int connect_tap(const struct make *m, struct error *err)
{
    unsigned lo, tap;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || link_index("lo", &lo, err) < 0 || link_index(m->n->tap, &tap, err) < 0 ||
        addr_add(sk, tap, m->v.gateway, 30, true, err) < 0 || link_up(sk, lo, "lo", err) < 0)
        return -1;
    return link_up_mac(sk, tap, m->n->tap, NET_TAP_MAC, err);
}

static int make_inside(void *arg, struct error *err)
{
    struct make *m = arg;
    const struct rules_near near = {.hosts = m->hosts.buf};
    if (ns_no_ipv6("all", err) < 0 || ns_no_ipv6("default", err) < 0 ||
        ns_sysctl_write("net/ipv4/ip_forward", "1", err) < 0 || flows_check(err) < 0 ||
        tap_create(m->n->tap, err) < 0 || rules_add_lease(m->n, &near, err) < 0)
        return -1;
    return connect_tap(m, err);
}

int pasta_make(const struct userns *ns, const struct net_lease *n, struct error *err)
{
    struct make m = {.n = n, .hosts = STRBUF_INIT};
    int r = -1;
    if (net_view(n, &m.v, err) == 0 && list_hosts(&m.hosts, err) == 0)
        r = userns_run(ns, make_inside, &m, err);
    strbuf_free(&m.hosts);
    return r;
}

static int socket_inside(void *arg, int *fds, unsigned max, struct error *err)
{
    (void)arg;
    (void)max;
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fds[0] < 0 ? error_set(err, ERR_SSH, errno, "make a socket in the lease's namespace")
                      : 1;
}

int pasta_socket(const struct userns *ns, struct error *err)
{
    int fd;
    return userns_run_fds(ns, socket_inside, NULL, &fd, 1, err) < 0 ? -1 : fd;
}

static int watch_inside(void *arg, int *fds, unsigned max, struct error *err)
{
    const struct make *m = arg;
    (void)max;
    fds[0] = tap_watch(m->n->tap, m->v.guest_mac, err);
    return fds[0] < 0 ? -1 : 1;
}

int pasta_watch_guest(const struct userns *ns, const struct net_lease *n, struct error *err)
{
    struct make m = {.n = n};
    int fd;
    if (net_view(n, &m.v, err) < 0)
        return -1;
    return userns_run_fds(ns, watch_inside, &m, &fd, 1, err) < 0 ? -1 : fd;
}

int pasta_try(const struct net_request *req, const struct deadline *d, struct error *err)
{
    struct net_lease n;
    _cleanup_userns_ struct userns ns = USERNS_INIT;
    if (pasta_plan(req, &n, err) < 0 || userns_new(d, &ns, err) < 0)
        return -1;
    return pasta_make(&ns, &n, err);
}

/* ---- the program ---- */

int pasta_find(char path[static PATH_MAX], struct error *err)
{
    struct error e = ERROR_INIT;
    if (program_locate(PASTA_PROGRAM, "program", NULL, path, &e) == 0)
        return 0;
    if (e.kind == ERR_ENV && e.sys == ENOENT)
        return error_set(err, ERR_ENV, 0,
                         "without root, guests reach the outside by the program " PASTA_PROGRAM
                         ", which is not installed; next: " PASTA_INSTALL);
    if (err)
        *err = e;
    return -1;
}

int pasta_check_tun(struct error *err)
{
    _cleanup_close_ int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return 0;
    if (errno == EACCES || errno == EPERM)
        return error_set(err, ERR_ENV, errno,
                         "open " TUN_PATH ", by which a guest gets its network; next: as root: "
                         "chmod 0666 " TUN_PATH " (as on other hosts: that gives no right over the "
                         "host's network)");
    return error_set(err, ERR_ENV, errno,
                     "open " TUN_PATH ", by which a guest gets its network; next: as root: "
                     "modprobe tun");
}

int pasta_uplink(char dev[static IF_NAMESIZE], struct error *err)
{
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    return sk ? way_out(sk, dev, err) : -1;
}

/* A FIFO, by which the program says that it has begun: it writes its number there. */
static int make_ready(int dirfd, struct error *err)
{
    if (file_unlink(dirfd, PASTA_READY, err) < 0)
        return -1;
    if (mkfifoat(dirfd, PASTA_READY, 0600) < 0)
        return error_set(err, ERR_IO, errno, "make " PASTA_READY);
    int fd = openat(dirfd, PASTA_READY, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : error_set(err, ERR_IO, errno, "open " PASTA_READY);
}

static int limit(pid_t pid, struct error *err)
{
    struct rlimit now;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &now) < 0)
        return error_set(err, ERR_ENV, errno, "look at the limits of " PASTA_PROGRAM);
    rlim_t max = now.rlim_max < FILES_MAX ? now.rlim_max : FILES_MAX;
    if (prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){max, max}, NULL) < 0)
        return error_set(err, ERR_ENV, errno, "limit what " PASTA_PROGRAM " may take");
    return 0;
}

static int begin(const struct pasta_job *job, const char *path, const char *dev, int said,
                 struct child *child, struct error *err)
{
    char holder[24];
    struct proc_ref proc;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    (void)str_format(holder, sizeof holder, "%d", (int)job->ns->holder);
    /* One address family, one way, and nothing that leads in or to the host's loopback. */
    const char *const argv[] = {path,
                                "--foreground",
                                "--quiet",
                                "--ipv4-only",
                                "--config-net",
                                "--no-netns-quit",
                                "--ns-ifname",
                                NET_UPLINK,
                                "--address",
                                job->n->lease_addr,
                                "--netmask",
                                "30",
                                "--gateway",
                                job->n->host_addr,
                                "--outbound-if4",
                                dev,
                                "--no-map-gw",
                                "--no-dhcp",
                                "--tcp-ports",
                                "none",
                                "--udp-ports",
                                "none",
                                "--tcp-ns",
                                "none",
                                "--udp-ns",
                                "none",
                                "--log-file",
                                PASTA_LOG,
                                "--pid",
                                PASTA_READY,
                                holder,
                                NULL};
    spec.argv = argv;
    spec.stderr_fd = said;
    spec.cwd_fd = job->dirfd;
    spec.new_session = true;
    spec.held = true;
    if (spawn(&spec, child, err) < 0)
        return -1;
    if (limit(child->pid, err) < 0 || proc_ref_of(child->pid, &proc, err) < 0 ||
        job->started(job->ctx, &proc, err) < 0)
        return -1;
    return spawn_release(child, path, err);
}

static int say_ended(int dirfd, int said, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (lseek(said, 0, SEEK_SET) == 0)
        (void)fd_read_all(said, LOG_MAX, PASTA_PROGRAM, &text, NULL);
    (void)file_read_at(dirfd, PASTA_LOG, LOG_MAX, &text, NULL);
    text_flatten(&text, SAID_MAX);
    return error_set(err, ERR_NET, 0,
                     PASTA_PROGRAM " ended before the guest had its way out: %s; next: look at "
                                   "what it says, or put sudo before crabbox-fc",
                     text.len ? text.buf : "it said nothing");
}

static int wait_ready(const struct pasta_job *job, int ready, int said, const struct child *child,
                      struct error *err)
{
    const struct deadline d = deadline_sub(job->deadline, READY_MS);
    struct pollfd p[2] = {{.fd = ready, .events = POLLIN}, {.fd = child->pidfd, .events = POLLIN}};
    if (deadline_poll(p, 2, &d, PASTA_PROGRAM " to begin", err) < 0)
        return -1;
    return p[0].revents & POLLIN ? 0 : say_ended(job->dirfd, said, err);
}

int pasta_start(const struct pasta_job *job, struct error *err)
{
    char path[PATH_MAX], dev[IF_NAMESIZE];
    struct child child = CHILD_INIT;
    int up = pasta_uplink(dev, err);
    if (up <= 0)
        return up;
    _cleanup_close_ int said = memfd_create(PASTA_PROGRAM, MFD_CLOEXEC);
    _cleanup_close_ int ready = pasta_find(path, err) < 0 ? -1 : make_ready(job->dirfd, err);
    if (ready < 0)
        return -1;
    if (begin(job, path, dev, said, &child, err) < 0 ||
        wait_ready(job, ready, said, &child, err) < 0) {
        child_kill(&child);
        return -1;
    }
    child_release(&child);
    return file_unlink(job->dirfd, PASTA_READY, err) < 0 ? -1 : 1;
}

int pasta_end(const struct proc_ref *proc, int dirfd, struct error *err)
{
    struct error e = ERROR_INIT;
    struct deadline d = deadline_in_ms(END_MS);
    _cleanup_close_ int fd = proc->pid > 0 ? proc_open(proc, &e) : -1;
    if (fd < 0 && proc->pid > 0 && e.kind != ERR_NOT_RUNNING) {
        if (err)
            *err = e;
        return error_prefix(err, "end " PASTA_PROGRAM);
    }
    if (fd >= 0 && (pidfd_signal(fd, SIGKILL, err) < 0 || pidfd_wait(fd, &d, err) < 0))
        return error_prefix(err, "end " PASTA_PROGRAM);
    return file_unlink(dirfd, PASTA_READY, err) < 0 ? -1 : file_unlink(dirfd, PASTA_LOG, err);
}
