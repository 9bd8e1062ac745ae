/* plan.h: chooses addresses. It is the pure part of net_plan. */
#ifndef CRABBOX_NET_PLAN_H
#define CRABBOX_NET_PLAN_H

#include "net/dns.h"
#include "net/net.h"

struct cidr {
    uint32_t base; /* host byte order, no bits beyond the prefix */
    unsigned plen;
};

/* "a.b.c.d/n" with n from 8 to 30 and no host bits; ERR_CONFIG says what is wrong. */
int cidr_parse(const char *text, struct cidr *out, struct error *err);
bool cidr_overlaps(struct cidr a, struct cidr b);

/* The number of leases that fit, and the slot of an attempt: they start at a place that the lease
 * id decides, so that two warmups seldom meet. Slot 0 holds the network's own address and is left
 * out. */
uint32_t pool_slots(struct cidr pool);
uint32_t pool_slot(struct cidr pool, const char *lease_id, unsigned attempt);

/* Fills everything but the DNS servers and the guest's own subnet. */
int plan_names(const struct net_request *req, struct cidr pool, struct net_lease *out,
               struct error *err);

/* The names that both modes have; out->mode is set. */
int plan_common(const struct net_request *req, struct net_lease *out, struct error *err);

/* The route of the host that the pool would hide: `conflict` is its text ("10.0.0.0/8 dev tun0"),
 * empty if there is none. Routes of our own links don't count. */
struct plan_routes {
    struct cidr pool;
    char conflict[64];
    unsigned guest_net;       /* index of the first guest subnet that no route overlaps */
    unsigned guest_net_taken; /* bit i: subnet i overlaps a route or the pool */
};
int plan_look_at_routes(struct cidr pool, struct plan_routes *out, struct error *err);

/* Fills the guest's own subnet and its DNS servers. Next to that subnet there are four more
 * addresses of its kind, which are nobody's. */
void plan_guest(const struct plan_routes *routes, const struct dns_list *dns,
                struct net_lease *out);

#endif
