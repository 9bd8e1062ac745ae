/* flows.c: removes a lease's entries from the kernel's table of connections, by netlink.
 *
 * An entry has four addresses: source and destination, in both directions. flows_forget asks the
 * kernel to remove the entries that have the lease's address in one of these places. Kernels
 * without such filters refuse the request. Then flows_forget_each lists the whole table, removes
 * the entries one by one, and repeats that until it finds none.
 */
#include "net/flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "net/nl.h"
#include "net/ns.h"

#define COUNT  "net/netfilter/nf_conntrack_count"
#define PASSES 100
#define REMOVE "remove the lease's connections"

/* Where an entry may have the address. The answers' ends are the lease's alone where somebody
 * translated it (a rule of the admin's, a helper of the kernel's): of such a connection the first
 * packet went to another address. `flag` says which part of the tuple a filter compares: bit 0 the
 * source, bit 1 the destination. The kernel has these numbers in no header of its own for programs.
 */
static const struct side {
    int tuple, ip, flags;
    uint32_t flag;
} sides[] = {
    {CTA_TUPLE_ORIG, CTA_IP_V4_SRC, CTA_FILTER_ORIG_FLAGS, 1 << 0},
    {CTA_TUPLE_ORIG, CTA_IP_V4_DST, CTA_FILTER_ORIG_FLAGS, 1 << 1},
    {CTA_TUPLE_REPLY, CTA_IP_V4_SRC, CTA_FILTER_REPLY_FLAGS, 1 << 0},
    {CTA_TUPLE_REPLY, CTA_IP_V4_DST, CTA_FILTER_REPLY_FLAGS, 1 << 1},
};

static int fail(struct error *err, int r, const char *what)
{
    if (r == -NLE_PERM)
        return error_set(err, ERR_ENV, EPERM, "%s (needs CAP_NET_ADMIN: run as root)", what);
    /* What nfnetlink says of a part that it has not got. */
    if (r == -NLE_INVAL || r == -NLE_OPNOTSUPP)
        return error_set(err, ERR_ENV, 0,
                         "%s: the kernel's connection table can't be read; next: modprobe "
                         "nf_conntrack_netlink",
                         what);
    return error_set(err, ERR_NET, 0, "%s: %s", what, nl_geterror(r));
}

static struct nl_sock *flows_open(struct error *err)
{
    _cleanup_sock_ struct nl_sock *sk = nl_socket_alloc();
    if (!sk)
        return error_null(err, ERR_INTERNAL, ENOMEM, "netlink socket");
    int r = nl_connect(sk, NETLINK_NETFILTER);
    if (r < 0)
        return error_null(err, ERR_ENV, r == -NLE_FAILURE ? errno : 0,
                          "netlink socket of netfilter: %s", nl_geterror(r));
    struct nl_sock *ready = sk;
    sk = NULL;
    return ready;
}

/* Without a version the kernel takes a message for one of all address families. */
static struct nl_msg *new_msg(int type, int flags)
{
    _cleanup_msg_ struct nl_msg *m = nlmsg_alloc_simple(NFNL_SUBSYS_CTNETLINK << 8 | type, flags);
    const struct nfgenmsg head = {.nfgen_family = AF_INET, .version = 1};
    if (!m || nlmsg_append(m, (void *)(uintptr_t)&head, sizeof head, NLMSG_ALIGNTO) < 0)
        return NULL;
    struct nl_msg *ready = m;
    m = NULL;
    return ready;
}

/* The entries that have `addr` on that side. The tuple stands in it also for kernels that don't
 * know the filter: a removal that names neither would remove everything. */
static struct nl_msg *filtered(int type, int flags, const struct side *side, uint32_t addr)
{
    _cleanup_msg_ struct nl_msg *m = new_msg(type, flags);
    struct nlattr *tuple, *ip, *filter;
    uint32_t be = htonl(addr);
    if (!m || !(tuple = nla_nest_start(m, side->tuple)) ||
        !(ip = nla_nest_start(m, CTA_TUPLE_IP)) || nla_put(m, side->ip, sizeof be, &be) < 0)
        return NULL;
    (void)nla_nest_end(m, ip);
    (void)nla_nest_end(m, tuple);
    if (!(filter = nla_nest_start(m, CTA_FILTER)) || nla_put_u32(m, side->flags, side->flag) < 0)
        return NULL;
    (void)nla_nest_end(m, filter);
    struct nl_msg *ready = m;
    m = NULL;
    return ready;
}

/* Sends and waits for the answer; libnl's error number. */
static int ask(struct nl_sock *sk, struct nl_msg *m)
{
    if (!m)
        return -NLE_NOMEM;
    int r = nl_send_auto(sk, m);
    return r < 0 ? r : nl_wait_for_ack(sk);
}

int flows_check(struct error *err)
{
    _cleanup_sock_ struct nl_sock *sk = flows_open(err);
    _cleanup_msg_ struct nl_msg *m = new_msg(IPCTNL_MSG_CT_GET_STATS, NLM_F_REQUEST | NLM_F_ACK);
    if (!sk)
        return -1;
    int r = ask(sk, m);
    return r < 0 ? fail(err, r, "look at the host's connections") : 0;
}

