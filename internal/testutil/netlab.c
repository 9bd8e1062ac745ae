#include "testutil/netlab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/link.h"
#include "net/nft.h"
#include "net/ns.h"
#include "net/record.h"
#include "sys/deadline.h"

#define FRAME_SIZE 65600

static void must(int r, const struct error *err, const char *what)
{
    if (r < 0)
        fail_msg("lab: %s: %s", what, err->msg[0] ? err->msg : strerror(errno));
}

static int link_lo_up(void *arg, struct error *err)
{
    (void)arg;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    return sk ? link_up(sk, if_nametoindex("lo"), "lo", err) : -1;
}

bool lab_enter(void)
{
    struct error err = ERROR_INIT;
    return unshare(CLONE_NEWNET) == 0 && link_lo_up(NULL, &err) == 0;
}

static void test_needs_a_network_namespace(void **state)
{
    (void)state;
    const char *ci = getenv("CI");
    if (ci && ci[0])
        fail_msg("no network namespace to test in: run as root");
    skip();
}

int lab_refuse(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_needs_a_network_namespace)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An address and "up" for one link of a namespace; the default route when `gateway` is set. */
struct setup {
    const char *link, *addr, *gateway;
    unsigned plen;
    const uint8_t *mac;
};

static int set_up(void *arg, struct error *err)
{
    const struct setup *s = arg;
    uint32_t addr, gateway;
    unsigned index = if_nametoindex(s->link);
    if (net_parse_ipv4(s->addr, &addr) < 0 || index == 0)
        return error_set(err, ERR_INTERNAL, 0, "set up %s %s", s->link, s->addr);
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || addr_add(sk, index, addr, s->plen, true, err) < 0)
        return -1;
    if ((s->mac ? link_up_mac(sk, index, s->link, s->mac, err) : link_up(sk, index, s->link, err)) <
        0)
        return -1;
    if (!s->gateway || net_parse_ipv4(s->gateway, &gateway) < 0)
        return 0;
    return route_add(sk, 0, 0, gateway, index, err);
}

struct setting {
    const char *path, *value;
};

static int write_setting(void *arg, struct error *err)
{
    const struct setting *s = arg;
    return ns_sysctl_write(s->path, s->value, err);
}

void lab_sysctl(int ns, const char *path, const char *value)
{
    struct error err = ERROR_INIT;
    struct setting s = {path, value};
    must(ns_run(ns, write_setting, &s, &err), &err, path);
}

static void set_up_in(int ns, struct setup s)
{
    struct error err = ERROR_INIT;
    must(ns_run(ns, set_up, &s, &err), &err, s.link);
}

static int here(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("lab: own namespace: %s", strerror(errno));
    return fd;
}

void lab_up(struct lab *lab)
{
    struct error err = ERROR_INIT;
    lab->here = here();
    lab->outside = ns_new(&err);
    must(lab->outside, &err, "outside");
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    must(sk ? 0 : -1, &err, "netlink");
    struct veth_spec spec = {.name = "wan0",
                             .mac = {2, 0, 0, 0, 1, 1},
                             .peer_name = "net0",
                             .peer_mac = {2, 0, 0, 0, 1, 2},
                             .peer_ns = lab->outside};
    must(link_add_veth(sk, &spec, &err), &err, "wan0");
    must(ns_run(lab->outside, link_lo_up, NULL, &err), &err, "outside lo");
    set_up_in(lab->outside, (struct setup){.link = "net0", .addr = LAB_OUTSIDE, .plen = 30});
    set_up_in(lab->here,
              (struct setup){.link = "wan0", .addr = LAB_HOST, .plen = 30, .gateway = LAB_OUTSIDE});
    lab_sysctl(lab->here, "net/ipv4/conf/wan0/forwarding", "1");
}

void lab_down(struct lab *lab)
{
    struct error err = ERROR_INIT;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    must(sk ? link_delete(sk, if_nametoindex("wan0"), "wan0", &err) : -1, &err, "remove wan0");
    CLOSE_FD(lab->here);
    CLOSE_FD(lab->outside);
}

static int add_addr(void *arg, struct error *err)
{
    const struct setup *s = arg;
    uint32_t addr;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || net_parse_ipv4(s->addr, &addr) < 0)
        return -1;
    return addr_add(sk, if_nametoindex(s->link), addr, s->plen, true, err);
}

