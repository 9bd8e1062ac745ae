/* doctor's checks of the network: what a lease's links and rules need of the host. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cni/plugin.h"
#include "doctor/doctor_check.h"
#include "net/net.h"

/* ---- network: nat ---- */

struct need {
    const char *name; /* detail */
    enum net_check state;
    const char *lack; /* message when missing */
    const char *fix;
};

#define NEED_CAPABILITIES(s)                                                                       \
    {"capNetAdmin", (s).cap_net_admin, "no CAP_NET_ADMIN: links and rules can't be made",          \
     "run crabbox-fc as root"},                                                                    \
    {                                                                                              \
        "capSysAdmin", (s).cap_sys_admin, "no CAP_SYS_ADMIN: network namespaces can't be made",    \
            "run crabbox-fc as root"                                                               \
    }
#define NEED_TUN_AND_NFT(s)                                                                        \
    {"tun", (s).tun, "/dev/net/tun does not open", "modprobe tun"},                                \
        {"nft", (s).nft, "nftables does not answer", "modprobe nf_tables"},                        \
    {                                                                                              \
        "rules", (s).rules, (s).rules_lack, "modprobe -a " NET_MODULES                             \
    }

/* The first need that is not met becomes the verdict; all are in the details. */
static bool needs_met(struct doctor_check *c, const struct need *needs, size_t n)
{
    static const char *const words[] = {
        [NET_OK] = "ok", [NET_MISSING] = "missing", [NET_UNKNOWN] = "unknown"};
    const struct need *first = NULL;
    for (size_t i = 0; i < n; i++) {
        check_detail(c, needs[i].name, "%s", words[needs[i].state]);
        if (!first && needs[i].state != NET_OK)
            first = &needs[i];
    }
    if (!first)
        return true;
    check_fail(c, CLASS_ENV, "%s%s", first->lack,
               first->state == NET_UNKNOWN ? " (could not be checked, which counts as missing)"
                                           : "");
    check_fix(c, "%s", first->fix);
    return false;
}

static void check_nat(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct net_host_state s;
    struct error err = ERROR_INIT;
    const char *pool = ctx->cfg->network.pool;
    check_detail(c, "pool", "%s", pool);
    if (net_host_look(pool, &s, &err) < 0) {
        check_fail(c, err.kind == ERR_CONFIG ? CLASS_CONFIG : CLASS_ENV, "%s", err.msg);
        check_fix(c, "run doctor as root; see network.pool in docs/CONFIG.md");
        return;
    }
    const struct need needs[] = {
        NEED_CAPABILITIES(s),
        NEED_TUN_AND_NFT(s),
        {"ipForward", s.ip_forward, "the host does not forward IPv4",
         "sysctl -w net.ipv4.ip_forward=1"},
    };
    if (s.pool_conflict)
        check_detail(c, "conflict", "%s", s.pool_route);
    if (!needs_met(c, needs, ARRAY_LEN(needs)))
        return;
    if (s.pool_conflict) {
        check_fail(c, CLASS_CONFIG, "network.pool %s overlaps the host's route %s", pool,
                   s.pool_route);
        check_fix(c, "set network.pool to a range that the host does not use");
        return;
    }
    check_ok(c, "nat out of %s: capabilities, tun, nftables and forwarding are there", pool);
}

/* ---- network: cni ---- */

#define PLUGIN_MS 5000 /* for all plugins to say their versions, from a cold disk too */

static void fail_with(struct doctor_check *c, const struct error *err)
{
    check_error(c, DOCTOR_FAILED, err, "see docs/NETWORK.md");
}

/* What we add to the chain's link: the tap, the namespace, the rules. */
static bool host_can_join(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct net_host_state s;
    struct error err = ERROR_INIT;
    if (net_host_look(ctx->cfg->network.pool, &s, &err) < 0) {
        fail_with(c, &err);
        return false;
    }
    const struct need needs[] = {NEED_CAPABILITIES(s), NEED_TUN_AND_NFT(s)};
    return needs_met(c, needs, ARRAY_LEN(needs));
}

static bool programs_there(const struct cni_chain *chain, struct doctor_check *c)
{
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT, missing = STRBUF_INIT;
    size_t n = cni_chain_programs(chain, &all, &missing);
    check_detail(c, "cniPlugins", "%s", all.buf);
    if (n == 0)
        return true;
    check_fail(c, CLASS_ENV, "CNI network \"%s\" needs programs that are not there: %s",
               chain->network, missing.buf);
    check_fix(c,
              "apt-get install containernetworking-plugins iptables and set firecracker.cniBinDir "
              "to /usr/lib/cni, or put the plugins into %s",
              chain->bin_dir);
    return false;
}

