#include "guest/seed_net.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "guest/seedjson.h"

int seed_addr_parse(const char *text, struct seed_addr *out)
{
    char addr[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof addr)
        return -1;
    memcpy(addr, text, n);
    addr[n] = '\0';
    *out = (struct seed_addr){.family = strchr(addr, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(out->family, addr, out->bytes) != 1)
        return -1;
    uint64_t longest = out->family == AF_INET ? 32 : 128, prefix = longest;
    if (slash && (str_to_u64(slash + 1, &prefix) < 0 || prefix > longest))
        return -1;
    out->prefix = (uint8_t)prefix;
    return 0;
}

bool seed_addr_is_loopback(const struct seed_addr *a)
{
    if (a->family == AF_INET)
        return a->bytes[0] == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->v6);
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, ERR_STATE, 0, "seed drive: network-config: %s", what);
}

/* The six bytes of "02:00:5e:10:00:01". */
static int parse_mac(const char *text, uint8_t mac[6])
{
    static const char digits[] = "0123456789abcdef";
    if (!text || strlen(text) != 17)
        return -1;
    for (int i = 0; i < 17; i++) {
        if (i % 3 == 2) {
            if (text[i] != ':')
                return -1;
            continue;
        }
        char lower = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + 32) : text[i];
        const char *d = strchr(digits, lower);
        if (!d)
            return -1;
        uint8_t nibble = (uint8_t)(d - digits);
        mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | nibble); /* the high one moves up */
    }
    return 0;
}

static int parse_addresses(const json_t *list, struct seed_addr *out, unsigned max, unsigned *count,
                           struct error *err)
{
    size_t i;
    const json_t *a;
    json_array_foreach(list, i, a)
    {
        if (*count == max)
            return bad(err, "too many addresses");
        if (!json_is_string(a) || seed_addr_parse(json_string_value(a), &out[*count]) < 0)
            return bad(err, "an entry of addresses is not an address");
        (*count)++;
    }
    return 0;
}

static int add_route(struct seed_net *net, const char *to, const char *via, struct error *err)
{
    struct seed_route r;
    if (net->nroutes == SEED_ROUTES_MAX)
        return bad(err, "too many routes");
    if (!via || seed_addr_parse(via, &r.via) < 0)
        return bad(err, "a route has no via address");
    bool v4 = r.via.family == AF_INET;
    if (to && (str_eq(to, "default") || str_eq(to, "0/0")))
        to = NULL;
    if (!to)
        to = v4 ? "0.0.0.0/0" : "::/0";
    if (seed_addr_parse(to, &r.to) < 0 || r.to.family != r.via.family)
        return bad(err, "a route's destination does not fit its via address");
    net->routes[net->nroutes++] = r;
    return 0;
}

static int parse_routes(const json_t *eth, struct seed_net *net, struct error *err)
{
    size_t n;
    const json_t *r;
    json_array_foreach(json_object_get(eth, "routes"), n,
                       r) if (add_route(net, seedjson_string(r, "to"), seedjson_string(r, "via"),
                                        err) < 0) return -1;
    static const char *const gateways[] = {"gateway4", "gateway6"};
    for (size_t i = 0; i < ARRAY_LEN(gateways); i++) {
        const char *via = seedjson_string(eth, gateways[i]);
        if (via && add_route(net, NULL, via, err) < 0)
            return -1;
    }
    return 0;
}

/* A kernel interface name: short, no separator. */
static bool is_ifname(const char *s)
{
    return *s && strlen(s) < sizeof((struct seed_net *)NULL)->name && !strpbrk(s, "/: \t\n") &&
           !str_eq(s, ".") && !str_eq(s, "..");
}

static int parse_ethernet(const char *key, const json_t *eth, struct seed_net *net,
                          struct error *err)
{
    const char *name = seedjson_string(eth, "set-name");
    if (!name)
        name = key;
    if (!is_ifname(name) || str_copy(net->name, sizeof net->name, name) < 0)
        return bad(err, "not an interface name");
    if (parse_mac(seedjson_string(json_object_get(eth, "match"), "macaddress"), net->mac) < 0)
        return bad(err, "match.macaddress is missing or not a MAC");
    if (parse_addresses(json_object_get(eth, "addresses"), net->addrs, SEED_ADDRS_MAX, &net->naddrs,
                        err) < 0)
        return -1;
    const json_t *servers = json_object_get(json_object_get(eth, "nameservers"), "addresses");
    if (parse_addresses(servers, net->servers, SEED_SERVERS_MAX, &net->nservers, err) < 0)
        return -1;
    return parse_routes(eth, net, err);
}

int seed_net_parse(const char *text, struct seed_net *out, struct error *err)
{
    *out = (struct seed_net){0};
    _cleanup_seedjson_ json_t *root = seedjson_parse(text, "network-config", err);
    if (!root)
        return -1;
    const json_t *nested = json_object_get(root, "network");
    const json_t *config = nested ? nested : root;
    if (json_integer_value(json_object_get(config, "version")) != 2)
        return bad(err, "not version 2");
    json_t *ethernets = json_object_get(config, "ethernets");
    if (json_object_size(ethernets) != 1)
        return bad(err, "exactly one entry under ethernets is expected");
    void *only = json_object_iter(ethernets);
    return parse_ethernet(json_object_iter_key(only), json_object_iter_value(only), out, err);
}