void lab_add_addr(int ns, const char *link, const char *addr)
{
    struct error err = ERROR_INIT;
    struct setup s = {.link = link, .addr = addr, .plen = 32};
    must(ns_run(ns, add_addr, &s, &err), &err, addr);
}

/* Attaches to a tap of the calling thread's namespace as a VMM does, making it if it is not there.
 */
static int open_tap(void *arg, struct error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    (void)str_copy(ifr.ifr_name, sizeof ifr.ifr_name, arg);
    _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
        return error_set(err, ERR_NET, errno, "attach to tap %s", ifr.ifr_name);
    return TAKE_FD(fd);
}

static void *pump(void *arg)
{
    struct lab_guest *g = arg;
    static _Thread_local uint8_t frame[FRAME_SIZE];
    struct pollfd fds[3] = {{.fd = g->tap[0], .events = POLLIN},
                            {.fd = g->tap[1], .events = POLLIN},
                            {.fd = g->stop, .events = POLLIN}};
    while (poll(fds, 3, -1) >= 0 && !fds[2].revents)
        for (int i = 0; i < 2; i++) {
            ssize_t n;
            if (fds[i].revents & (POLLERR | POLLNVAL))
                return NULL; /* the link is gone */
            while (fds[i].revents && (n = read(fds[i].fd, frame, sizeof frame)) > 0)
                if (write(fds[!i].fd, frame, (size_t)n) < 0)
                    break; /* a frame may be lost, as on any link */
        }
    return NULL;
}

void lab_guest_start(struct lab_guest *g, int lease_ns, const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct net_view v;
    char name[] = "eth0", tap[IF_NAMESIZE];
    (void)str_copy(tap, sizeof tap, n->tap);
    must(net_view(n, &v, &err), &err, "record");
    g->ns = ns_new(&err);
    must(g->ns, &err, "guest");
    g->tap[0] = ns_run(lease_ns, open_tap, tap, &err);
    must(g->tap[0], &err, "lease tap");
    g->tap[1] = ns_run(g->ns, open_tap, name, &err);
    must(g->tap[1], &err, "guest tap");
    g->stop = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(pthread_create(&g->pump, NULL, pump, g), 0);
    must(ns_run(g->ns, link_lo_up, NULL, &err), &err, "guest lo");
    set_up_in(g->ns, (struct setup){.link = name,
                                    .addr = n->guest_addr,
                                    .plen = 30,
                                    .gateway = n->gateway,
                                    .mac = v.guest_mac});
}

void lab_guest_stop(struct lab_guest *g)
{
    uint64_t one = 1;
    assert_int_equal(write(g->stop, &one, sizeof one), sizeof one);
    assert_int_equal(pthread_join(g->pump, NULL), 0);
    CLOSE_FD(g->tap[0]);
    CLOSE_FD(g->tap[1]);
    CLOSE_FD(g->stop);
    CLOSE_FD(g->ns);
}

struct sock_job {
    int family, type, protocol;
    const char *addr;
    uint16_t port;
    const char *link;
};

static struct sockaddr_in to_sockaddr(const char *addr, uint16_t port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, addr, &sin.sin_addr) != 1)
        fail_msg("lab: address %s", addr);
    return sin;
}

/* A socket belongs for good to the namespace of the thread that made it. */
static int make_socket(void *arg, struct error *err)
{
    const struct sock_job *j = arg;
    int one = 1;
    _cleanup_close_ int fd = socket(j->family, j->type | SOCK_CLOEXEC | SOCK_NONBLOCK, j->protocol);
    if (fd < 0)
        return error_set(err, ERR_NET, errno, "socket");
    if (j->link) {
        struct sockaddr_ll ll = {.sll_family = AF_PACKET,
                                 .sll_protocol = htons(ETH_P_ALL),
                                 .sll_ifindex = (int)if_nametoindex(j->link)};
        if (bind(fd, (struct sockaddr *)&ll, sizeof ll) < 0)
            return error_set(err, ERR_NET, errno, "bind to %s", j->link);
    }
    if (j->addr) {
        struct sockaddr_in sin = to_sockaddr(j->addr, j->port);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 ||
            (j->type == SOCK_STREAM && listen(fd, 8) < 0))
            return error_set(err, ERR_NET, errno, "bind to %s:%u", j->addr, j->port);
    }
    return TAKE_FD(fd);
}