static void judge_chain(struct doctor_ctx *ctx, const struct cni_chain *chain,
                        struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_sub(&ctx->deadline, PLUGIN_MS);
    check_detail(c, "cniFile", "%s", chain->file);
    if (chain->redirect_left_out)
        check_detail(c, "leftOut", "tc-redirect-tap (what it does is built in)");
    if (!programs_there(chain, c))
        return;
    if (cni_chain_trusted(chain, &err) < 0 || cni_plugins_ask(chain, &d, &err) < 0) {
        fail_with(c, &err);
        return;
    }
    if (host_can_join(ctx, c))
        check_ok(c,
                 "cni network \"%s\" of %s: list, plugins, capabilities, tun and nftables are "
                 "there",
                 chain->network, chain->file);
}

/* Whoever has no list yet wants one to start from. */
static void fail_list(struct doctor_check *c, const char *conf_dir, const struct error *err)
{
    if (access(conf_dir, F_OK) < 0 && errno == ENOENT) {
        check_fail(c, CLASS_ENV, "firecracker.cniConfDir: there is no directory %s", conf_dir);
        check_fix(c,
                  "mkdir -p %s and put a CNI network list there (docs/NETWORK.md has one to start "
                  "from), or use --firecracker-network nat, which needs no plugins",
                  conf_dir);
        return;
    }
    fail_with(c, err);
    const char *fix = json_opt_string(c->details, "fix", "");
    if (err->kind == ERR_TRUST || strstr(fix, "docs/NETWORK.md"))
        return;
    _cleanup_free_ char *more = xasprintf("%s; docs/NETWORK.md has a list to start from", fix);
    check_fix(c, "%s", more);
}

static void check_cni(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct config_firecracker *f = &ctx->cfg->firecracker;
    _cleanup_chain_ struct cni_chain chain = {.list = NULL};
    struct error err = ERROR_INIT;
    check_detail(c, "cniNetwork", "%s", f->cni_network);
    check_detail(c, "cniConfDir", "%s", f->cni_conf_dir);
    check_detail(c, "cniBinDir", "%s", f->cni_bin_dir);
    if (cni_chain_load(f->cni_conf_dir, f->cni_bin_dir, f->cni_network, &chain, &err) < 0)
        fail_list(c, f->cni_conf_dir, &err);
    else
        judge_chain(ctx, &chain, c);
}

void doctor_network(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const char *mode = ctx->cfg->firecracker.network;
    check_detail(c, "mode", "%s", mode);
    if (str_eq(mode, "cni"))
        check_cni(ctx, c);
    else if (str_eq(mode, "nat"))
        check_nat(ctx, c);
    else {
        check_fail(c, CLASS_CONFIG, "firecracker.network \"%s\" is neither nat nor cni", mode);
        check_fix(c, "set firecracker.network to nat or cni");
    }
}

/* ---- forwarding ---- */

/* Whether the chain itself sees to it that what its links forward is let through. */
static bool chain_opens_firewall(const struct config_firecracker *f)
{
    _cleanup_chain_ struct cni_chain chain = {.list = NULL};
    if (cni_chain_load(f->cni_conf_dir, f->cni_bin_dir, f->cni_network, &chain, NULL) < 0)
        return false;
    for (size_t i = 0; i < cni_chain_len(&chain); i++)
        if (str_eq(cni_chain_type(&chain, i), "firewall"))
            return true;
    return false;
}

void doctor_forwarding(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct config_firecracker *f = &ctx->cfg->firecracker;
    bool cni = str_eq(f->network, net_mode_name(NET_CNI));
    struct net_host_state s;
    struct error err = ERROR_INIT;
    if (net_host_look(ctx->cfg->network.pool, &s, &err) < 0 || s.nft != NET_OK) {
        check_fail(c, CLASS_ENV, "the host's firewall could not be read%s%s",
                   error_is_set(&err) ? ": " : "", err.msg);
        check_fix(c, "run doctor as root");
        return;
    }
    if (!s.forward_drop) {
        check_ok(c, "no other table drops what is forwarded");
        return;
    }
    check_detail(c, "owner", "%s", s.forward_owner);
    if (cni && chain_opens_firewall(f)) {
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