bool flows_any(void)
{
    struct error e = ERROR_INIT;
    long n;
    if (ns_sysctl_read(COUNT, &n, &e) < 0)
        return e.sys != ENOENT;
    return n != 0;
}

struct each {
    struct nl_sock *sk; /* a second one: the first is busy with the list. NULL: count only */
    const struct side *side;
    uint32_t addr;
    unsigned found;
    int failed;
};

static bool has_side(struct nlattr *const *entry, const struct side *side, uint32_t addr)
{
    struct nlattr *t[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1];
    struct nlattr *tuple = entry[side->tuple];
    if (!tuple || nla_parse_nested(t, CTA_TUPLE_MAX, tuple, NULL) < 0 || !t[CTA_TUPLE_IP] ||
        nla_parse_nested(ip, CTA_IP_MAX, t[CTA_TUPLE_IP], NULL) < 0)
        return false;
    const struct nlattr *a = ip[side->ip];
    uint32_t be = htonl(addr);
    return a && nla_len(a) == sizeof be && memcmp(nla_data(a), &be, sizeof be) == 0;
}

/* An entry counts once: for the first of the sides that has the address. */
static bool is_for(struct nlattr *const *entry, const struct each *e)
{
    const struct side *s = sides;
    while (s < e->side && !has_side(entry, s, e->addr))
        s++;
    return s == e->side && has_side(entry, s, e->addr);
}

/* By its id, so that no later entry with the same ends is hit. */
static int remove_one(struct nl_sock *sk, struct nlattr *const *a)
{
    static const int parts[] = {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID};
    _cleanup_msg_ struct nl_msg *m = new_msg(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK);
    for (size_t i = 0; m && i < ARRAY_LEN(parts); i++) {
        const struct nlattr *p = a[parts[i]];
        if (p && nla_put(m, p->nla_type, nla_len(p), nla_data(p)) < 0)
            return -NLE_NOMEM;
    }
    int r = ask(sk, m);
    return r == -NLE_OBJ_NOTFOUND ? 0 : r;
}

/* A kernel before Linux 5.8 lists everything, whatever it was asked for. */
static int on_entry(struct nl_msg *m, void *arg)
{
    struct each *e = arg;
    struct nlattr *a[CTA_MAX + 1];
    if (e->failed < 0 || nlmsg_parse(nlmsg_hdr(m), sizeof(struct nfgenmsg), a, CTA_MAX, NULL) < 0 ||
        !is_for(a, e))
        return NL_OK;
    if (e->sk)
        e->failed = remove_one(e->sk, a);
    e->found++;
    return NL_OK;
}

/* One list of the table: what was found is counted in e, and removed. */
static int pass(struct each *e, const char *what, struct error *err)
{
    _cleanup_sock_ struct nl_sock *sk = flows_open(err);
    _cleanup_msg_ struct nl_msg *m = filtered(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP,
                                              e->side, e->addr);
    e->found = 0;
    if (!sk)
        return -1;
    (void)nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_entry, e);
    int r = m ? nl_send_auto(sk, m) : -NLE_NOMEM;
    if (r >= 0)
        r = nl_recvmsgs_default(sk);
    /* A table that was resized meanwhile is listed once more. */
    if (r == -NLE_DUMP_INTR) {
        e->found++;
        r = 0;
    }
    if (r >= 0)
        r = e->failed;
    return r < 0 ? fail(err, r, what) : 0;
}

int flows_forget_each(uint32_t addr, struct error *err)
{
    _cleanup_sock_ struct nl_sock *sk = flows_open(err);
    if (!sk)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        struct each e = {.sk = sk, .side = &sides[i], .addr = addr};
        /* What moves in the table while it is listed may be passed over: until nothing is found. */
        for (int pass_no = 0; pass_no == 0 || e.found > 0; pass_no++) {
            if (pass_no == PASSES)
                return error_set(err, ERR_NET, 0,
                                 REMOVE ": new ones keep appearing; next: run the command again");
            if (pass(&e, REMOVE, err) < 0)
                return -1;
        }
    }
    return 0;
}

int flows_count(uint32_t addr, unsigned *out, struct error *err)
{
    *out = 0;
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        struct each e = {.side = &sides[i], .addr = addr};
        if (pass(&e, "count the lease's connections", err) < 0)
            return -1;
        *out += e.found;
    }
    return 0;
}

int flows_forget(uint32_t addr, struct error *err)
{
    if (!flows_any())
        return 0;
    _cleanup_sock_ struct nl_sock *sk = flows_open(err);
    if (!sk)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        _cleanup_msg_ struct nl_msg *m = filtered(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK,
                                                  &sides[i], addr);
        int r = ask(sk, m);
        if (r == -NLE_INVAL || r == -NLE_OPNOTSUPP)
            return flows_forget_each(addr, err);
        if (r < 0 && r != -NLE_OBJ_NOTFOUND)
            return fail(err, r, REMOVE);
    }
    return 0;
}
