/* Any bytes as resolv.conf and as network.dns: what comes out is at most NET_DNS_MAX addresses, and
 * each of them reads back as one; and words that can stand in the guest's file. */
#include "net/dns.h"
#include "net/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct dns_list *l)
{
    uint32_t addr;
    if (l->n > NET_DNS_MAX)
        __builtin_trap();
    if (strpbrk(l->search, "\n\r\t#;\"'$`\\") || strpbrk(l->options, "\n\r\t#;\"'$`\\"))
        __builtin_trap();
    for (unsigned i = 0; i < l->n; i++)
        if (net_parse_ipv4(l->addr[i], &addr) < 0 || addr >> 24 == 127)
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_list l;
    struct error err = ERROR_INIT;
    /* An exact copy, so that a read past the end is seen. */
    _cleanup_free_ char *text = xcalloc(1, size + 1);
    _cleanup_free_ char *exact = xcalloc(1, size ? size : 1);
    memcpy(text, data, size);
    memcpy(exact, data, size);
    dns_parse_resolv(exact, size, &l);
    check(&l);
    if (dns_parse_list(text, &l, &err) == 0)
        check(&l);
    return 0;
}
