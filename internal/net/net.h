/* net.h: the network of one lease.
 *
 *   host namespace                       lease namespace (no name: it lives as long as the VMM
 *                                        or the descriptor of the process that makes it)
 *   cbx<slot> 10.213.a.b/31 -- veth --  up0 10.213.a.b+1/31,  tap0 192.0.2.1/30 -- guest 192.0.2.2
 *
 * The guest has the same addresses in every lease. One-to-one NAT in the lease namespace maps them
 * to the lease's own address (the inner end of the veth), and SSH connects to that address. The
 * link claims the address: its name carries the slot, and the kernel refuses a second link of that
 * name (ERR_EXISTS: try the next slot). The outer end's MAC is derived from the lease id. So undo
 * never removes a link of another lease that won a race for the same slot.
 *
 * With the host's CNI plugin chain the inside is the same, but the chain makes the link. In place
 * of up0 there is eth0, with the address that the chain gave the lease (see chain.h).
 *
 * Order: net_plan (names only) → record → net_apply → ... → net_undo. net_undo uses only
 * the record, and succeeds if nothing is there. No other module uses libnl or libnftables.
 *
 * Undo removes the outer link and the entries in the nft table. Everything inside the lease
 * namespace goes with the last process or descriptor that holds it. Before undo gives up the claims
 * of the lease (the link's name, the chain's address), it removes the lease's connections from the
 * host's table. rules.h describes the guarantees of the rules, and docs/NETWORK.md describes them
 * for users. The guest has IPv4 only for now. IPv6 is closed at the tap, in the namespace and at
 * the host.
 */
#ifndef CRABBOX_NET_NET_H
#define CRABBOX_NET_NET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "sys/deadline.h"

#define NET_ADDR_SIZE    46 /* INET6_ADDRSTRLEN */
#define NET_DNS_MAX      3
#define NET_MAC_SIZE     18
#define NET_TABLE_SIZE   32
#define NET_CIDR_SIZE    20
#define NET_SEARCH_SIZE  2048
#define NET_OPTIONS_SIZE 160

enum net_mode {
    NET_NAT,   /* our own veth pair and host rules */
    NET_CNI,   /* a link that the host's plugin chain made */
    NET_PASTA, /* without root: a user namespace, and the program pasta as the way out (pasta.h) */
};

/* What may pass each second (rates.h); 0: no limit. */
struct net_rates {
    int64_t in, out; /* bytes, as the guest sees it */
    int64_t packets; /* each way; frames of up to 64 KiB */
};

/* Every host fact of a lease's network, by value: it is part of the lease record. With NET_CNI and
 * NET_PASTA there is no slot and no veth of ours. With NET_CNI the addresses are empty until the
 * chain has given them. */
struct net_lease {
    enum net_mode mode;
    bool peers;                  /* NET_CNI: the guest may reach its own subnet */
    unsigned lease_plen;         /* NET_CNI: of lease_addr */
    uint32_t slot;               /* index of the /31 in the pool; NET_PASTA: of its ports for UDP
                                  * (pasta_udp.h) */
    char veth[IF_NAMESIZE];      /* outer end, "cbx" + slot: the claim */
    char veth_mac[NET_MAC_SIZE]; /* derived from the lease id: proof of ownership, of the link or,
                                  * with NET_CNI, of the address's entry in the host's table */
    char tap[IF_NAMESIZE];       /* inside the lease namespace */
    char guest_mac[NET_MAC_SIZE];
    char host_addr[NET_ADDR_SIZE];  /* outer end of the veth; NET_CNI: the gateway, or "";
                                     * NET_PASTA: pasta's */
    char lease_addr[NET_ADDR_SIZE]; /* inner end: where SSH connects but with NET_PASTA */
    char guest_addr[NET_ADDR_SIZE]; /* inside the guest */
    char gateway[NET_ADDR_SIZE];    /* the tap's address */
    char pool[NET_CIDR_SIZE];       /* what host_addr and lease_addr come from; "" in old records */
    char table[NET_TABLE_SIZE];     /* nft table in the host namespace, one per state directory
                                     * and pool */
    char dns[NET_DNS_MAX][NET_ADDR_SIZE];
    unsigned n_dns;
    /* Words with one blank between them: domains, and options such as "ndots:5" (dns.h). */
    char dns_search[NET_SEARCH_SIZE], dns_options[NET_OPTIONS_SIZE];
    struct net_rates rates;
};