static int socket_in(int ns, struct sock_job j)
{
    struct error err = ERROR_INIT;
    int fd = ns_run(ns, make_socket, &j, &err);
    must(fd, &err, "socket");
    return fd;
}

int lab_socket(int ns, int type, const char *addr, uint16_t port)
{
    return socket_in(
        ns, (struct sock_job){.family = AF_INET, .type = type, .addr = addr, .port = port});
}

int lab_client(int ns)
{
    return socket_in(ns, (struct sock_job){.family = AF_INET, .type = SOCK_STREAM});
}

int lab_packet_socket(int ns, const char *link)
{
    return socket_in(
        ns, (struct sock_job){
                .family = AF_PACKET, .type = SOCK_RAW, .protocol = htons(ETH_P_ALL), .link = link});
}

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static bool udp_reaches(int fd, int server, const char *addr, uint16_t port, int wait_ms,
                        char *peer)
{
    static unsigned serial;
    char text[32], got[64];
    int len = snprintf(text, sizeof text, "probe %u", ++serial);
    struct sockaddr_in to = to_sockaddr(addr, port), from = {.sin_family = AF_INET};
    if (sendto(fd, text, (size_t)len, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return false;
    struct deadline d = deadline_in_ms(wait_ms);
    /* Late ones of earlier probes are read and passed over. */
    while (readable(server, deadline_poll_ms(&d))) {
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(server, got, sizeof got, 0, (struct sockaddr *)&from, &size);
        if (n != len || memcmp(got, text, (size_t)len) != 0)
            continue;
        if (peer)
            net_format_ipv4(ntohl(from.sin_addr.s_addr), peer);
        return true;
    }
    return false;
}

bool lab_udp_reaches(int ns, int server, const char *addr, uint16_t port, int wait_ms, char *peer)
{
    _cleanup_close_ int fd = lab_socket(ns, SOCK_DGRAM, NULL, 0);
    return udp_reaches(fd, server, addr, port, wait_ms, peer);
}

bool lab_udp_from(int ns, const char *from, int server, const char *addr, uint16_t port,
                  int wait_ms)
{
    _cleanup_close_ int fd = lab_socket(ns, SOCK_DGRAM, from, 0);
    return udp_reaches(fd, server, addr, port, wait_ms, NULL);
}

bool lab_tcp_echoes(int ns, int listener, const char *addr, uint16_t port, int wait_ms)
{
    char byte = 'x', back = 0;
    struct sockaddr_in to = to_sockaddr(addr, port);
    _cleanup_close_ int fd = lab_client(ns);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        return false;
    if (!readable(listener, wait_ms))
        return false;
    _cleanup_close_ int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return peer >= 0 && poll(&p, 1, wait_ms) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
           readable(peer, wait_ms) && recv(peer, &back, 1, 0) == 1 &&
           send(peer, &back, 1, MSG_NOSIGNAL) == 1 && readable(fd, wait_ms) &&
           recv(fd, &back, 1, 0) == 1 && back == byte;
}

bool lab_ping(int ns, const char *addr, int wait_ms)
{
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = htons(77), .sequence = htons(1)}};
    uint8_t got[128];
    struct sockaddr_in to = to_sockaddr(addr, 0);
    uint32_t sum = htons(ICMP_ECHO << 8) + htons(77) + htons(1);
    echo.checksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
    _cleanup_close_ int fd = socket_in(
        ns, (struct sock_job){.family = AF_INET, .type = SOCK_RAW, .protocol = IPPROTO_ICMP});
    if (sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return false;
    struct deadline d = deadline_in_ms(wait_ms);
    while (readable(fd, deadline_poll_ms(&d))) {
        ssize_t n = recv(fd, got, sizeof got, 0);
        if (n >= 28 && got[20] == ICMP_ECHOREPLY)
            return true;
    }
    return false;
}

static int add_route(void *arg, struct error *err)
{
    const struct setup *s = arg;
    uint32_t dst, gateway;
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || net_parse_ipv4(s->addr, &dst) < 0 || net_parse_ipv4(s->gateway, &gateway) < 0)
        return -1;
    return route_add(sk, dst, 32, gateway, if_nametoindex(s->link), err);
}

void lab_add_route(int ns, const char *link, const char *dst, const char *gateway)
{
    struct error err = ERROR_INIT;
    struct setup s = {.link = link, .addr = dst, .gateway = gateway};
    must(ns_run(ns, add_route, &s, &err), &err, dst);
}

