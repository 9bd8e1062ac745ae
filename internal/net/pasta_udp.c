#include "net/pasta_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/limits.h"
#include "net/link.h"
#include "net/record.h"
#include "net/rules.h"
#include "net/sockets.h"

#define SEEN_MS  3000 /* pasta only has to open a socket */
#define LOOK_MS  5
#define DNS_PORT 53

/* ---- ports ---- */

static void mark_part(const struct socket_udp *s, void *arg)
{
    bool *taken = arg;
    for (uint32_t i = 0; i < LIMITS_PASTA_PARTS; i++) {
        const struct limits_ports p = limits_pasta_ports(i);
        taken[i] = taken[i] || (s->port >= p.first && s->port <= p.last);
    }
}

uint32_t pasta_udp_part(void)
{
    bool taken[LIMITS_PASTA_PARTS] = {false};
    uint32_t any;
    random_bytes(&any, sizeof any);
    any %= LIMITS_PASTA_PARTS;
    if (sockets_each_udp(mark_part, taken, NULL) < 0)
        return any;
    for (uint32_t i = 0; i < LIMITS_PASTA_PARTS; i++)
        if (!taken[(any + i) % LIMITS_PASTA_PARTS])
            return (any + i) % LIMITS_PASTA_PARTS;
    return any;
}

/* ---- the question ---- */

struct question {
    const struct net_lease *n;
    uint16_t port;
};

struct packet {
    struct iphdr ip;
    struct udphdr udp;
    uint8_t dns[17];
};
_Static_assert(sizeof(struct packet) == 48, "without the padding it has 45 bytes");
#define PACKET_LEN (offsetof(struct packet, dns) + sizeof(((struct packet *)0)->dns))

static uint16_t checksum(const struct iphdr *ip)
{
    uint16_t words[sizeof *ip / 2];
    uint32_t sum = 0;
    memcpy(words, ip, sizeof words);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* Who are the name servers of the root? A UDP checksum of 0 means that there is none. */
static int write_packet(const struct question *q, struct packet *p)
{
    static const uint8_t dns[] = {0x63, 0x62, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};
    uint32_t from, to;
    if (q->n->n_dns == 0 || net_parse_ipv4(q->n->lease_addr, &from) < 0 ||
        net_parse_ipv4(q->n->dns[0], &to) < 0)
        return -1;
    *p = (struct packet){.ip = {.version = 4,
                                .ihl = sizeof p->ip / 4,
                                .tot_len = htons(PACKET_LEN),
                                .ttl = IPDEFTTL,
                                .protocol = IPPROTO_UDP,
                                .saddr = htonl(from),
                                .daddr = htonl(to)},
                         .udp = {.source = htons(q->port),
                                 .dest = htons(DNS_PORT),
                                 .len = htons(sizeof p->udp + sizeof dns)}};
    p->ip.check = checksum(&p->ip);
    memcpy(p->dns, dns, sizeof dns);
    return 0;
}

/* By a packet socket: the namespace's rules let no socket of its own out. */
static int ask_inside(void *arg, struct error *err)
{
    const struct question *q = arg;
    struct packet p;
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_IP),
                             .sll_halen = ETH_ALEN,
                             .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    unsigned up;
    if (write_packet(q, &p) < 0 || link_index(net_uplink(q->n), &up, err) < 0)
        return -1;
    to.sll_ifindex = (int)up;
    _cleanup_close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, &p, PACKET_LEN, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return error_set(err, ERR_NET, errno, "send a question out of the lease's namespace");
    return 0;
}

/* ---- the answer ---- */

struct look {
    uint16_t port;
    uint32_t link;
    bool all; /* whoever has it */
    unsigned bound, loose;
};

static void look_at(const struct socket_udp *s, void *arg)
{
    struct look *l = arg;
    if (s->port != l->port || (!l->all && s->uid != geteuid()))
        return;
    if (s->link == l->link)
        l->bound++;
    else
        l->loose++;
}

int pasta_udp_bound(uint16_t port, uint32_t link)
{
    struct look l = {.port = port, .link = link};
    if (sockets_each_udp(look_at, &l, NULL) < 0 || l.bound + l.loose == 0)
        return -1;
    return l.loose == 0;
}

/* The first of the lease's ports that nobody has, or 0. */
static uint16_t free_port(const struct net_lease *n)
{
    const struct limits_ports p = limits_pasta_ports(n->slot);
    for (unsigned port = p.first; port <= p.last; port++) {
        struct look l = {.port = (uint16_t)port, .all = true};
        if (sockets_each_udp(look_at, &l, NULL) < 0)
            return 0;
        if (l.bound + l.loose == 0)
            return (uint16_t)port;
    }
    return 0;
}

static int open_inside(void *arg, struct error *err)
{
    (void)arg;
    return rules_open_udp(err);
}

int pasta_udp_open(const struct userns *ns, const struct net_lease *n, const char *dev,
                   const struct deadline *d, struct error *err)
{
    const struct deadline soon = deadline_sub(d, SEEN_MS);
    struct question q = {n, free_port(n)};
    unsigned link;
    int bound = -1;
    if (!q.port || link_index(dev, &link, NULL) < 0)
        return 0;
    if (userns_run(ns, ask_inside, &q, err) < 0)
        return -1;
    while ((bound = pasta_udp_bound(q.port, link)) < 0 && !deadline_passed(&soon))
        (void)poll(NULL, 0, LOOK_MS);
    if (bound <= 0)
        return 0;
    return userns_run(ns, open_inside, NULL, err) < 0 ? -1 : 1;
}
