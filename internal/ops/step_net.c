#include "ops/step_net.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cni/cni.h"
#include "net/chain.h"
#include "sys/proc.h"

#define SETTLE_MS 5000  /* for a plugin that an earlier process left running */
#define DEL_MS    30000 /* for a chain to take back what it made */

static bool by_chain(const struct step_ctx *c)
{
    return c->lease.local.net.mode == NET_CNI;
}

static struct net_request request(const struct step_ctx *c, unsigned attempt)
{
    return (struct net_request){
        .lease_id = c->lease.id,
        .pool = c->ops->cfg->network.pool,
        .dns = c->ops->cfg->network.dns,
        .state_dir = c->ops->store.path,
        .attempt = attempt,
    };
}

/* ---- our own links ---- */

static int pair_choose(struct step_ctx *c, unsigned attempt, struct error *err)
{
    struct net_request req = request(c, attempt);
    return net_plan(&req, &c->lease.local.net, err);
}

/* The kernel decides who gets a slot: on a clash the next one is written down, then tried. */
static int pair_apply(struct step_ctx *c, struct error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        struct error e = ERROR_INIT;
        c->netns_fd = net_apply(&c->lease.local.net, &e);
        if (c->netns_fd >= 0)
            return 0;
        if (e.kind != ERR_EXISTS) {
            *err = e;
            return -1;
        }
        if (pair_choose(c, attempt, err) < 0 || step_save(c, true, err) < 0)
            return -1;
    }
}

/* ---- the host's plugin chain ---- */

static int chain_prepare(struct step_ctx *c, struct error *err)
{
    struct net_request req = request(c, 0);
    if (net_chain_plan(&req, c->ops->cfg->network.peers, &c->lease.local.net, err) < 0)
        return -1;
    return cni_save(&c->chain, c->handle.dirfd, err);
}

/* Without fsync: a host that stops takes the plugin along. */
static int plugin_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct step_ctx *c = ctx;
    c->lease.local.plugin = *proc;
    return step_save(c, false, err);
}

static struct cni_job job_of(struct step_ctx *c, const struct cni_chain *chain, int netns_fd,
                             const struct deadline *d)
{
    return (struct cni_job){.chain = chain,
                            .dirfd = c->handle.dirfd,
                            .id = c->lease.id,
                            .netns_fd = netns_fd,
                            .deadline = d,
                            .started = plugin_started,
                            .ctx = c};
}

static int take_address(struct step_ctx *c, const struct cni_result *r, struct error *err)
{
    char dns[CNI_DNS_MAX][NET_ADDR_SIZE];
    for (size_t i = 0; i < r->n_dns; i++)
        (void)str_copy(dns[i], sizeof dns[i], r->dns[i]);
    const struct net_chain_link link = {
        .addr = r->addr, .plen = r->plen, .gateway = r->gateway, .dns = dns, .n_dns = r->n_dns};
    return net_chain_address(&link, c->ops->cfg->network.dns, &c->lease.local.net, err);
}

static int chain_apply(struct step_ctx *c, struct error *err)
{
    struct cni_result result;
    c->netns_fd = net_chain_ns(&c->lease.local.net, err);
    if (c->netns_fd < 0)
        return -1;
    struct cni_job job = job_of(c, &c->chain, c->netns_fd, &c->deadline);
    if (cni_add(&job, &result, err) < 0 || take_address(c, &result, err) < 0 ||
        step_save(c, true, err) < 0 || net_chain_join(c->netns_fd, &c->lease.local.net, err) < 0)
        return -1;
    return cni_check(&job, err);
}

/* The lease's own namespace while somebody has it, else one that looks like it. After a reboot
 * there is nothing of it in the kernel, and -1 says so. */
static int chain_scene(const struct step_ctx *c, const struct cni_saved *s, int *made,
                       struct error *err)
{
    char boot_id[BOOT_ID_SIZE];
    const char *addrs[CNI_ADDRS_MAX];
    if (proc_boot_id(boot_id, err) < 0)
        return -1;
    if (!str_eq(boot_id, s->boot_id))
        return 0;
    if (c->netns_fd >= 0)
        return 0;
    for (size_t i = 0; i < s->read.n_all; i++)
        addrs[i] = s->read.all[i];
    *made = net_scene(addrs, s->read.n_all, err);
    return *made < 0 ? -1 : 0;
}

static int chain_del(struct step_ctx *c, const struct cni_saved *s, struct error *err)
{
    struct deadline d = deadline_in_ms(DEL_MS);
    _cleanup_close_ int made = -1;
    if (chain_scene(c, s, &made, err) < 0)
        return -1;
    struct cni_job job = job_of(c, &s->chain, made >= 0 ? made : c->netns_fd, &d);
    return cni_del(&job, s, err);
}

static int chain_undo(struct step_ctx *c, struct error *err)
{
    _cleanup_saved_ struct cni_saved saved = {.result = NULL};
    struct deadline settle = deadline_in_ms(SETTLE_MS);
    /* A plugin that is still at it may yet give the answer that its DEL needs. */
    if (cni_settle(&c->lease.local.plugin, &settle, err) < 0 ||
        net_undo(&c->lease.local.net, err) < 0)
        return -1;
    int found = cni_saved_load(c->handle.dirfd, &saved, err);
    if (found > 0 && chain_del(c, &saved, err) < 0)
        found = -1;
    CLOSE_FD(c->netns_fd);
    if (found < 0)
        return -1;
    return cni_forget(c->handle.dirfd, err);
}

/* ---- the step ---- */

static int chain_check(struct step_ctx *c, struct error *err)
{
    const struct config_firecracker *f = &c->ops->cfg->firecracker;
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT, missing = STRBUF_INIT;
    if (cni_chain_load(f->cni_conf_dir, f->cni_bin_dir, f->cni_network, &c->chain, err) < 0)
        return -1;
    if (cni_chain_programs(&c->chain, &all, &missing) > 0)
        return error_set(err, ERR_ENV, 0,
                         "CNI network %s needs programs that are not in %s: %s; next: crabbox-fc "
                         "doctor",
                         c->chain.network, f->cni_bin_dir, missing.buf);
    return cni_chain_trusted(&c->chain, err);
}

int step_net_check(struct step_ctx *c, struct error *err)
{
    const struct config *cfg = c->ops->cfg;
    if (str_eq(cfg->firecracker.network, net_mode_name(NET_CNI))) {
        c->lease.local.net.mode = NET_CNI;
        return chain_check(c, err);
    }
    if (cfg->network.peers)
        return error_set(err, ERR_CONFIG, 0,
                         "network.peers has a meaning with firecracker.network cni only: leases "
                         "never reach each other with nat; next: unset one of them");
    return 0;
}

int step_net_prepare(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    return by_chain(c) ? chain_prepare(c, err) : pair_choose(c, 0, err);
}

int step_net_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    return by_chain(c) ? chain_apply(c, err) : pair_apply(c, err);
}

int step_net_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    CLOSE_FD(c->guest_fd);
    if (by_chain(c))
        return chain_undo(c, err);
    CLOSE_FD(c->netns_fd);
    return net_undo(&c->lease.local.net, err);
}

void step_net_hold(struct step_ctx *c)
{
    if (by_chain(c) && c->netns_fd < 0)
        c->netns_fd = proc_open_netns(&c->lease.local.vmm.proc);
}