/* /proc/net/if_inet6 names the link at the end of each line. */
static int count_ipv6(void *arg, struct error *err)
{
    const char *link = arg;
    char line[128], name[32];
    int n = 0;
    _cleanup_fclose_ FILE *f = fopen("/proc/thread-self/net/if_inet6", "re");
    if (!f)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "if_inet6");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %*s %*s %*s %*s %31s", name) == 1 && str_eq(name, link))
            n++;
    return n;
}

bool lab_has_ipv6(int ns, const char *link)
{
    struct error err = ERROR_INIT;
    char name[IF_NAMESIZE];
    (void)str_copy(name, sizeof name, link);
    int n = ns_run(ns, count_ipv6, name, &err);
    must(n, &err, link);
    return n > 0;
}

/* struct in6_ifreq of linux/ipv6.h, which can't be included beside netinet/in.h. */
struct addr6_request {
    struct in6_addr addr;
    uint32_t plen;
    int ifindex;
};

static int add_addr6(void *arg, struct error *err)
{
    const struct setup *s = arg;
    struct addr6_request req = {.plen = 64, .ifindex = (int)if_nametoindex(s->link)};
    char path[64];
    /* Without duplicate address detection the address serves at once. */
    (void)str_format(path, sizeof path, "net/ipv6/conf/%s/accept_dad", s->link);
    if (inet_pton(AF_INET6, s->addr, &req.addr) != 1 || ns_sysctl_write(path, "0", err) < 0)
        return -1;
    _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFADDR, &req) < 0)
        return error_set(err, ERR_NET, errno, "add %s to %s", s->addr, s->link);
    return 0;
}

void lab_add_addr6(int ns, const char *link, const char *addr)
{
    struct error err = ERROR_INIT;
    struct setup s = {.link = link, .addr = addr};
    must(ns_run(ns, add_addr6, &s, &err), &err, addr);
}

int lab_socket6(int ns, uint16_t port)
{
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int only = 1;
    int fd = socket_in(ns, (struct sock_job){.family = AF_INET6, .type = SOCK_DGRAM});
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0 ||
        bind(fd, (struct sockaddr *)&sin6, sizeof sin6) < 0)
        fail_msg("lab: bind to [::]:%u: %s", port, strerror(errno));
    return fd;
}

static int set_mtu(void *arg, struct error *err)
{
    struct ifreq *ifr = arg;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFMTU, ifr) < 0)
        return error_set(err, ERR_NET, errno, "mtu of %s", ifr->ifr_name);
    return 0;
}

void lab_mtu(int ns, const char *link, int mtu)
{
    struct error err = ERROR_INIT;
    struct ifreq ifr = {.ifr_mtu = mtu};
    (void)str_copy(ifr.ifr_name, sizeof ifr.ifr_name, link);
    must(ns_run(ns, set_mtu, &ifr, &err), &err, link);
}

/* A link's queue holds some hundred frames: after each such batch the way is waited for. */
static void scan(int ns, const char *addr, uint16_t port, unsigned n, bool ports)
{
    struct sockaddr_in to = to_sockaddr(addr, port);
    uint32_t first = ntohl(to.sin_addr.s_addr);
    _cleanup_close_ int fd = lab_socket(ns, SOCK_DGRAM, NULL, 0);
    for (unsigned i = 0; i < n; i++) {
        if (ports)
            to.sin_port = htons((uint16_t)(port + i));
        else
            to.sin_addr.s_addr = htonl(first + i);
        (void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        if ((i % 100 == 99 || i == n - 1) && !lab_ping(ns, LAB_OUTSIDE, 10 * LAB_REACH_MS))
            fail_msg("lab: no answer behind a scan of %s", addr);
    }
}

void lab_scan_ports(int ns, const char *addr, uint16_t port, unsigned n)
{
    scan(ns, addr, port, n, true);
}

void lab_scan_addrs(int ns, const char *addr, unsigned n, uint16_t port)
{
    scan(ns, addr, port, n, false);
}

static int run_nft(void *arg, struct error *err)
{
    return nft_run(arg, "test", err);
}

void lab_nft(int ns, const char *commands)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *copy = xasprintf("%s", commands);
    must(ns_run(ns, run_nft, copy, &err), &err, commands);
}
