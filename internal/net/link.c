/* link.c: requests to the kernel, made with libnl.
 *
 * A change is an object of libnl with only the values that are to change. It names the link by its
 * index, because a name can pass to another link. Adding something never replaces what is there
 * (NLM_F_EXCL). A list is read from the kernel as a whole (a cache of libnl) and is not kept. Only
 * the question for a route is put together by hand (question, ask), because libnl can't ask for a
 * packet that comes in on a certain link. The answer is either a route and then an acknowledgement,
 * or a refusal, whose error number is the answer.
 */
#include "net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

#include "base/str.h"
#include "net/nl.h"

static void link_put(struct rtnl_link **l)
{
    if (*l)
        rtnl_link_put(*l);
}

static void addr_put(struct nl_addr **a)
{
    if (*a)
        nl_addr_put(*a);
}

static void cache_free(struct nl_cache **c)
{
    if (*c)
        nl_cache_free(*c);
}

#define _cleanup_link_  _cleanup_(link_put)
#define _cleanup_addr_  _cleanup_(addr_put)
#define _cleanup_cache_ _cleanup_(cache_free)

/* libnl has its own error numbers; the few that decide something get a kind of their own. */
static int nl_error(struct error *err, int r, const char *what, const char *name)
{
    if (r == -NLE_EXIST)
        return error_set(err, ERR_EXISTS, EEXIST, "%s %s", what, name);
    if (r == -NLE_PERM)
        return error_set(err, ERR_ENV, EPERM, "%s %s (needs CAP_NET_ADMIN: run as root)", what,
                         name);
    if (r == -NLE_OPNOTSUPP)
        return error_set(err, ERR_ENV, 0, "%s %s: the kernel does not support it (modprobe veth)",
                         what, name);
    return error_set(err, ERR_NET, 0, "%s %s: %s", what, name, nl_geterror(r));
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_INTERNAL, ENOMEM, "netlink message");
}

struct nl_sock *rt_open(struct error *err)
{
    struct nl_sock *sk = nl_socket_alloc();
    if (!sk)
        return error_null(err, ERR_INTERNAL, ENOMEM, "netlink socket");
    int r = nl_connect(sk, NETLINK_ROUTE);
    if (r < 0) {
        (void)error_set(err, ERR_NET, r == -NLE_FAILURE ? errno : 0, "netlink socket: %s",
                        nl_geterror(r));
        nl_socket_free(sk);
        return NULL;
    }
    return sk;
}

void rt_close(struct nl_sock **sk)
{
    if (*sk)
        nl_socket_free(*sk);
    *sk = NULL;
}

static int set_mac(struct rtnl_link *l, const uint8_t mac[MAC_LEN], struct error *err)
{
    _cleanup_addr_ struct nl_addr *a = nl_addr_build(AF_LLC, mac, MAC_LEN);
    if (!a)
        return out_of_memory(err);
    rtnl_link_set_addr(l, a);
    return 0;
}

int link_add_veth(struct nl_sock *sk, const struct veth_spec *spec, struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = rtnl_link_veth_alloc();
    if (!l)
        return out_of_memory(err);
    _cleanup_link_ struct rtnl_link *peer = rtnl_link_veth_get_peer(l);
    rtnl_link_set_name(l, spec->name);
    rtnl_link_set_group(l, spec->group);
    rtnl_link_set_name(peer, spec->peer_name);
    rtnl_link_set_ns_fd(peer, spec->peer_ns);
    if (set_mac(l, spec->mac, err) < 0 || set_mac(peer, spec->peer_mac, err) < 0)
        return -1;
    int r = rtnl_link_add(sk, l, NLM_F_CREATE | NLM_F_EXCL);
    return r < 0 ? nl_error(err, r, "create link", spec->name) : 0;
}

int link_index(const char *name, unsigned *out, struct error *err)
{
    *out = if_nametoindex(name);
    return *out ? 0 : error_set(err, ERR_NET, errno, "find link %s", name);
}

static void fill_link(struct rtnl_link *l, struct link_info *out)
{
    *out = (struct link_info){.index = (unsigned)rtnl_link_get_ifindex(l),
                              .group = rtnl_link_get_group(l)};
    const char *name = rtnl_link_get_name(l);
    if (name)
        (void)str_copy(out->name, sizeof out->name, name);
    const struct nl_addr *a = rtnl_link_get_addr(l);
    if (a && nl_addr_get_len(a) == MAC_LEN)
        memcpy(out->mac, nl_addr_get_binary_addr(a), MAC_LEN);
}

