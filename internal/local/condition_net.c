/* What a lease's links and rules need of the host. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cni/plugin.h"
#include "local/condition_rows.h"
#include "net/net.h"
#include "net/pasta.h"

#define PLUGIN_MS 5000 /* for all plugins to say their versions, from a cold disk too */

static bool by_chain(const struct conditions *c)
{
    return c->net_mode == NET_CNI;
}

static bool by_pasta(const struct conditions *c)
{
    return c->net_mode == NET_PASTA;
}

/* ---- before anything is made ---- */

static int check_programs(struct conditions *c, struct error *err)
{
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT, missing = STRBUF_INIT;
    size_t n = cni_chain_programs(&c->chain, &all, &missing);
    note(c, "cniPlugins", "%s", all.buf);
    if (n == 0)
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "CNI network \"%s\" needs programs that are not installed: %s; next: apt-get "
                     "install containernetworking-plugins iptables and set firecracker.cniBinDir "
                     "to /usr/lib/cni, or put the plugins into %s",
                     c->chain.network, missing.buf, c->chain.bin_dir);
}

static int check_chain(struct conditions *c, struct error *err)
{
    const struct config_firecracker *f = &c->cfg->firecracker;
    note(c, "cniNetwork", "%s", f->cni_network);
    note(c, "cniConfDir", "%s", f->cni_conf_dir);
    note(c, "cniBinDir", "%s", f->cni_bin_dir);
    if (cni_chain_load(f->cni_conf_dir, f->cni_bin_dir, f->cni_network, &c->chain, err) < 0)
        return -1;
    note(c, "cniFile", "%s", c->chain.file);
    if (c->chain.redirect_left_out)
        note(c, "leftOut", "tc-redirect-tap (what it does is built in)");
    return check_programs(c, err) < 0 ? -1 : cni_chain_trusted(&c->chain, err);
}

int check_network(struct conditions *c, struct error *err)
{
    note(c, "mode", "%s", net_mode_name(c->net_mode));
    if (by_chain(c))
        return check_chain(c, err);
    if (by_pasta(c)) {
        char path[PATH_MAX];
        if (pasta_find(path, err) < 0 || pasta_check_tun(err) < 0)
            return -1;
        note(c, "pasta", "%s", path);
    } else {
        note(c, "pool", "%s", c->cfg->network.pool);
    }
    if (c->cfg->network.peers)
        return error_set(err, ERR_CONFIG, 0,
                         "network.peers works only with firecracker.network cni: with nat, leases "
                         "never reach each other; next: unset one of them");
    return 0;
}

/* ---- what the kernel says ---- */

struct need {
    const char *name; /* detail */
    enum net_check state;
    const char *lack; /* message when missing */
    const char *next;
};

/* The first need that is not met is the error; all are in the details. */
static int check_needs(const struct conditions *c, const struct need *needs, size_t n,
                       struct error *err)
{
    static const char *const words[] = {
        [NET_OK] = "ok", [NET_MISSING] = "missing", [NET_UNKNOWN] = "unknown"};
    const struct need *first = NULL;
    for (size_t i = 0; i < n; i++) {
        note(c, needs[i].name, "%s", words[needs[i].state]);
        if (!first && needs[i].state != NET_OK)
            first = &needs[i];
    }
    /* Without the rights to ask, the rest is not known. */
    if (!first || net_check_rights(err) < 0)
        return first ? -1 : 0;
    return error_set(
        err, ERR_ENV, 0, "%s%s; next: %s", first->lack,
        first->state == NET_UNKNOWN ? " (could not be checked, which counts as missing)" : "",
        first->next);
}

static int look_at_host(struct conditions *c, struct error *err)
{
    struct net_host_state s;
    if (net_host_look(c->cfg->network.pool, &s, err) < 0)
        return error_add_next(err, "set network.pool to private addresses, as in docs/CONFIG.md");
    const struct need needs[] = {
        {"capNetAdmin", s.cap_net_admin, "no CAP_NET_ADMIN", "run as root"},
        {"capSysAdmin", s.cap_sys_admin, "no CAP_SYS_ADMIN", "run as root"},
        {"tun", s.tun, "/dev/net/tun does not open", "modprobe tun"},
        {"nft", s.nft, "nftables does not answer", "modprobe nf_tables"},
        {"rules", s.rules, s.rules_lack, "modprobe -a " NET_MODULES},
    };
    if (s.pool_conflict && !by_chain(c))
        note(c, "conflict", "%s", s.pool_route);
    return check_needs(c, needs, ARRAY_LEN(needs), err);
}

/* With a chain, its plugins see to forwarding and routes. */
static int look_at_way(struct conditions *c, struct error *err)
{
    const char *pool = c->cfg->network.pool;
    struct net_way way;
    if (net_way_look(pool, c->cfg->network.dns, &way, err) < 0)
        return -1;
    note(c, "ipForward", "%s", way.end == NET_WAY_NOT_FORWARDED ? "missing" : "ok");
    note(c, "uplink", "%s", way.dev[0] ? way.dev : "none");
    return net_way_check(&way, pool, err);
}

static struct net_request any_request(const struct conditions *c)
{
    return (struct net_request){.lease_id = "cbx_000000000000",
                                .pool = c->cfg->network.pool,
                                .dns = c->cfg->network.dns,
                                .state_dir = c->state_dir};
}

/* The addresses that a lease would get; which of the pool does not matter here. */
static int try_plan(struct conditions *c, struct error *err)
{
    struct net_lease names;
    const struct net_request request = any_request(c);
    return net_plan(&request, &names, err);
}

/* Without root: namespace, tap and rules of a lease, which are gone again when they were made. */
static int try_pasta(struct conditions *c, struct error *err)
{
    char dev[IF_NAMESIZE];
    const struct net_request request = any_request(c);
    int up = pasta_uplink(dev, err);
    if (up < 0)
        return -1;
    note(c, "uplink", "%s", up ? dev : "none");
    return pasta_try(&request, &c->deadline, err);
}

/* After a failure, only that a plugin speaks another version is news: of a plugin that fails, ADD
 * has said more than VERSION will. */
static int ask_plugins(struct conditions *c, struct error *err)
{
    const struct deadline d = deadline_sub(&c->deadline, PLUGIN_MS);
    struct error e = ERROR_INIT;
    if (cni_plugins_ask(&c->chain, &d, &e) == 0 || !(c->looking || e.kind == ERR_CONFIG))
        return 0;
    *err = e;
    return error_add_next(err, "run the plugin by hand with CNI_COMMAND=VERSION");
}

int probe_network(struct conditions *c, struct error *err)
{
    if (by_pasta(c))
        return try_pasta(c, err);
    if (look_at_host(c, err) < 0)
        return -1;
    if (by_chain(c))
        return ask_plugins(c, err);
    return try_plan(c, err) < 0 ? -1 : look_at_way(c, err);
}
