/* record.h: the record of a lease's network, checked and in binary.
 *
 * A record comes from disk, and its strings go into rules and link names. So the exact shape of
 * each string is checked before anything uses it.
 */
#ifndef CRABBOX_NET_RECORD_H
#define CRABBOX_NET_RECORD_H

#include "net/net.h"

#define NET_TABLE_PREFIX "crabbox_fc_"
#define NET_LINK_PREFIX  "cbx"
#define NET_UPLINK       "up0"  /* inner end of the veth */
#define NET_CHAIN_UPLINK "eth0" /* what a plugin chain makes instead */

/* The tap's MAC. It is the same in every lease, so a guest that was saved with its ARP table also
 * runs in another lease. */
#define NET_TAP_MAC ((const uint8_t[6]){0x06, 0xfc, 0x00, 0x00, 0x00, 0x01})

struct net_view {
    uint32_t host_addr, lease_addr, guest_addr, gateway; /* host byte order */
    uint32_t dns[NET_DNS_MAX];
    uint8_t veth_mac[6];   /* outer end */
    uint8_t uplink_mac[6]; /* inner end: the source of every frame the lease sends to the host */
    uint8_t guest_mac[6];
    uint32_t group; /* link group of the table's leases, from its name */
};

/* Whether the host may have anything of this lease: a name was chosen, or a chain's address was
 * recorded. Only then can net_view() succeed. */
bool net_is_planned(const struct net_lease *n);

/* The link in the lease's namespace that leads out. */
const char *net_uplink(const struct net_lease *n);

/* ERR_STATE names the field that is wrong. */
int net_view(const struct net_lease *n, struct net_view *out, struct error *err);

/* True for "cbx" and digits. */
bool net_is_our_link_name(const char *name);
/* True for "crabbox_fc_" and 8 hex digits. */
bool net_is_our_table_name(const char *name);

/* Dotted quad to host byte order; -1 if it is not one. */
int net_parse_ipv4(const char *s, uint32_t *out);
void net_format_ipv4(uint32_t addr, char out[static NET_ADDR_SIZE]);
void net_format_mac(const uint8_t mac[static 6], char out[static NET_MAC_SIZE]);

#endif