int link_find(struct nl_sock *sk, const char *name, struct link_info *out, struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = NULL;
    int r = rtnl_link_get_kernel(sk, 0, name, &l);
    if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND)
        return 0;
    if (r < 0)
        return nl_error(err, r, "look up link", name);
    fill_link(l, out);
    return 1;
}

int link_delete(struct nl_sock *sk, unsigned index, const char *name, struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = rtnl_link_alloc();
    if (!l)
        return out_of_memory(err);
    rtnl_link_set_ifindex(l, (int)index);
    int r = rtnl_link_delete(sk, l);
    if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND)
        return 0;
    return r < 0 ? nl_error(err, r, "delete link", name) : 0;
}

/* Makes the link as `l` has it. */
static int change(struct nl_sock *sk, unsigned index, struct rtnl_link *l)
{
    _cleanup_link_ struct rtnl_link *orig = rtnl_link_alloc();
    if (!orig)
        return -NLE_NOMEM;
    rtnl_link_set_ifindex(orig, (int)index);
    return rtnl_link_change(sk, orig, l, 0);
}

static int change_up(struct nl_sock *sk, unsigned index, const char *name, struct rtnl_link *l,
                     struct error *err)
{
    rtnl_link_set_flags(l, IFF_UP);
    int r = change(sk, index, l);
    return r < 0 ? nl_error(err, r, "bring up link", name) : 0;
}

int link_down(struct nl_sock *sk, unsigned index, const char *name, struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = rtnl_link_alloc();
    if (!l)
        return out_of_memory(err);
    rtnl_link_unset_flags(l, IFF_UP);
    int r = change(sk, index, l);
    /* Gone meanwhile: its namespace died. */
    if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND)
        return 0;
    return r < 0 ? nl_error(err, r, "take down link", name) : 0;
}

int link_up(struct nl_sock *sk, unsigned index, const char *name, struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = rtnl_link_alloc();
    return l ? change_up(sk, index, name, l, err) : out_of_memory(err);
}

int link_up_mac(struct nl_sock *sk, unsigned index, const char *name, const uint8_t mac[MAC_LEN],
                struct error *err)
{
    _cleanup_link_ struct rtnl_link *l = rtnl_link_alloc();
    if (!l)
        return out_of_memory(err);
    if (set_mac(l, mac, err) < 0)
        return -1;
    return change_up(sk, index, name, l, err);
}

static struct nl_addr *build_addr(uint32_t addr, unsigned plen)
{
    uint32_t be = htonl(addr);
    struct nl_addr *a = nl_addr_build(AF_INET, &be, sizeof be);
    if (a)
        nl_addr_set_prefixlen(a, (int)plen);
    return a;
}

static const char *addr_text(uint32_t addr, unsigned plen, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
                   addr & 255, plen);
    return buf;
}

/* Takes nothing over. */
static int add_addr(struct nl_sock *sk, unsigned index, struct nl_addr *a, unsigned flags)
{
    struct rtnl_addr *ra = rtnl_addr_alloc();
    if (!ra || !a) {
        rtnl_addr_put(ra);
        return -NLE_NOMEM;
    }
    rtnl_addr_set_ifindex(ra, (int)index);
    int r = rtnl_addr_set_local(ra, a);
    rtnl_addr_set_flags(ra, flags);
    if (r == 0)
        r = rtnl_addr_add(sk, ra, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_addr_put(ra);
    return r;
}

int addr_add(struct nl_sock *sk, unsigned index, uint32_t addr, unsigned plen, bool own_route,
             struct error *err)
{
    char text[32];
    _cleanup_addr_ struct nl_addr *a = build_addr(addr, plen);
    int r = add_addr(sk, index, a, own_route ? 0 : IFA_F_NOPREFIXROUTE);
    return r < 0 ? nl_error(err, r, "add address", addr_text(addr, plen, text, sizeof text)) : 0;
}

int addr_add_text(struct nl_sock *sk, unsigned index, const char *text, struct error *err)
{
    _cleanup_addr_ struct nl_addr *a = NULL;
    int r = nl_addr_parse(text, AF_UNSPEC, &a);
    if (r == 0)
        r = add_addr(sk, index, a, IFA_F_NOPREFIXROUTE);
    return r < 0 && r != -NLE_EXIST ? nl_error(err, r, "add address", text) : 0;
}

int addr_list(struct nl_sock *sk, unsigned index, struct addr_info *out, unsigned max,
              struct error *err)
{
    _cleanup_cache_ struct nl_cache *cache = NULL;
    unsigned n = 0;
    int r = rtnl_addr_alloc_cache(sk, &cache);
    if (r < 0)
        return nl_error(err, r, "list", "addresses");
    for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
        struct rtnl_addr *ra = (struct rtnl_addr *)o;
        const struct nl_addr *local = rtnl_addr_get_local(ra);
        uint32_t be;
        if (rtnl_addr_get_ifindex(ra) != (int)index || !local ||
            nl_addr_get_len(local) != sizeof be)
            continue;
        if (n == max)
            return error_set(err, ERR_NET, 0, "a link has more than %u IPv4 addresses", max);
        memcpy(&be, nl_addr_get_binary_addr(local), sizeof be);
        out[n++] = (struct addr_info){ntohl(be), (unsigned)rtnl_addr_get_prefixlen(ra)};
    }
    return (int)n;
}

