#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/flows.h"
#include "net/ns.h"
#include "net/record.h"
#include "testutil/netlab.h"

void lab_plan(struct net_lease *n, const struct net_request *req)
{
    struct error err = ERROR_INIT;
    if (net_plan(req, n, &err) < 0)
        fail_msg("%s", err.msg);
}

int lab_apply(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    int ns = net_apply(n, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    return ns;
}

void lab_undo(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    if (net_undo(n, &err) < 0)
        fail_msg("%s", err.msg);
}

void lab_join(struct lab_member *m, const struct net_request *req)
{
    lab_plan(&m->n, req);
    m->ns = lab_apply(&m->n);
    lab_guest_start(&m->guest, m->ns, &m->n);
}

void lab_join_by_id(struct lab_member *m, const char *id)
{
    const struct net_request req = {
        .lease_id = id, .pool = "10.213.0.0/16", .dns = LAB_HOST, .state_dir = "/state/one"};
    lab_join(m, &req);
}

void lab_kill(struct lab_member *m)
{
    lab_guest_stop(&m->guest);
    CLOSE_FD(m->ns);
}

void lab_leave(struct lab_member *m)
{
    lab_kill(m);
    lab_undo(&m->n);
}

struct count {
    uint32_t addr;
    unsigned n;
};

static int count_flows_of(void *arg, struct error *err)
{
    struct count *c = arg;
    return flows_count(c->addr, &c->n, err);
}

long lab_flows_of(int ns, const char *addr)
{
    struct error err = ERROR_INIT;
    struct count c = {.n = 0};
    if (net_parse_ipv4(addr, &c.addr) < 0 || ns_run(ns, count_flows_of, &c, &err) < 0)
        fail_msg("lab: connections of %s: %s", addr, err.msg);
    return (long)c.n;
}

static int keep_flows(void *arg, struct error *err)
{
    (void)arg;
    static const char *const paths[] = {"net/netfilter/nf_conntrack_udp_timeout",
                                        "net/netfilter/nf_conntrack_udp_timeout_stream",
                                        "net/netfilter/nf_conntrack_icmp_timeout"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (ns_sysctl_write(paths[i], "3600", err) < 0)
            return -1;
    return 0;
}

void lab_keep_flows(int ns)
{
    struct error err = ERROR_INIT;
    /* In a user namespace the kernel doesn't have these settings. */
    if (ns_run(ns, keep_flows, NULL, &err) < 0 && err.sys != ENOENT)
        fail_msg("lab: %s", err.msg);
}
