/* way.c: asks the kernel which way packets take.
 *
 * For each question, the kernel is asked for a route as if the packet came in on the lease's link
 * (RTM_GETROUTE with an input interface). way_ask asks for some addresses outside, for the answers
 * from there, and for the host's own packets to the guest. Without a lease, net_way_look makes a
 * link with a lease's addresses for a moment (struct probe), which the kernel removes when its
 * descriptor is closed.
 */
#include "net/way.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/text.h"
#include "net/ns.h"
#include "net/plan.h"
#include "net/record.h"
#include "net/tap.h"

/* One address in each quarter, all of public name servers: a VPN may have routes for a part. */
static const uint32_t outside[] = {
    0x08080808, /* 8.8.8.8 */
    0x40064006, /* 64.6.64.6 */
    0xaaf7aa02, /* 170.247.170.2 */
    0xc6290004, /* 198.41.0.4 */
};
#define OUTSIDE_6 "2001:500:2::c"

static void name_link(unsigned index, char dev[static IF_NAMESIZE])
{
    if (!if_indextoname(index, dev))
        (void)str_copy(dev, IF_NAMESIZE, "?");
}

static bool forwards(const char *dev)
{
    char path[64];
    long on = 0;
    (void)str_format(path, sizeof path, "net/ipv4/conf/%s/forwarding", dev);
    return ns_sysctl_read(path, &on, NULL) == 0 && on;
}

/* The answer from `to`, which comes in where the packet went. */
static int ask_back(struct nl_sock *sk, const struct way_lease *l, uint32_t to, unsigned in,
                    struct net_way *w, struct error *err)
{
    struct route_answer a;
    const struct route_question q = {.dst = l->addr, .src = to, .in = in};
    if (route_ask(sk, &q, &a, err) < 0)
        return -1;
    name_link(in, w->dev);
    if (a.error == 0 && a.out == l->link)
        w->end = NET_WAY_OUT;
    else if (a.error == EHOSTUNREACH && !forwards(w->dev))
        w->end = NET_WAY_NOT_FORWARDED;
    else
        w->end = NET_WAY_ASTRAY;
    return 0;
}

/* A packet of the guest to `to`, and the answer. */
static int ask_out(struct nl_sock *sk, const struct way_lease *l, uint32_t to, struct net_way *w,
                   struct error *err)
{
    struct route_answer a;
    *w = (struct net_way){.end = NET_WAY_OUT};
    net_format_ipv4(to, w->to);
    if (route_ask(sk, &(struct route_question){.dst = to, .src = l->addr, .in = l->link}, &a, err) <
        0)
        return -1;
    if (a.error == 0)
        return a.type == RTN_UNICAST ? ask_back(sk, l, to, a.out, w, err) : 0;
    if (route_ask(sk, &(struct route_question){.dst = to}, &a, err) < 0)
        return -1;
    w->end = a.error ? NET_WAY_NONE : NET_WAY_REFUSED;
    if (!a.error)
        name_link(a.out, w->dev);
    return 0;
}

/* Keeps what matters more. Without a way to some addresses there may be one to others. */
static void take(struct net_way *sum, const struct net_way *w)
{
    static const int weight[] = {
        [NET_WAY_NONE] = 0,   [NET_WAY_IPV6] = 0, [NET_WAY_OUT] = 1,          [NET_WAY_REFUSED] = 2,
        [NET_WAY_ASTRAY] = 3, [NET_WAY_HOST] = 4, [NET_WAY_NOT_FORWARDED] = 4};
    if (weight[w->end] > weight[sum->end])
        *sum = *w;
}

/* The host's own packets to the guest: ssh needs them. */
static int ask_host(struct nl_sock *sk, const struct way_lease *l, struct net_way *w,
                    struct error *err)
{
    struct route_answer a;
    if (route_ask(sk, &(struct route_question){.dst = l->addr}, &a, err) < 0)
        return -1;
    if (a.error == 0 && a.out == l->link)
        return 0;
    w->end = NET_WAY_HOST;
    if (a.error == 0)
        name_link(a.out, w->dev);
    return 0;
}

int way_ask(struct nl_sock *sk, const struct way_lease *l, struct net_way *out, struct error *err)
{
    struct net_way sum = {.end = NET_WAY_NONE}, w;
    struct route_answer v6;
    if (ask_host(sk, l, &sum, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        if (ask_out(sk, l, outside[i], &w, err) < 0)
            return -1;
        take(&sum, &w);
    }
    if (sum.end == NET_WAY_NONE) {
        if (route_ask6(sk, OUTSIDE_6, &v6, err) < 0)
            return -1;
        sum.end = v6.error ? NET_WAY_NONE : NET_WAY_IPV6;
    }
    for (unsigned i = 0; i < l->n_servers; i++) {
        if (ask_out(sk, l, l->servers[i], &w, err) < 0)
            return -1;
        if (w.end != NET_WAY_OUT)
            take(&sum, &w);
    }
    *out = sum;
    return 0;
}

int way_out(struct nl_sock *sk, char dev[static IF_NAMESIZE], struct error *err)
{
    struct route_answer a;
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        if (route_ask(sk, &(struct route_question){.dst = outside[i]}, &a, err) < 0)
            return -1;
        if (a.error || a.type != RTN_UNICAST)
            continue;
        name_link(a.out, dev);
        return 1;
    }
    return 0;
}