/* The next hop and its gateway; owned by the route once added. */
static struct rtnl_nexthop *build_nexthop(uint32_t gateway, unsigned index)
{
    struct rtnl_nexthop *nh = rtnl_route_nh_alloc();
    if (!nh)
        return NULL;
    rtnl_route_nh_set_ifindex(nh, (int)index);
    if (gateway) {
        _cleanup_addr_ struct nl_addr *gw = build_addr(gateway, 32);
        if (!gw) {
            rtnl_route_nh_free(nh);
            return NULL;
        }
        rtnl_route_nh_set_gateway(nh, gw);
    }
    return nh;
}

int route_add(struct nl_sock *sk, uint32_t dst, unsigned plen, uint32_t gateway, unsigned index,
              struct error *err)
{
    char text[32];
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *nh = build_nexthop(gateway, index);
    _cleanup_addr_ struct nl_addr *a = build_addr(dst, plen);
    if (!route || !nh || !a) {
        if (route)
            rtnl_route_put(route);
        if (nh)
            rtnl_route_nh_free(nh);
        return out_of_memory(err);
    }
    (void)rtnl_route_set_family(route, AF_INET);
    rtnl_route_set_scope(route, gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
    (void)rtnl_route_set_dst(route, a);
    rtnl_route_add_nexthop(route, nh);
    int r = rtnl_route_add(sk, route, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_route_put(route);
    return r < 0 ? nl_error(err, r, "add route", addr_text(dst, plen, text, sizeof text)) : 0;
}

static void cb_put(struct nl_cb **cb)
{
    if (*cb)
        nl_cb_put(*cb);
}

#define _cleanup_cb_ _cleanup_(cb_put)

struct asked {
    struct route_answer *answer;
    bool done;
};

static int take_answer(struct nl_msg *msg, void *arg)
{
    struct asked *q = arg;
    struct rtnl_route *r = NULL;
    if (rtnl_route_parse(nlmsg_hdr(msg), &r) < 0)
        return NL_SKIP;
    struct rtnl_nexthop *nh = rtnl_route_get_nnexthops(r) > 0 ? rtnl_route_nexthop_n(r, 0) : NULL;
    *q->answer = (struct route_answer){.type = rtnl_route_get_type(r),
                                       .out = nh ? (unsigned)rtnl_route_nh_get_ifindex(nh) : 0};
    rtnl_route_put(r);
    return NL_OK;
}

static int take_end(struct nl_msg *msg, void *arg)
{
    (void)msg;
    ((struct asked *)arg)->done = true;
    return NL_STOP;
}

static int take_refusal(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
    struct asked *q = arg;
    (void)from;
    q->answer->error = -e->error;
    q->done = true;
    return NL_SKIP;
}

static struct nl_msg *question(struct nl_addr *dst, struct nl_addr *src, unsigned in)
{
    struct rtmsg m = {.rtm_family = (uint8_t)nl_addr_get_family(dst),
                      .rtm_dst_len = (uint8_t)nl_addr_get_prefixlen(dst),
                      .rtm_src_len = src ? (uint8_t)nl_addr_get_prefixlen(src) : 0};
    _cleanup_msg_ struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);
    if (!msg || nlmsg_append(msg, &m, sizeof m, NLMSG_ALIGNTO) < 0 ||
        nla_put_addr(msg, RTA_DST, dst) < 0 || (src && nla_put_addr(msg, RTA_SRC, src) < 0) ||
        (in && nla_put_u32(msg, RTA_IIF, in) < 0))
        return NULL;
    return TAKE_PTR(msg);
}

static int ask(struct nl_sock *sk, struct nl_msg *msg, struct route_answer *out, struct error *err)
{
    _cleanup_cb_ struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    struct asked q = {.answer = out};
    if (!msg || !cb)
        return out_of_memory(err);
    *out = (struct route_answer){.error = EIO};
    (void)nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, take_answer, &q);
    (void)nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, take_end, &q);
    (void)nl_cb_err(cb, NL_CB_CUSTOM, take_refusal, &q);
    int r = nl_send_auto(sk, msg);
    while (r >= 0 && !q.done)
        r = nl_recvmsgs(sk, cb);
    return r < 0 ? nl_error(err, r, "look up", "a route") : 0;
}

