/* Any JSON as a network list and as a plugin's answer: what is accepted as a list names only
 * programs without a path, and what is accepted as an answer holds only addresses. */
#include <arpa/inet.h>
#include <string.h>

#include "cni/chain.h"
#include "cni/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_list(cJSON *j)
{
    struct error err = ERROR_INIT;
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    if (cni_chain_take(j, "/opt/cni/bin", &c, &err) < 0)
        return;
    size_t n = cni_chain_len(&c);
    if (n < 1 || n > CNI_PLUGINS_MAX)
        __builtin_trap();
    for (size_t i = 0; i < n; i++)
        if (!*cni_chain_type(&c, i) || strchr(cni_chain_type(&c, i), '/') ||
            cni_chain_type(&c, i)[0] == '.')
            __builtin_trap();
    (void)cni_chain_speaks(&c, 0, 4);
}

static void try_result(const cJSON *j)
{
    struct error err = ERROR_INIT;
    struct cni_result r;
    unsigned char bin[16];
    if (cni_result_parse(j, "eth0", &r, &err) < 0)
        return;
    if (r.addr[0] && (inet_pton(AF_INET, r.addr, bin) != 1 || r.plen < 1 || r.plen > 32))
        __builtin_trap();
    if (r.gateway[0] && inet_pton(AF_INET, r.gateway, bin) != 1)
        __builtin_trap();
    for (size_t i = 0; i < r.n_all; i++)
        if (r.all[i][strspn(r.all[i], "0123456789abcdefABCDEF.:/")])
            __builtin_trap();
    for (size_t i = 0; i < r.n_dns; i++)
        if (inet_pton(AF_INET, r.dns[i], bin) != 1)
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *j = json_parse((const char *)data, size, "fuzz", &err);
    if (!j)
        return 0;
    try_result(j);
    try_list(TAKE_PTR(j));
    return 0;
}