/* ---- without a lease ---- */

/* A link with a lease's addresses, which goes when its descriptor is closed: nothing is left even
 * if we are killed. Slot 0 is never a lease's. It is taken only while somebody else looks, and then
 * any other does as well. */
struct probe {
    char name[IF_NAMESIZE];
    uint32_t addr; /* the host's; the lease's is the next */
};

static int probe_open(struct cidr pool, struct probe *p, struct error *err)
{
    for (uint32_t slot = 0;; slot++) {
        struct error e = ERROR_INIT;
        (void)str_format(p->name, sizeof p->name, NET_LINK_PREFIX "%u", slot);
        p->addr = pool.base + 2 * slot;
        int fd = tap_probe(p->name, &e);
        if (fd < 0 && e.kind == ERR_EXISTS && slot < pool_slots(pool))
            continue;
        if (fd < 0)
            *err = e;
        return fd;
    }
}

static int probe_up(struct nl_sock *sk, const struct probe *p, unsigned *index, struct error *err)
{
    char path[64];
    (void)str_format(path, sizeof path, "net/ipv4/conf/%s/forwarding", p->name);
    if (ns_no_ipv6(p->name, err) < 0 || ns_sysctl_write(path, "1", err) < 0 ||
        link_index(p->name, index, err) < 0 || addr_add(sk, *index, p->addr, 31, true, err) < 0)
        return -1;
    return link_up(sk, *index, p->name, err);
}

int net_way_look(const char *pool, const char *dns, struct net_way *out, struct error *err)
{
    struct probe p;
    struct cidr cidr;
    struct dns_list list;
    uint32_t servers[NET_DNS_MAX];
    unsigned link;
    if (cidr_parse(pool, &cidr, err) < 0 || dns_choose(dns, &list, err) < 0)
        return -1;
    for (unsigned i = 0; i < list.n; i++)
        (void)net_parse_ipv4(list.addr[i], &servers[i]);
    _cleanup_close_ int fd = probe_open(cidr, &p, err);
    _cleanup_rt_ struct nl_sock *sk = fd >= 0 ? rt_open(err) : NULL;
    if (!sk || probe_up(sk, &p, &link, err) < 0)
        return -1;
    const struct way_lease l = {link, p.addr + 1, servers, list.n};
    return way_ask(sk, &l, out, err);
}

/* ---- in words ---- */

/* A dot in a link's name is a slash there: eth0.7 is eth0/7. Other names are somebody's fancy. */
static char *forwarding_line(const char *dev)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char key[IF_NAMESIZE];
    (void)str_copy(key, sizeof key, dev);
    for (char *p = key; (p = strchr(p, '.'));)
        *p = '/';
    _cleanup_free_ char *text = xasprintf("net.ipv4.conf.%s.forwarding=1", key);
    _cleanup_free_ char *quoted = str_shell_quoted(text);
    return xasprintf("sysctl -w %s", dev[strspn(dev, plain)] ? quoted : text);
}

int net_way_check(const struct net_way *w, const char *pool, struct error *err)
{
    if (w->end == NET_WAY_HOST)
        return error_set(
            err, ERR_ENV, 0,
            "the host's routing rules send packets for a lease to %s instead, so "
            "nothing would reach the guest; next: ip rule add pref 1 to %s lookup main",
            w->dev[0] ? SHOWN(w->dev) : "nowhere", pool);
    if (w->end != NET_WAY_NOT_FORWARDED)
        return 0;
    _cleanup_free_ char *line = forwarding_line(w->dev);
    return error_set(err, ERR_ENV, 0,
                     "the host does not forward IPv4 on the link %s, so guests would get no answer "
                     "from %s; next: %s",
                     SHOWN(w->dev), w->to, line);
}

int net_way_doubt(const struct net_way *w, const char *pool, struct error *err)
{
    switch (w->end) {
    case NET_WAY_IPV6:
        return error_set(err, ERR_ENV, 0,
                         "the host reaches the outside over IPv6 only, and guests have IPv4 only; "
                         "next: give the host an IPv4 address and a default route");
    case NET_WAY_REFUSED:
        return error_set(err, ERR_ENV, 0,
                         "the host reaches %s by %s, but its routes or routing rules refuse guests "
                         "the way there; next: ip rule; ip route show table all",
                         w->to, SHOWN(w->dev));
    case NET_WAY_ASTRAY:
        return error_set(
            err, ERR_ENV, 0,
            "what %s answers guests comes in on the link %s, and the host's routing "
            "rules drop it or send it elsewhere; next: ip rule add pref 1 to %s lookup "
            "main",
            w->to, SHOWN(w->dev), pool);
    default:
        return 0;
    }
}