struct net_request {
    const char *lease_id;  /* "cbx_" + 12 hex */
    const char *pool;      /* CIDR */
    const char *dns;       /* comma-separated, "" = from the host */
    const char *state_dir; /* names the nft table, with the pool */
    unsigned attempt;      /* 0, 1, 2 …: which candidate slot */
    struct net_rates rates;
};

/* Whether this process may make a lease's network at all: ERR_ENV names the capability it lacks, or
 * can't be asked for. */
int net_check_rights(struct error *err);

/* Chooses names and addresses; touches nothing. Fails on a bad pool, one that overlaps a route of
 * the host (other than our own links), no usable DNS server, or when attempt exceeds the pool. */
int net_plan(const struct net_request *req, struct net_lease *out, struct error *err);

/* Makes namespace, rules (before any link is up), links, addresses, routes. Returns the
 * namespace's descriptor (caller closes; the VMM is started in it), or -1: ERR_EXISTS when the slot
 * is taken, ERR_ENV when a capability, /dev/net/tun, a part of the kernel or forwarding on the
 * uplink is missing. On error it has undone what it made. */
int net_apply(const struct net_lease *n, struct error *err);

/* Removes everything that net_apply or net_chain_join made, using only the record. Also removes
 * the lease's connections from the host's table. */
int net_undo(const struct net_lease *n, struct error *err);

/* A packet socket in the lease namespace that turns readable when the guest sends its first
 * frames: the event that readiness waits on. Caller closes. */
int net_watch_guest(int netns_fd, const struct net_lease *n, struct error *err);

const char *net_mode_name(enum net_mode mode); /* "nat", "cni", "pasta" */
/* -1 if there is no such mode; then *out stays. */
int net_mode_by_name(const char *name, enum net_mode *out);

/* The record's JSON object. */
cJSON *net_lease_to_json(const struct net_lease *n);
int net_lease_from_json(const cJSON *j, struct net_lease *out, struct error *err);

/* ---- for doctor and residue checks ---- */
struct net_found {
    char name[64]; /* link or table */
    char kind[16]; /* "link" or "nft-table" */
};
/* Lists links named like ours ("cbx" + digits with our MAC prefix rule) and nft tables named like
 * ours in the current namespace. Returns the number written (at most max), or -1. */
int net_scan(struct net_found *out, unsigned max, struct error *err);

/* The modules that a lease's rules need if the kernel is built with modules. */
#define NET_MODULES                                                                                \
    "nft_ct nft_connlimit nft_limit nft_fib_inet nft_nat nft_masq nft_socket "                     \
    "nft_reject_inet nf_conntrack_netlink"

enum net_check { NET_OK, NET_MISSING, NET_UNKNOWN };
struct net_host_state {
    enum net_check cap_net_admin, cap_sys_admin, tun, nft;
    enum net_check rules;   /* the kernel accepts a lease's rules, limits included */
    char rules_lack[200];   /* why it doesn't */
    bool forward_drop;      /* some other base chain on forward has policy drop */
    char forward_owner[64]; /* its table, "ip filter" */
    bool pool_conflict;
    char pool_route[64]; /* the route it overlaps */
};
/* Changes nothing, but the kernel may load modules that a lease needs. */
int net_host_look(const char *pool, struct net_host_state *out, struct error *err);

/* How guests reach the outside and their DNS servers, as the kernel's routing has it (way.h). */
enum net_way_end {
    NET_WAY_NONE,          /* the host has no way out itself */
    NET_WAY_OUT,           /* out, and the answers come back */
    NET_WAY_IPV6,          /* the host has one over IPv6 alone */
    NET_WAY_HOST,          /* the host's own packets to a guest would leave by `dev` */
    NET_WAY_NOT_FORWARDED, /* `dev`, where answers from `to` come in, does not forward */
    NET_WAY_ASTRAY,        /* they come in there, and are dropped or go elsewhere */
    NET_WAY_REFUSED,       /* the host reaches `to` by `dev`; guests don't */
};
struct net_way {
    enum net_way_end end;
    char dev[IF_NAMESIZE];
    char to[NET_ADDR_SIZE];
};
/* Needs the rights of net_check_rights(). A link of the pool's slot 0 is there meanwhile. */
int net_way_look(const char *pool, const char *dns, struct net_way *out, struct error *err);
/* ERR_ENV: why no lease can be made there, and what would help. */
int net_way_check(const struct net_way *w, const char *pool, struct error *err);
/* The same of what only keeps guests from the outside: SSH to them works. */
int net_way_doubt(const struct net_way *w, const char *pool, struct error *err);

#endif
