/* link.h: links, addresses and routes over netlink. Only this and flows.h use libnl.
 *
 * A struct nl_sock works in the namespace of the thread that opened it. Open, use and close it on
 * one thread (_cleanup_rt_). Everything is IPv4 unless stated otherwise. Addresses are in host byte
 * order.
 */
#ifndef CRABBOX_NET_LINK_H
#define CRABBOX_NET_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

#define MAC_LEN 6

struct nl_sock;

struct nl_sock *rt_open(struct error *err);
void rt_close(struct nl_sock **sk);
#define _cleanup_rt_ _cleanup_(rt_close)

struct veth_spec {
    const char *name; /* outer end, here */
    uint8_t mac[MAC_LEN];
    uint32_t group; /* the outer end's link group, which the rules match */
    const char *peer_name;
    uint8_t peer_mac[MAC_LEN];
    int peer_ns; /* namespace that the inner end is born in */
};

/* Makes the pair, both ends down. ERR_EXISTS when the outer name is taken: the kernel decides. */
int link_add_veth(struct nl_sock *sk, const struct veth_spec *spec, struct error *err);

struct link_info {
    unsigned index;
    char name[IF_NAMESIZE];
    uint8_t mac[MAC_LEN];
    uint32_t group;
};

/* The index of a link that must be there, in the calling thread's namespace. */
int link_index(const char *name, unsigned *out, struct error *err);

/* 1 found, 0 absent, -1 error. */
int link_find(struct nl_sock *sk, const char *name, struct link_info *out, struct error *err);

/* Absent is a success. */
int link_delete(struct nl_sock *sk, unsigned index, const char *name, struct error *err);

int link_up(struct nl_sock *sk, unsigned index, const char *name, struct error *err);
/* Nothing comes in or goes out any more; its routes go. */
int link_down(struct nl_sock *sk, unsigned index, const char *name, struct error *err);
/* link_up, setting the MAC first. */
int link_up_mac(struct nl_sock *sk, unsigned index, const char *name, const uint8_t mac[MAC_LEN],
                struct error *err);

/* Adds addr/plen. Without `own_route` the kernel makes no route for the prefix. */
int addr_add(struct nl_sock *sk, unsigned index, uint32_t addr, unsigned plen, bool own_route,
             struct error *err);

/* The same for "10.88.0.2/24" or an IPv6 address, checked before; one that is there is a success.
 */
int addr_add_text(struct nl_sock *sk, unsigned index, const char *text, struct error *err);

struct addr_info {
    uint32_t addr;
    unsigned plen;
};
/* The link's IPv4 addresses: their number, or -1, also where there are more than `max`. */
int addr_list(struct nl_sock *sk, unsigned index, struct addr_info *out, unsigned max,
              struct error *err);

/* Adds dst/plen by gateway (0: on the link). ERR_EXISTS when the table has that prefix. */
int route_add(struct nl_sock *sk, uint32_t dst, unsigned plen, uint32_t gateway, unsigned index,
              struct error *err);

/* Asks the kernel which way a packet would go. With `in` it is one from `src` that comes in on that
 * link, and the answer has every reason that would stop it: routing rules, forwarding that is off,
 * the reverse path filter. Without `in`, this host itself sends it. Nothing is sent. */
struct route_question {
    uint32_t dst, src;
    unsigned in;
};
struct route_answer {
    int error;    /* of the kernel (EHOSTUNREACH …); 0: there is a way */
    uint8_t type; /* RTN_UNICAST, RTN_LOCAL … */
    unsigned out; /* the link */
};
int route_ask(struct nl_sock *sk, const struct route_question *q, struct route_answer *out,
              struct error *err);
/* The same for a packet of this host to an IPv6 address. */
int route_ask6(struct nl_sock *sk, const char *dst, struct route_answer *out, struct error *err);

struct route_info {
    uint32_t dst;
    unsigned plen;
    uint8_t type;          /* RTN_UNICAST … */
    uint32_t table;        /* RT_TABLE_MAIN … */
    char dev[IF_NAMESIZE]; /* of the first next hop, "" if none */
    bool gone;             /* the link, and so the route, went away while we looked */
};

/* Calls fn for every route of every table, and for every link, until it returns non-zero, which is
 * returned; 0 after the last; -1 on error. */
int route_each(struct nl_sock *sk, int (*fn)(const struct route_info *r, void *arg), void *arg,
               struct error *err);
int link_each(struct nl_sock *sk, int (*fn)(const struct link_info *l, void *arg), void *arg,
              struct error *err);

#endif
