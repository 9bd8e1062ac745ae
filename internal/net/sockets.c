#include "net/sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp_metrics.h>
#include <netinet/in.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stddef.h>
#include <sys/socket.h>

#include "net/nl.h"

/* linux/inet_diag.h has the condition without its address. */
struct is_connected_to {
    struct inet_diag_bc_op op;
    struct inet_diag_hostcond cond;
    uint32_t addr;
};
_Static_assert(sizeof(struct is_connected_to) == 16, "as the kernel reads it");

#define TCP_LISTEN 10 /* netinet/tcp.h can't be included beside the kernel's headers */

static struct nl_sock *diag_open(void)
{
    _cleanup_sock_ struct nl_sock *sk = nl_socket_alloc();
    if (!sk || nl_connect(sk, NETLINK_SOCK_DIAG) < 0)
        return NULL;
    return TAKE_PTR(sk);
}

static struct nl_msg *new_msg(int type, int flags, struct inet_diag_req_v2 req)
{
    _cleanup_msg_ struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
    if (!m || nlmsg_append(m, &req, sizeof req, NLMSG_ALIGNTO) < 0)
        return NULL;
    return TAKE_PTR(m);
}

struct each {
    struct nl_sock *sk; /* a second one: the first is busy with the list */
    uint8_t protocol;
};

static int end_one(struct nl_msg *found, void *arg)
{
    const struct each *e = arg;
    const struct nlmsghdr *head = nlmsg_hdr(found);
    const struct inet_diag_msg *s = nlmsg_data(head);
    if (nlmsg_datalen(head) < (int)sizeof *s)
        return NL_OK;
    _cleanup_msg_ struct nl_msg *m = new_msg(SOCK_DESTROY, NLM_F_ACK,
                                             (struct inet_diag_req_v2){
                                                 .sdiag_family = s->idiag_family,
                                                 .sdiag_protocol = e->protocol,
                                                 .id = s->id, /* with the socket's cookie */
                                             });
    if (m && nl_send_auto(e->sk, m) >= 0)
        (void)nl_wait_for_ack(e->sk);
    return NL_OK;
}

/* The kernel compares a mapped address of an IPv6 socket as well. */
static void end_each(uint8_t family, uint8_t protocol, uint32_t addr)
{
    const struct is_connected_to only = {
        /* "No" goes beyond the end, which means that the socket is not listed. */
        .op = {.code = INET_DIAG_BC_D_COND, .yes = sizeof only, .no = sizeof only + 4},
        .cond = {.family = AF_INET, .prefix_len = 32, .port = -1},
        .addr = htonl(addr)};
    _cleanup_sock_ struct nl_sock *list = diag_open();
    _cleanup_sock_ struct nl_sock *sk = diag_open();
    _cleanup_msg_ struct nl_msg *m = new_msg(
        SOCK_DIAG_BY_FAMILY, NLM_F_DUMP,
        (struct inet_diag_req_v2){.sdiag_family = family,
                                  .sdiag_protocol = protocol,
                                  .idiag_states = ~(1u << TCP_LISTEN)});
    struct each e = {sk, protocol};
    if (!list || !sk || !m || nla_put(m, INET_DIAG_REQ_BYTECODE, sizeof only, &only) < 0)
        return;
    (void)nl_socket_modify_cb(list, NL_CB_VALID, NL_CB_CUSTOM, end_one, &e);
    if (nl_send_auto(list, m) >= 0)
        (void)nl_recvmsgs_default(list);
}

void sockets_end(uint32_t addr)
{
    static const uint8_t families[] = {AF_INET, AF_INET6}, protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            end_each(families[i], protocols[j], addr);
}

struct udp_each {
    sockets_udp_fn *fn;
    void *arg;
};

static int give_udp(struct nl_msg *found, void *arg)
{
    const struct udp_each *e = arg;
    const struct nlmsghdr *head = nlmsg_hdr(found);
    const struct inet_diag_msg *s = nlmsg_data(head);
    if (nlmsg_datalen(head) < (int)sizeof *s)
        return NL_OK;
    e->fn(&(struct socket_udp){ntohs(s->id.idiag_sport), s->id.idiag_if, s->idiag_uid}, e->arg);
    return NL_OK;
}

int sockets_each_udp(sockets_udp_fn *fn, void *arg, struct error *err)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct udp_each e = {fn, arg};
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        _cleanup_sock_ struct nl_sock *list = diag_open();
        _cleanup_msg_ struct nl_msg *m = new_msg(
            SOCK_DIAG_BY_FAMILY, NLM_F_DUMP,
            (struct inet_diag_req_v2){.sdiag_family = families[i],
                                      .sdiag_protocol = IPPROTO_UDP,
                                      .idiag_states = UINT32_MAX});
        int r = list && m ? 0 : -NLE_NOMEM;
        if (r == 0)
            (void)nl_socket_modify_cb(list, NL_CB_VALID, NL_CB_CUSTOM, give_udp, &e);
        if (r < 0 || (r = nl_send_auto(list, m)) < 0 || (r = nl_recvmsgs_default(list)) < 0)
            return error_set(err, ERR_NET, 0, "list the host's UDP sockets: %s", nl_geterror(r));
    }
    return 0;
}

void sockets_forget_metrics(uint32_t addr)
{
    _cleanup_sock_ struct nl_sock *sk = nl_socket_alloc();
    _cleanup_msg_ struct nl_msg *m = nlmsg_alloc();
    int family = sk && genl_connect(sk) == 0 ? genl_ctrl_resolve(sk, TCP_METRICS_GENL_NAME) : -1;
    if (family < 0 || !m ||
        !genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_ACK, TCP_METRICS_CMD_DEL,
                     TCP_METRICS_GENL_VERSION) ||
        nla_put_u32(m, TCP_METRICS_ATTR_ADDR_IPV4, htonl(addr)) < 0)
        return;
    if (nl_send_auto(sk, m) >= 0)
        (void)nl_wait_for_ack(sk); /* ESRCH: there was nothing */
}
