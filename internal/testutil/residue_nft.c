#include "testutil/residue_nft.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

struct dump {
    struct nlmsghdr h;
    struct nfgenmsg g;
};

static const char *family_name(int family)
{
    switch (family) {
    case NFPROTO_INET:
        return "inet";
    case NFPROTO_IPV4:
        return "ip";
    case NFPROTO_IPV6:
        return "ip6";
    case NFPROTO_ARP:
        return "arp";
    case NFPROTO_BRIDGE:
        return "bridge";
    case NFPROTO_NETDEV:
        return "netdev";
    default:
        return "other";
    }
}

static const char *table_name(const struct nlmsghdr *h)
{
    const struct nlattr *a = (const struct nlattr *)((const char *)NLMSG_DATA(h) +
                                                     NLMSG_ALIGN(sizeof(struct nfgenmsg)));
    const char *end = (const char *)h + h->nlmsg_len;
    while ((const char *)a + NLA_HDRLEN <= end && a->nla_len >= NLA_HDRLEN) {
        if ((a->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME)
            return (const char *)a + NLA_HDRLEN;
        a = (const struct nlattr *)((const char *)a + NLA_ALIGN(a->nla_len));
    }
    return "?";
}

/* One datagram of the dump: 1 at its end, 0 for more, -1 on error. */
static int take(const struct nlmsghdr *h, int left,
                void (*each)(void *, const char *, const char *), void *ctx)
{
    for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE)
            return 1;
        if (h->nlmsg_type == NLMSG_ERROR) {
            errno = -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
            return errno ? -1 : 1;
        }
        const struct nfgenmsg *g = NLMSG_DATA(h);
        each(ctx, family_name(g->nfgen_family), table_name(h));
    }
    return 0;
}

int residue_nft_tables(void (*each)(void *ctx, const char *family, const char *name), void *ctx,
                       struct error *err)
{
    _Alignas(struct nlmsghdr) static char buf[65536];
    struct dump q = {
        .h = {.nlmsg_len = sizeof q,
              .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .g = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0},
    };
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return errno == EPROTONOSUPPORT ? 0 : error_set(err, ERR_IO, errno, "list nft tables");
    if (send(fd, &q, sizeof q, 0) < 0)
        return error_set(err, ERR_IO, errno, "list nft tables");
    for (int r = 0; r == 0;) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        r = n < 0 ? -1 : take((const struct nlmsghdr *)buf, (int)n, each, ctx);
        if (r < 0 && (errno == EINVAL || errno == EOPNOTSUPP))
            return 0; /* the module nf_tables is not loaded: nothing can be there */
        if (r < 0)
            return error_set(err, ERR_IO, errno, "list nft tables");
    }
    return 0;
}
