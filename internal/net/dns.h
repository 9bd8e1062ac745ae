/* dns.h: chooses the DNS servers of a guest. */
#ifndef CRABBOX_NET_DNS_H
#define CRABBOX_NET_DNS_H

#include <stddef.h>

#include "net/net.h"

struct dns_list {
    char addr[NET_DNS_MAX][NET_ADDR_SIZE];
    unsigned n;
    unsigned skipped; /* servers that a guest can't reach: loopback, IPv6 */
};

/* Reads the nameserver lines of resolv.conf's format. Never fails: what can't be used is skipped
 * and counted, what is beyond NET_DNS_MAX is ignored. */
void dns_parse_resolv(const char *text, size_t len, struct dns_list *out);

/* Reads a comma-separated list of IPv4 addresses; ERR_CONFIG names the one that isn't. */
int dns_parse_list(const char *text, struct dns_list *out, struct error *err);

/* The list of the configuration (`network.dns`), or what the host itself asks; behind a local
 * stub, what the stub asks. ERR_CONFIG when there is none that a guest could reach. */
int dns_choose(const char *configured, struct dns_list *out, struct error *err);

#endif
