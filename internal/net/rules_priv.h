/* rules_priv.h: what the rules of the host (rules.c) and those of a lease's namespace
 * (rules_lease.c) share. Only these two use it.
 */
#ifndef CRABBOX_NET_RULES_PRIV_H
#define CRABBOX_NET_RULES_PRIV_H

#include "base/error.h"

/* A guest is an end host, so it has nothing to tell about routes or the size of packets on the way.
 * Whoever hears that size remembers it for ten minutes and for the whole address: the host for the
 * next lease, a server outside for all of the host's connections. */
#define NO_ROUTER(from)                                                                            \
    "  " from "icmp type { redirect, source-quench } drop\n"                                       \
    "  " from "icmp type destination-unreachable icmp code frag-needed drop\n"

/* What the kernel says about a packet (too big, no way there) is related to its connection. So is a
 * connection that the kernel was told to expect, which is nobody's answer. */
#define RELATED "ct state related meta l4proto { icmp, icmpv6 } "

/* The kernel loads a missing part by itself where it can. For one that it could not load, this adds
 * what to type. */
void rules_add_modules(struct error *e);

#endif
