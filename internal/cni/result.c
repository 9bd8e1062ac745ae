#include "cni/result.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

/* "10.88.0.2/24" → address and prefix, family AF_INET or AF_INET6; -1 if it is neither. */
static int split_cidr(const char *text, char addr[static CNI_ADDR_SIZE], unsigned *plen,
                      int *family)
{
    unsigned char bin[16];
    uint64_t n;
    size_t len = strcspn(text, "/");
    if (len >= CNI_ADDR_SIZE || text[len] != '/' || str_to_u64(text + len + 1, &n) < 0)
        return -1;
    memcpy(addr, text, len);
    addr[len] = '\0';
    *family = inet_pton(AF_INET, addr, bin) == 1 ? AF_INET : AF_INET6;
    if (*family == AF_INET6 && inet_pton(AF_INET6, addr, bin) != 1)
        return -1;
    *plen = (unsigned)n;
    return n >= 1 && n <= (*family == AF_INET ? 32 : 128) ? 0 : -1;
}

static bool is_ipv4(const char *s)
{
    struct in_addr a;
    return inet_pton(AF_INET, s, &a) == 1;
}

/* Whether an address belongs to the lease's interface. An address without "interface" does; for
 * others, the entry that it points at decides. */
static int on_interface(const cJSON *ip, const cJSON *interfaces, const char *ifname,
                        struct error *err)
{
    const cJSON *index = cJSON_GetObjectItemCaseSensitive(ip, "interface");
    if (!index)
        return 1;
    const cJSON *i = cJSON_IsNumber(index) && index->valueint >= 0
                         ? cJSON_GetArrayItem(interfaces, index->valueint)
                         : NULL;
    if (!i)
        return error_set(err, ERR_NET, 0, "an address points at an interface that is not listed");
    return *json_opt_string(i, "sandbox", "") && str_eq(json_opt_string(i, "name", ""), ifname);
}

static int take_ip(const cJSON *ip, struct cni_result *r, struct error *err)
{
    char addr[CNI_ADDR_SIZE];
    unsigned plen;
    int family;
    const char *text = json_opt_string(ip, "address", "");
    const char *gateway = json_opt_string(ip, "gateway", "");
    if (split_cidr(text, addr, &plen, &family) < 0)
        return error_set(err, ERR_NET, 0, "\"%.60s\" is not an address with a prefix", text);
    if (r->n_all == CNI_ADDRS_MAX)
        return error_set(err, ERR_NET, 0, "more than %d addresses", CNI_ADDRS_MAX);
    (void)str_format(r->all[r->n_all++], CNI_ADDR_SIZE, "%s/%u", addr, plen);
    if (family != AF_INET || r->addr[0])
        return 0;
    if (*gateway && !is_ipv4(gateway))
        return error_set(err, ERR_NET, 0, "gateway \"%.60s\" is not an IPv4 address", gateway);
    memcpy(r->addr, addr, sizeof addr);
    r->plen = plen;
    return str_copy(r->gateway, sizeof r->gateway, gateway);
}

static void take_words(const cJSON *list, char out[static CNI_SEARCH_SIZE])
{
    const cJSON *s;
    cJSON_ArrayForEach(s, list)
    {
        size_t used = strlen(out);
        if (cJSON_IsString(s) && !s->valuestring[strcspn(s->valuestring, " \t\r\n")] &&
            str_format(out + used, CNI_SEARCH_SIZE - used, " %s", s->valuestring) < 0)
            out[used] = '\0';
    }
}

static void take_dns(const cJSON *dns, struct cni_result *r)
{
    const cJSON *s;
    take_words(cJSON_GetObjectItemCaseSensitive(dns, "search"), r->search);
    take_words(cJSON_GetObjectItemCaseSensitive(dns, "options"), r->options);
    cJSON_ArrayForEach(s, cJSON_GetObjectItemCaseSensitive(dns, "nameservers"))
    {
        if (cJSON_IsString(s) && is_ipv4(s->valuestring) && r->n_dns < CNI_DNS_MAX)
            (void)str_copy(r->dns[r->n_dns++], CNI_ADDR_SIZE, s->valuestring);
    }
}

int cni_result_parse(const cJSON *j, const char *ifname, struct cni_result *out, struct error *err)
{
    struct cni_result r = {.plen = 0};
    const cJSON *interfaces = cJSON_GetObjectItemCaseSensitive(j, "interfaces");
    const cJSON *ips = cJSON_GetObjectItemCaseSensitive(j, "ips");
    const cJSON *ip;
    if (!cJSON_IsObject(j) || (ips && !cJSON_IsArray(ips)))
        return error_set(err, ERR_NET, 0, "not a result of CNI");
    cJSON_ArrayForEach(ip, ips)
    {
        int ours = on_interface(ip, interfaces, ifname, err);
        if (ours < 0 || (ours > 0 && take_ip(ip, &r, err) < 0))
            return -1;
    }
    take_dns(cJSON_GetObjectItemCaseSensitive(j, "dns"), &r);
    *out = r;
    return 0;
}
