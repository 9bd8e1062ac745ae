#include "net/record.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/fields.h"
#include "net/rates.h"

static bool all_in(const char *s, const char *set)
{
    return *s && s[strspn(s, set)] == '\0';
}

bool net_is_our_link_name(const char *name)
{
    return str_has_prefix(name, NET_LINK_PREFIX) &&
           all_in(name + strlen(NET_LINK_PREFIX), "0123456789");
}

bool net_is_our_table_name(const char *name)
{
    const char *hex = name + strlen(NET_TABLE_PREFIX);
    return str_has_prefix(name, NET_TABLE_PREFIX) && strlen(hex) == 8 &&
           all_in(hex, "0123456789abcdef");
}

int net_parse_ipv4(const char *s, uint32_t *out)
{
    struct in_addr a;
    if (inet_pton(AF_INET, s, &a) != 1)
        return -1;
    *out = ntohl(a.s_addr);
    return 0;
}

void net_format_ipv4(uint32_t addr, char out[static NET_ADDR_SIZE])
{
    (void)snprintf(out, NET_ADDR_SIZE, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
                   addr & 255);
}

void net_format_mac(const uint8_t mac[static 6], char out[static NET_MAC_SIZE])
{
    (void)snprintf(out, NET_MAC_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                   mac[3], mac[4], mac[5]);
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Exactly "xx:xx:xx:xx:xx:xx" in lower case, locally administered and unicast. */
static int parse_mac(const char *s, uint8_t out[6])
{
    if (strlen(s) != NET_MAC_SIZE - 1)
        return -1;
    for (int i = 0; i < 6; i++) {
        int hi = hex_digit(s[3 * i]), lo = hex_digit(s[3 * i + 1]);
        if (hi < 0 || lo < 0 || (i < 5 && s[3 * i + 2] != ':'))
            return -1;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return (out[0] & 3) == 2 ? 0 : -1;
}

static int bad(struct error *err, const char *field, const char *value)
{
    return error_set(err, ERR_STATE, 0, "network record: %s is \"%.40s\"", field, value);
}

bool net_is_planned(const struct net_lease *n)
{
    return n->mode == NET_NAT ? n->veth[0] != '\0' : n->lease_addr[0] != '\0';
}

const char *net_uplink(const struct net_lease *n)
{
    return n->mode == NET_CNI ? NET_CHAIN_UPLINK : NET_UPLINK;
}

/* The two ends of our veth pair. */
static int view_pair(const struct net_lease *n, struct net_view *v, struct error *err)
{
    char slot_name[IF_NAMESIZE];
    if (str_format(slot_name, sizeof slot_name, NET_LINK_PREFIX "%u", n->slot) < 0 ||
        strcmp(slot_name, n->veth) != 0)
        return bad(err, "veth", n->veth);
    if (parse_mac(n->veth_mac, v->veth_mac) < 0)
        return bad(err, "veth_mac", n->veth_mac);
    memcpy(v->uplink_mac, v->veth_mac, sizeof v->uplink_mac);
    v->uplink_mac[0] ^= 4;
    if (net_parse_ipv4(n->host_addr, &v->host_addr) < 0 || v->host_addr % 2 != 0)
        return bad(err, "host_addr", n->host_addr);
    if (net_parse_ipv4(n->lease_addr, &v->lease_addr) < 0 || v->lease_addr != v->host_addr + 1)
        return bad(err, "lease_addr", n->lease_addr);
    return 0;
}

/* What a chain gave: any address, and perhaps a gateway. */
static int view_chain(const struct net_lease *n, struct net_view *v, struct error *err)
{
    if (n->veth[0] != '\0')
        return bad(err, "veth", n->veth);
    if (n->veth_mac[0] && parse_mac(n->veth_mac, v->veth_mac) < 0)
        return bad(err, "veth_mac", n->veth_mac);
    if (net_parse_ipv4(n->lease_addr, &v->lease_addr) < 0)
        return bad(err, "lease_addr", n->lease_addr);
    if (n->host_addr[0] && net_parse_ipv4(n->host_addr, &v->host_addr) < 0)
        return bad(err, "host_addr", n->host_addr);
    if (n->lease_plen < 1 || n->lease_plen > 32)
        return error_set(err, ERR_STATE, 0, "network record: lease_plen is %u", n->lease_plen);
    return 0;
}

/* Addresses of its own namespace, which nothing else has. */
static int view_pasta(const struct net_lease *n, struct net_view *v, struct error *err)
{
    if (n->veth[0] != '\0')
        return bad(err, "veth", n->veth);
    if (net_parse_ipv4(n->host_addr, &v->host_addr) < 0 || v->host_addr % 4 != 1)
        return bad(err, "host_addr", n->host_addr);
    if (net_parse_ipv4(n->lease_addr, &v->lease_addr) < 0 || v->lease_addr != v->host_addr + 1)
        return bad(err, "lease_addr", n->lease_addr);
    return 0;
}

/* Goes into rules as it is. A record of before there was the field has none. */
static int check_pool(const struct net_lease *n, struct error *err)
{
    char addr[NET_CIDR_SIZE];
    uint32_t base;
    uint64_t plen;
    size_t len = strcspn(n->pool, "/");
    if (n->pool[0] == '\0')
        return 0;
    memcpy(addr, n->pool, sizeof addr);
    addr[len] = '\0';
    if (n->pool[len] != '/' || net_parse_ipv4(addr, &base) < 0 ||
        str_to_u64(n->pool + len + 1, &plen) < 0 || plen < 8 || plen > 30)
        return bad(err, "pool", n->pool);
    return 0;
}

static int view_guest(const struct net_lease *n, struct net_view *v, struct error *err)
{
    if (net_parse_ipv4(n->gateway, &v->gateway) < 0 || v->gateway % 4 != 1)
        return bad(err, "gateway", n->gateway);
    if (net_parse_ipv4(n->guest_addr, &v->guest_addr) < 0 || v->guest_addr != v->gateway + 1)
        return bad(err, "guest_addr", n->guest_addr);
    if (n->n_dns > NET_DNS_MAX)
        return error_set(err, ERR_STATE, 0, "network record: %u DNS servers", n->n_dns);
    for (unsigned i = 0; i < n->n_dns; i++)
        if (net_parse_ipv4(n->dns[i], &v->dns[i]) < 0)
            return bad(err, "dns", n->dns[i]);
    return 0;
}

int net_view(const struct net_lease *n, struct net_view *out, struct error *err)
{
    static int (*const views[])(const struct net_lease *, struct net_view *, struct error *) = {
        [NET_NAT] = view_pair, [NET_CNI] = view_chain, [NET_PASTA] = view_pasta};
    struct net_view v = {.group = 0};
    if (views[n->mode](n, &v, err) < 0)
        return -1;
    if (!str_has_prefix(n->tap, "tap") || !all_in(n->tap + 3, "0123456789"))
        return bad(err, "tap", n->tap);
    if (!net_is_our_table_name(n->table))
        return bad(err, "table", n->table);
    if (check_pool(n, err) < 0)
        return -1;
    for (const char *p = n->table + strlen(NET_TABLE_PREFIX); *p; p++)
        v.group = v.group << 4 | (uint32_t)hex_digit(*p);
    if (parse_mac(n->guest_mac, v.guest_mac) < 0)
        return bad(err, "guest_mac", n->guest_mac);
    if (view_guest(n, &v, err) < 0)
        return -1;
    *out = v;
    return 0;
}

static const struct field rows[] = {
    FIELD_STR("veth", struct net_lease, veth),
    FIELD_STR("veth_mac", struct net_lease, veth_mac),
    FIELD_STR("tap", struct net_lease, tap),
    FIELD_STR("guest_mac", struct net_lease, guest_mac),
    FIELD_STR("host_addr", struct net_lease, host_addr),
    FIELD_STR("lease_addr", struct net_lease, lease_addr),
    FIELD_STR("guest_addr", struct net_lease, guest_addr),
    FIELD_STR("gateway", struct net_lease, gateway),
    FIELD_STR("table", struct net_lease, table),
};

cJSON *net_lease_to_json(const struct net_lease *n)
{
    cJSON *j = cJSON_CreateObject();
    if (n->mode != NET_NAT)
        (void)cJSON_AddStringToObject(j, "mode", net_mode_name(n->mode));
    if (n->mode == NET_CNI) {
        (void)cJSON_AddBoolToObject(j, "peers", n->peers);
        json_add_i64(j, "lease_plen", n->lease_plen);
    }
    json_add_i64(j, "slot", n->slot);
    fields_add(j, rows, ARRAY_LEN(rows), n);
    if (n->pool[0])
        (void)cJSON_AddStringToObject(j, "pool", n->pool);
    cJSON *dns = cJSON_AddArrayToObject(j, "dns");
    for (unsigned i = 0; i < n->n_dns && i < NET_DNS_MAX; i++)
        (void)cJSON_AddItemToArray(dns, cJSON_CreateString(n->dns[i]));
    if (n->dns_search[0])
        (void)cJSON_AddStringToObject(j, "dns_search", n->dns_search);
    if (n->dns_options[0])
        (void)cJSON_AddStringToObject(j, "dns_options", n->dns_options);
    cJSON *rates = rates_to_json(&n->rates);
    if (rates)
        (void)cJSON_AddItemToObject(j, "rates", rates);
    return j;
}

static int dns_from_json(const cJSON *j, struct net_lease *n, struct error *err)
{
    const cJSON *dns = cJSON_GetObjectItemCaseSensitive(j, "dns");
    if (!cJSON_IsArray(dns))
        return error_set(err, ERR_STATE, 0, "\"dns\" is not a list");
    const cJSON *item;
    cJSON_ArrayForEach(item, dns)
    {
        if (n->n_dns == NET_DNS_MAX || !cJSON_IsString(item) ||
            str_copy(n->dns[n->n_dns], NET_ADDR_SIZE, item->valuestring) < 0)
            return error_set(err, ERR_STATE, 0, "\"dns\" is not a list of at most %d addresses",
                             NET_DNS_MAX);
        n->n_dns++;
    }
    if (str_copy(n->dns_search, sizeof n->dns_search, json_opt_string(j, "dns_search", "")) < 0 ||
        str_copy(n->dns_options, sizeof n->dns_options, json_opt_string(j, "dns_options", "")) < 0)
        return error_set(err, ERR_STATE, 0, "\"dns_search\" or \"dns_options\" is too long");
    return 0;
}

static const char *const mode_names[] = {
    [NET_NAT] = "nat", [NET_CNI] = "cni", [NET_PASTA] = "pasta"};

const char *net_mode_name(enum net_mode mode)
{
    return mode_names[mode];
}

int net_mode_by_name(const char *name, enum net_mode *out)
{
    for (size_t i = 0; i < ARRAY_LEN(mode_names); i++)
        if (str_eq(name, mode_names[i])) {
            *out = (enum net_mode)i;
            return 0;
        }
    return -1;
}

/* A record without a mode is of our own links, as all were before there was a choice. */
static int mode_from_json(const cJSON *j, struct net_lease *n, struct error *err)
{
    int64_t plen;
    const char *mode = json_opt_string(j, "mode", "nat");
    if (net_mode_by_name(mode, &n->mode) < 0)
        return bad(err, "mode", mode);
    if (n->mode != NET_CNI)
        return 0;
    if (json_get_bool(j, "peers", &n->peers, err) < 0 ||
        json_get_i64(j, "lease_plen", &plen, err) < 0)
        return -1;
    if (plen < 0 || plen > 32)
        return error_set(err, ERR_STATE, 0, "\"lease_plen\" is out of range");
    n->lease_plen = (unsigned)plen;
    return 0;
}

int net_lease_from_json(const cJSON *j, struct net_lease *out, struct error *err)
{
    struct net_lease n = {.n_dns = 0};
    int64_t slot;
    if (mode_from_json(j, &n, err) < 0 || json_get_i64(j, "slot", &slot, err) < 0)
        return -1;
    if (slot < 0 || slot > UINT32_MAX)
        return error_set(err, ERR_STATE, 0, "\"slot\" is out of range");
    n.slot = (uint32_t)slot;
    if (fields_read(j, rows, ARRAY_LEN(rows), &n, err) < 0)
        return -1;
    if (str_copy(n.pool, sizeof n.pool, json_opt_string(j, "pool", "")) < 0)
        return error_set(err, ERR_STATE, 0, "\"pool\" is too long");
    if (dns_from_json(j, &n, err) < 0 ||
        rates_from_json(cJSON_GetObjectItemCaseSensitive(j, "rates"), &n.rates, err) < 0)
        return -1;
    struct net_view unused;
    if (net_is_planned(&n) && net_view(&n, &unused, err) < 0)
        return -1;
    *out = n;
    return 0;
}