int route_ask(struct nl_sock *sk, const struct route_question *q, struct route_answer *out,
              struct error *err)
{
    _cleanup_addr_ struct nl_addr *dst = build_addr(q->dst, 32);
    _cleanup_addr_ struct nl_addr *src = q->src ? build_addr(q->src, 32) : NULL;
    _cleanup_msg_ struct nl_msg *msg = dst && (src || !q->src) ? question(dst, src, q->in) : NULL;
    return ask(sk, msg, out, err);
}

int route_ask6(struct nl_sock *sk, const char *dst, struct route_answer *out, struct error *err)
{
    _cleanup_addr_ struct nl_addr *a = NULL;
    int r = nl_addr_parse(dst, AF_INET6, &a);
    if (r < 0)
        return nl_error(err, r, "look up", dst);
    _cleanup_msg_ struct nl_msg *msg = question(a, NULL, 0);
    return ask(sk, msg, out, err);
}

static void fill_route(struct rtnl_route *r, struct route_info *out)
{
    *out = (struct route_info){.type = rtnl_route_get_type(r), .table = rtnl_route_get_table(r)};
    struct nl_addr *dst = rtnl_route_get_dst(r);
    if (dst && nl_addr_get_len(dst) == sizeof out->dst) {
        uint32_t be;
        memcpy(&be, nl_addr_get_binary_addr(dst), sizeof be);
        out->dst = ntohl(be);
        out->plen = nl_addr_get_prefixlen(dst);
    }
    struct rtnl_nexthop *nh = rtnl_route_get_nnexthops(r) > 0 ? rtnl_route_nexthop_n(r, 0) : NULL;
    int index = nh ? rtnl_route_nh_get_ifindex(nh) : 0;
    if (index && !if_indextoname((unsigned)index, out->dev)) {
        out->dev[0] = '\0';
        out->gone = true;
    }
}

int route_each(struct nl_sock *sk, int (*fn)(const struct route_info *r, void *arg), void *arg,
               struct error *err)
{
    _cleanup_cache_ struct nl_cache *cache = NULL;
    /* With a socket it would fill the cache as well, and leak half of it where that fails (3.7). */
    int r = rtnl_route_alloc_cache(NULL, AF_INET, 0, &cache);
    if (r == 0)
        r = nl_cache_refill(sk, cache);
    if (r < 0)
        return nl_error(err, r, "list", "routes");
    for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
        struct route_info info;
        fill_route((struct rtnl_route *)o, &info);
        int stop = fn(&info, arg);
        if (stop)
            return stop;
    }
    return 0;
}

int link_each(struct nl_sock *sk, int (*fn)(const struct link_info *l, void *arg), void *arg,
              struct error *err)
{
    _cleanup_cache_ struct nl_cache *cache = NULL;
    int r = rtnl_link_alloc_cache(sk, AF_UNSPEC, &cache);
    if (r < 0)
        return nl_error(err, r, "list", "links");
    for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
        struct link_info info;
        fill_link((struct rtnl_link *)o, &info);
        int stop = fn(&info, arg);
        if (stop)
            return stop;
    }
    return 0;
}
