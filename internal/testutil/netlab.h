/* netlab.h: a network to try a lease's network in, without a VMM.
 *
 *   outside namespace 198.18.0.2 -- veth -- 198.18.0.1 wan0, this process -- lease -- guest
 *
 * lab_enter() moves the whole test process into a namespace of its own, so nothing touches the
 * machine's network and everything goes when the test ends. A guest is the kernel's own network
 * stack in another namespace, whose tap is joined frame by frame to the lease's tap, which is
 * opened with the flags of Firecracker and QEMU.
 *
 * Every helper ends the test (cmocka's fail) when the lab itself doesn't work.
 */
#ifndef CRABBOX_TESTUTIL_NETLAB_H
#define CRABBOX_TESTUTIL_NETLAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"

#define LAB_HOST    "198.18.0.1" /* this process's own address on wan0 */
#define LAB_OUTSIDE "198.18.0.2"

/* In main, before cmocka. False where no namespace can be made: then `return lab_refuse()`, which
 * reports one skipped test, or a failed one where CI is set. Once more in a setup, it gives the
 * test a namespace that nothing has happened in yet. */
bool lab_enter(void);
int lab_refuse(void);

#define LAB_REACH_MS 2000 /* for what should arrive: enough on a busy machine */
#define LAB_BLOCK_MS 150  /* for what should not */

struct lab {
    int here;    /* this process's namespace */
    int outside; /* the namespace beyond the uplink */
};

/* Makes wan0 with forwarding, the outside and the default route to it. */
void lab_up(struct lab *lab);
void lab_down(struct lab *lab);
/* Gives a link of a namespace another address (/32). */
void lab_add_addr(int ns, const char *link, const char *addr);
/* Routes dst (/32) by a gateway on a link of a namespace. */
void lab_add_route(int ns, const char *link, const char *dst, const char *gateway);
/* Gives a link of a namespace an IPv6 address (/64), or another MTU. */
void lab_add_addr6(int ns, const char *link, const char *addr);
void lab_mtu(int ns, const char *link, int mtu);
/* Whether a link of a namespace has an IPv6 address. */
bool lab_has_ipv6(int ns, const char *link);

struct lab_guest {
    int ns;
    int tap[2]; /* the lease's, the guest's */
    int stop;   /* eventfd */
    pthread_t pump;
};

/* Starts a guest on the lease's tap with the addresses of the record. */
void lab_guest_start(struct lab_guest *g, int lease_ns, const struct net_lease *n);
void lab_guest_stop(struct lab_guest *g);

/* net_plan, net_apply (the lease's namespace, caller closes) and net_undo that must succeed. */
void lab_plan(struct net_lease *n, const struct net_request *req);
int lab_apply(const struct net_lease *n);
void lab_undo(const struct net_lease *n);

/* A lease with a guest in it. lab_kill ends both, but undoes nothing. */
struct lab_member {
    struct net_lease n;
    int ns;
    struct lab_guest guest;
};
void lab_join(struct lab_member *m, const struct net_request *req);
/* With all but its id as most tests have it. */
void lab_join_by_id(struct lab_member *m, const char *id);
void lab_kill(struct lab_member *m);
void lab_leave(struct lab_member *m);

/* A lab with a server of each kind outside, and two places for leases: lab_world_down ends those
 * that are there (ns >= 0), and fails when anything is left. */
#define LAB_PORT 7070
struct lab_world {
    struct lab lab;
    struct lab_member a, b;
    int udp, tcp; /* outside, at LAB_PORT */
};
struct lab_world *lab_world_up(void);
void lab_world_down(struct lab_world *w);
/* The host's own way out, by new connections. */
void lab_assert_host_connects(const struct lab_world *w);
/* A TCP connection from `ns` to the outside: both ends, which don't block. */
void lab_connect(const struct lab_world *w, int ns, int ends[2]);

/* A lease whose link a chain made: here a pair of links, as the plugin ptp makes it, number `i`
 * below ten. Gives its namespace. Nothing is masqueraded: the test says by a rule or a route how
 * answers come back. */
#define LAB_CHAIN_NET   "10.88.0.0/16" /* all of them */
#define LAB_CHAIN_LEASE "10.88.0.2"    /* number 0 */
int lab_chain_join(unsigned i, bool peers, struct net_lease *n);
void lab_chain_leave(unsigned i, const struct net_lease *n);
/* With a guest in it, and with forwarding. */
void lab_join_chain(const struct lab_world *w, unsigned i, bool peers, struct lab_member *m);
void lab_leave_chain(unsigned i, struct lab_member *m);
/* As if the guest had talked the lease's namespace into keeping its ports. */
void lab_keep_port(const struct lab_member *m);

/* A socket of namespace `ns`; bound to addr:port when addr is not NULL. SOCK_STREAM ones listen. */
int lab_socket(int ns, int type, const char *addr, uint16_t port);
/* A TCP socket to connect with, non-blocking. */
int lab_client(int ns);
/* A UDP socket for IPv6, bound to a port. */
int lab_socket6(int ns, uint16_t port);
/* A raw packet socket on a link of `ns`, non-blocking. */
int lab_packet_socket(int ns, const char *link);

/* Sends a datagram from a new UDP socket in `ns` to addr:port. True when it reaches `server` (an
 * UDP socket) within wait_ms; peer (may be NULL) is who sent it, as the server sees it. */
bool lab_udp_reaches(int ns, int server, const char *addr, uint16_t port, int wait_ms, char *peer);
/* The same, sent with an address of `ns` as its source. */
bool lab_udp_from(int ns, const char *from, int server, const char *addr, uint16_t port,
                  int wait_ms);
/* Connects from `ns`, sends a byte, and reads it back through the listener. */
bool lab_tcp_echoes(int ns, int listener, const char *addr, uint16_t port, int wait_ms);
/* One ICMP echo from `ns` answered within the time. */
bool lab_ping(int ns, const char *addr, int wait_ms);

/* Sends a datagram to each of n addresses from addr on, or to each of n ports of one address, as
 * far as the kernel lets it, and waits until all of them have passed or been dropped on the way to
 * LAB_OUTSIDE: a ping that comes behind them is answered. */
void lab_scan_ports(int ns, const char *addr, uint16_t port, unsigned n);
void lab_scan_addrs(int ns, const char *addr, unsigned n, uint16_t port);

/* How many connections from or to an address the namespace's kernel knows. */
long lab_flows_of(int ns, const char *addr);
/* From now on UDP and ICMP ones last longer than any test, where the kernel allows that. */
void lab_keep_flows(int ns);

/* Runs nft commands in a namespace. */
void lab_nft(int ns, const char *commands);

/* Writes a setting (below /proc/sys) of a namespace. */
void lab_sysctl(int ns, const char *path, const char *value);

#endif
