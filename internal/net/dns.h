/* dns.h: chooses the DNS servers of a guest, its search domains and the options of its resolver. */
#ifndef CRABBOX_NET_DNS_H
#define CRABBOX_NET_DNS_H

#include <stddef.h>

#include "net/net.h"

struct dns_list {
    char addr[NET_DNS_MAX][NET_ADDR_SIZE];
    unsigned n;
    unsigned skipped; /* servers that a guest can't reach: loopback, IPv6 */
    char search[NET_SEARCH_SIZE], options[NET_OPTIONS_SIZE]; /* as in struct net_lease */
};

/* Reads resolv.conf's format. Never fails: servers that can't be used are skipped and counted, and
 * those beyond NET_DNS_MAX are ignored. Of several lines with domains the last one counts. Words
 * that are no domains are left out, and so are options but those that only say how to ask: others
 * trust a server more (trust-ad), or are not for a guest. */
void dns_parse_resolv(const char *text, size_t len, struct dns_list *out);

/* Reads a comma-separated list of IPv4 addresses; ERR_CONFIG names the one that isn't. */
int dns_parse_list(const char *text, struct dns_list *out, struct error *err);

/* The list of the configuration (`network.dns`), or what the host itself asks; behind a local
 * stub, what the stub asks. ERR_CONFIG when there is none that a guest could reach. Search domains
 * and options are the host's either way. */
int dns_choose(const char *configured, struct dns_list *out, struct error *err);

#endif
