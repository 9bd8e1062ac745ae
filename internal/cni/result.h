/* result.h: reads the parts of a plugin's answer to ADD that a lease needs. */
#ifndef CRABBOX_CNI_RESULT_H
#define CRABBOX_CNI_RESULT_H

#include <stddef.h>

#include "base/error.h"
#include "base/json.h"

#define CNI_ADDR_SIZE   50 /* "ffff:…/128" and NUL */
#define CNI_ADDRS_MAX   8
#define CNI_DNS_MAX     3
#define CNI_SEARCH_SIZE 2048

struct cni_result {
    /* The first IPv4 address of the lease's interface; "" when the chain gave it none. */
    char addr[CNI_ADDR_SIZE]; /* without the prefix */
    unsigned plen;
    char gateway[CNI_ADDR_SIZE]; /* "" without one */
    /* All of its addresses with prefixes, both families. */
    char all[CNI_ADDRS_MAX][CNI_ADDR_SIZE];
    size_t n_all;
    char dns[CNI_DNS_MAX][CNI_ADDR_SIZE]; /* IPv4 only */
    size_t n_dns;
    /* Words, each with a blank before it. */
    char search[CNI_SEARCH_SIZE], options[CNI_SEARCH_SIZE];
};

/* Reads a result of version 0.3.0 to 1.1.0. `ifname` is the interface in the lease's namespace.
 * ERR_NET names the error. The form of addresses is checked. */
int cni_result_parse(const cJSON *j, const char *ifname, struct cni_result *out, struct error *err);

#endif
