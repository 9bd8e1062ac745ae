#include "guest/netconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/str.h"

/* One request being built; big enough for every message made here. */
struct request {
    struct nlmsghdr h;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg addr;
        struct rtmsg route;
        uint8_t room[256];
    } u;
};

struct rtnl {
    int fd;
    uint32_t seq;
};

static void close_rtnl(struct rtnl *r)
{
    if (r->fd >= 0)
        (void)close(r->fd);
}

static int open_rtnl(struct rtnl *r, struct error *err)
{
    r->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (r->fd < 0)
        return error_set(err, ERR_NET, errno, "open a routing socket");
    return 0;
}

static void begin(struct request *q, struct rtnl *r, uint16_t type, uint16_t flags, size_t body)
{
    memset(q, 0, sizeof *q);
    q->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    q->h.nlmsg_type = type;
    q->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    q->h.nlmsg_seq = ++r->seq;
}

/* Appends an attribute; all of them together fit by construction. */
static void put(struct request *q, uint16_t type, const void *data, size_t len)
{
    size_t at = NLMSG_ALIGN(q->h.nlmsg_len);
    struct rtattr a = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
    if (at + RTA_SPACE(len) > sizeof *q)
        abort();
    uint8_t *p = (uint8_t *)q + at;
    memcpy(p, &a, sizeof a);
    memcpy(p + RTA_LENGTH(0), data, len);
    q->h.nlmsg_len = (uint32_t)(at + RTA_LENGTH(len));
}

/* Sends and waits for the kernel's answer; returns its errno (0 for success). */
static int transact(struct rtnl *r, const struct request *q)
{
    _Alignas(struct nlmsghdr) uint8_t buf[4096];
    if (send(r->fd, q, q->h.nlmsg_len, 0) < 0)
        return errno;
    for (;;) {
        ssize_t n = recv(r->fd, buf, sizeof buf, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
        if ((size_t)n < sizeof(struct nlmsghdr) + sizeof(struct nlmsgerr) ||
            h->nlmsg_seq != r->seq || h->nlmsg_type != NLMSG_ERROR)
            continue;
        const struct nlmsgerr *e = (const struct nlmsgerr *)(buf + NLMSG_HDRLEN);
        return -e->error;
    }
}

static int set_link(struct rtnl *r, int index, const char *rename_to, bool up)
{
    struct request q;
    begin(&q, r, RTM_NEWLINK, 0, sizeof q.u.link);
    q.u.link.ifi_family = AF_UNSPEC;
    q.u.link.ifi_index = index;
    if (up)
        q.u.link.ifi_flags = q.u.link.ifi_change = IFF_UP;
    if (rename_to)
        put(&q, IFLA_IFNAME, rename_to, strlen(rename_to) + 1);
    return transact(r, &q);
}

static size_t addr_len(const struct seed_addr *a)
{
    return a->family == AF_INET ? 4 : 16;
}

static int add_addr(struct rtnl *r, int index, const struct seed_addr *a)
{
    struct request q;
    begin(&q, r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof q.u.addr);
    q.u.addr.ifa_family = (uint8_t)a->family;
    q.u.addr.ifa_prefixlen = a->prefix;
    q.u.addr.ifa_index = (uint32_t)index;
    /* The host chose the address: probing for duplicates would only make it late. */
    if (a->family == AF_INET6)
        q.u.addr.ifa_flags = IFA_F_NODAD;
    put(&q, IFA_LOCAL, a->bytes, addr_len(a));
    put(&q, IFA_ADDRESS, a->bytes, addr_len(a));
    return transact(r, &q);
}

static int add_route(struct rtnl *r, int index, const struct seed_route *route)
{
    struct request q;
    uint32_t oif = (uint32_t)index;
    begin(&q, r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof q.u.route);
    q.u.route.rtm_family = (uint8_t)route->to.family;
    q.u.route.rtm_dst_len = route->to.prefix;
    q.u.route.rtm_table = RT_TABLE_MAIN;
    q.u.route.rtm_protocol = RTPROT_STATIC;
    q.u.route.rtm_scope = RT_SCOPE_UNIVERSE;
    q.u.route.rtm_type = RTN_UNICAST;
    if (route->to.prefix)
        put(&q, RTA_DST, route->to.bytes, addr_len(&route->to));
    put(&q, RTA_GATEWAY, route->via.bytes, addr_len(&route->via));
    put(&q, RTA_OIF, &oif, sizeof oif);
    return transact(r, &q);
}

static const char *addr_text(const struct seed_addr *a, char buf[INET6_ADDRSTRLEN])
{
    return inet_ntop(a->family, a->bytes, buf, INET6_ADDRSTRLEN) ? buf : "?";
}

/* The index of the Ethernet link with this MAC, 0 if there is none. */
static int find_by_mac(const uint8_t mac[6], char name[IF_NAMESIZE])
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *all = if_nameindex();
    int found = 0;
    for (const struct if_nameindex *i = all; all && i->if_index && !found; i++) {
        struct ifreq req = {0};
        (void)str_copy(req.ifr_name, sizeof req.ifr_name, i->if_name);
        if (ioctl(fd, SIOCGIFHWADDR, &req) < 0 || req.ifr_hwaddr.sa_family != ARPHRD_ETHER ||
            memcmp(req.ifr_hwaddr.sa_data, mac, 6) != 0)
            continue;
        (void)str_copy(name, IF_NAMESIZE, i->if_name);
        found = (int)i->if_index;
    }
    if_freenameindex(all);
    return found;
}

static int rename_and_address(struct rtnl *r, int index, const char *old,
                              const struct seed_net *net, struct error *err)
{
    char text[INET6_ADDRSTRLEN];
    int e;
    if (!str_eq(old, net->name) && (e = set_link(r, index, net->name, false)) != 0)
        return error_set(err, ERR_NET, e, "rename %s to %s", old, net->name);
    for (unsigned i = 0; i < net->naddrs; i++) {
        e = add_addr(r, index, &net->addrs[i]);
        if (e && e != EEXIST)
            return error_set(err, ERR_NET, e, "add address %s to %s",
                             addr_text(&net->addrs[i], text), net->name);
    }
    if ((e = set_link(r, index, NULL, true)) != 0)
        return error_set(err, ERR_NET, e, "set %s up", net->name);
    for (unsigned i = 0; i < net->nroutes; i++) {
        e = add_route(r, index, &net->routes[i]);
        if (e && e != EEXIST)
            return error_set(err, ERR_NET, e, "add a route via %s on %s",
                             addr_text(&net->routes[i].via, text), net->name);
    }
    return 0;
}

static int loopback_up(struct rtnl *r, struct error *err)
{
    int e = set_link(r, 1, NULL, true); /* lo is always the first link of a namespace */
    return e ? error_set(err, ERR_NET, e, "set lo up") : 0;
}

int netconf_loopback(struct error *err)
{
    _cleanup_(close_rtnl) struct rtnl r = {.fd = -1};
    if (open_rtnl(&r, err) < 0)
        return -1;
    return loopback_up(&r, err);
}

int netconf_apply(const struct seed_net *net, struct error *err)
{
    _cleanup_(close_rtnl) struct rtnl r = {.fd = -1};
    char name[IF_NAMESIZE] = "";
    if (open_rtnl(&r, err) < 0 || loopback_up(&r, err) < 0)
        return -1;
    int index = find_by_mac(net->mac, name);
    if (!index)
        return error_set(
            err, ERR_NET, 0, "no network interface has the MAC %02x:%02x:%02x:%02x:%02x:%02x",
            net->mac[0], net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
    return rename_and_address(&r, index, name, net, err);
}
