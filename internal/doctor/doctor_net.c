/* doctor's checks of the network: what a lease's links and rules need of the host, and whether the
 * host lets through what guests send. */
#include "doctor/doctor_check.h"
#include "net/net.h"
#include "net/pasta.h"

void doctor_network(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct cni_chain *chain = &ctx->on.chain;
    if (!check_condition(ctx, c))
        return;
    if (ctx->on.net_mode == NET_PASTA)
        check_ok(c,
                 "without root, by " PASTA_PROGRAM ": user namespace, tun and nftables are there; "
                 "status of a lease says whether its guest has UDP beside DNS");
    else if (chain->list)
        check_ok(c,
                 "cni network \"%s\" of %s: list, plugins, capabilities, tun and nftables are "
                 "there",
                 chain->network, chain->file);
    else
        check_ok(c, "nat out of %s: capabilities, tun, nftables and forwarding are there",
                 ctx->on.cfg->network.pool);
}

/* Whether the chain itself sees to it that what its links forward is let through. */
static bool chain_opens_firewall(const struct cni_chain *chain)
{
    for (size_t i = 0; i < cni_chain_len(chain); i++)
        if (str_eq(cni_chain_type(chain, i), "firewall"))
            return true;
    return false;
}

/* Whether guests get out: SSH to one is not forwarded by the host, so a lease works either way. */
static void judge_way(const struct config *cfg, struct doctor_check *c)
{
    struct net_way way;
    struct error err = ERROR_INIT;
    const char *pool = cfg->network.pool;
    if (net_way_look(pool, cfg->network.dns, &way, &err) < 0 ||
        net_way_check(&way, pool, &err) < 0) {
        check_skip(c, "no lease can be made as the host's links and routes are: see the check "
                      "network");
    } else if (net_way_doubt(&way, pool, &err) < 0) {
        check_error(c, DOCTOR_WARNING, &err, "do what the check network says");
    } else if (way.end == NET_WAY_NONE) {
        check_ok(c, "the host has no route to the outside, so guests have none");
    } else {
        check_ok(c, "guests get out by %s, and no other table drops what is forwarded", way.dev);
    }
}

void doctor_forwarding(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct config *cfg = ctx->on.cfg;
    bool cni = ctx->on.net_mode == NET_CNI;
    struct net_host_state s;
    struct error err = ERROR_INIT;
    if (ctx->on.net_mode == NET_PASTA) {
        check_skip(c, "not needed without root: the host forwards nothing of a guest's");
        return;
    }
    if (net_host_look(cfg->network.pool, &s, &err) < 0 || s.nft != NET_OK) {
        check_fail(c, CLASS_ENV, "the host's firewall could not be read%s%s",
                   error_is_set(&err) ? ": " : "", err.msg);
        check_fix(c, "put sudo before crabbox-fc");
        return;
    }
    if (!s.forward_drop && !cni) {
        judge_way(cfg, c);
        return;
    }
    if (!s.forward_drop) {
        check_ok(c, "no other table drops what is forwarded");
        return;
    }
    check_detail(c, "owner", "%s", s.forward_owner);
    if (cni && chain_opens_firewall(&ctx->on.chain)) {
        check_ok(c,
                 "table %s drops forwarded packets, and the chain's firewall plugin lets the "
                 "leases' through",
                 s.forward_owner);
        return;
    }
    /* SSH to a guest is not forwarded by the host, so a lease works; its way out does not. */
    check_warn(c, "table %s drops forwarded packets: guests would not reach the outside",
               s.forward_owner);
    if (cni)
        check_fix(c, "add {\"type\": \"firewall\"} to the plugins of the CNI network list");
    else
        check_fix(c, "let cbx* through there, with Docker for example: iptables -I DOCKER-USER -i "
                     "cbx+ -j ACCEPT; iptables -I DOCKER-USER -o cbx+ -j ACCEPT");
}
