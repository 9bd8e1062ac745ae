/* step_net.c: the step that connects a lease, with our own links or a chain of CNI plugins.
 *
 * With our own links, the kernel decides who gets an address: making a link fails if another lease
 * has its name. Then the next address is chosen and recorded before it is tried.
 *
 * With a chain, our namespace and the plugins' work have to be undone separately. So the plugin
 * that runs is recorded as well (cni/plugin.h). An undo first waits until a plugin that an earlier
 * process started has ended, and then calls the chain's DEL.
 */
#include "local/step_net.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cni/cni.h"
#include "local/local.h"
#include "net/chain.h"
#include "net/pasta.h"
#include "net/pasta_udp.h"
#include "sys/proc.h"

#define SETTLE_MS 5000  /* for a plugin that an earlier process left running */
#define DEL_MS    30000 /* for a chain to take back what it made */

static bool by_chain(const struct work *w)
{
    return w->lease.local.net.mode == NET_CNI;
}

static struct net_request request(const struct work *w, unsigned attempt)
{
    const struct config *cfg = w->ops->cfg;
    return (struct net_request){
        .lease_id = w->lease.id,
        .pool = cfg->network.pool,
        .dns = cfg->network.dns,
        .state_dir = w->ops->store.path,
        .attempt = attempt,
        .rates = {.in = cfg->limits.network_in_mib * 1024 * 1024,
                  .out = cfg->limits.network_out_mib * 1024 * 1024,
                  .packets = cfg->limits.network_packets},
    };
}

/* ---- our own links ---- */

static int pair_choose(struct work *w, unsigned attempt, struct error *err)
{
    struct net_request req = request(w, attempt);
    return net_plan(&req, &w->lease.local.net, err);
}

/* The kernel decides who gets a slot: on a clash the next one is written down, then tried. */
static int pair_apply(struct work *w, struct error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        struct error e = ERROR_INIT;
        local_of(w)->netns_fd = net_apply(&w->lease.local.net, &e);
        if (local_of(w)->netns_fd >= 0)
            return 0;
        if (e.kind != ERR_EXISTS) {
            *err = e;
            return -1;
        }
        if (pair_choose(w, attempt, err) < 0 || work_save(w, true, err) < 0)
            return -1;
    }
}

/* ---- the host's plugin chain ---- */

static int chain_prepare(struct work *w, struct error *err)
{
    struct net_request req = request(w, 0);
    if (net_chain_plan(&req, w->ops->cfg->network.peers, &w->lease.local.net, err) < 0)
        return -1;
    return cni_save(&local_of(w)->found.chain, w->handle.dirfd, err);
}

/* Without fsync: a host that stops takes the plugin along. */
static int plugin_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct work *w = ctx;
    w->lease.local.plugin = *proc;
    return work_save(w, false, err);
}

static struct cni_job job_of(struct work *w, const struct cni_chain *chain, int netns_fd,
                             const struct deadline *d)
{
    return (struct cni_job){.chain = chain,
                            .dirfd = w->handle.dirfd,
                            .id = w->lease.id,
                            .netns_fd = netns_fd,
                            .deadline = d,
                            .started = plugin_started,
                            .ctx = w};
}

static int take_address(struct work *w, const struct cni_result *r, struct error *err)
{
    char dns[CNI_DNS_MAX][NET_ADDR_SIZE];
    for (size_t i = 0; i < r->n_dns; i++)
        (void)str_copy(dns[i], sizeof dns[i], r->dns[i]);
    const struct net_chain_link link = {.addr = r->addr,
                                        .plen = r->plen,
                                        .gateway = r->gateway,
                                        .dns = dns,
                                        .n_dns = r->n_dns,
                                        .search = r->search,
                                        .options = r->options};
    return net_chain_address(&link, w->ops->cfg->network.dns, &w->lease.local.net, err);
}

static int chain_apply(struct work *w, struct error *err)
{
    struct cni_result result;
    local_of(w)->netns_fd = net_chain_ns(&w->lease.local.net, err);
    if (local_of(w)->netns_fd < 0)
        return -1;
    struct cni_job job = job_of(w, &local_of(w)->found.chain, local_of(w)->netns_fd, &w->deadline);
    if (cni_add(&job, &result, err) < 0 || take_address(w, &result, err) < 0 ||
        work_save(w, true, err) < 0 ||
        net_chain_join(local_of(w)->netns_fd, &w->lease.local.net, err) < 0)
        return -1;
    return cni_check(&job, err);
}

/* The lease's own namespace while somebody has it, else one that looks like it. After a reboot
 * there is nothing of it in the kernel, and -1 says so. */
static int chain_scene(const struct work *w, const struct cni_saved *s, int *made,
                       struct error *err)
{
    char boot_id[BOOT_ID_SIZE];
    const char *addrs[CNI_ADDRS_MAX];
    if (proc_boot_id(boot_id, err) < 0)
        return -1;
    if (!str_eq(boot_id, s->boot_id))
        return 0;
    if (local_of(w)->netns_fd >= 0)
        return 0;
    for (size_t i = 0; i < s->read.n_all; i++)
        addrs[i] = s->read.all[i];
    *made = net_scene(addrs, s->read.n_all, err);
    return *made < 0 ? -1 : 0;
}

static int chain_del(struct work *w, const struct cni_saved *s, struct error *err)
{
    struct deadline d = deadline_in_ms(DEL_MS);
    _cleanup_close_ int made = -1;
    if (chain_scene(w, s, &made, err) < 0)
        return -1;
    struct cni_job job = job_of(w, &s->chain, made >= 0 ? made : local_of(w)->netns_fd, &d);
    return cni_del(&job, s, err);
}

static int chain_undo(struct work *w, struct error *err)
{
    _cleanup_saved_ struct cni_saved saved = {.result = NULL};
    struct deadline settle = deadline_in_ms(SETTLE_MS);
    /* A plugin that is still at it may yet give the answer that its DEL needs. */
    if (cni_settle(&w->lease.local.plugin, &settle, err) < 0 ||
        net_undo(&w->lease.local.net, err) < 0)
        return -1;
    int found = cni_saved_load(w->handle.dirfd, &saved, err);
    if (found > 0 && chain_del(w, &saved, err) < 0)
        found = -1;
    CLOSE_FD(local_of(w)->netns_fd);
    if (found < 0)
        return -1;
    return cni_forget(w->handle.dirfd, err);
}

/* ---- without root ---- */

static bool by_pasta(const struct work *w)
{
    return w->lease.local.net.mode == NET_PASTA;
}

static int pasta_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct work *w = ctx;
    w->lease.local.pasta = *proc;
    return work_save(w, true, err);
}

static int open_udp(struct work *w, struct error *err)
{
    char dev[IF_NAMESIZE];
    int up = pasta_uplink(dev, err);
    if (up > 0)
        up = pasta_udp_open(&local_of(w)->userns, &w->lease.local.net, dev, &w->deadline, err);
    if (up == 0)
        lease_local_lacks(&w->lease.local, PASTA_UDP_LACK);
    return up < 0 ? -1 : 0;
}

static int pasta_apply(struct work *w, struct error *err)
{
    struct local *o = local_of(w);
    const struct pasta_job job = {.ns = &o->userns,
                                  .n = &w->lease.local.net,
                                  .dirfd = w->handle.dirfd,
                                  .deadline = &w->deadline,
                                  .started = pasta_started,
                                  .ctx = w};
    if (userns_new(&w->deadline, &o->userns, err) < 0 ||
        pasta_make(&o->userns, &w->lease.local.net, err) < 0)
        return -1;
    int runs = pasta_start(&job, err);
    if (runs < 0 || (runs > 0 && open_udp(w, err) < 0))
        return -1;
    userns_let_go(&o->userns);
    o->netns_fd = fcntl(o->userns.net_fd, F_DUPFD_CLOEXEC, 3);
    return o->netns_fd < 0 ? error_set(err, ERR_ENV, errno, "keep the lease's namespace") : 0;
}

static int pasta_undo(struct work *w, struct error *err)
{
    userns_close(&local_of(w)->userns);
    CLOSE_FD(local_of(w)->netns_fd);
    return pasta_end(&w->lease.local.pasta, w->handle.dirfd, err);
}

/* ---- the step ---- */

int step_net_prepare(void *ctx, struct error *err)
{
    struct work *w = ctx;
    struct net_request req = request(w, 0);
    if (by_pasta(w))
        return pasta_plan(&req, &w->lease.local.net, err);
    return by_chain(w) ? chain_prepare(w, err) : pair_choose(w, 0, err);
}

int step_net_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    if (by_pasta(w))
        return pasta_apply(w, err);
    return by_chain(w) ? chain_apply(w, err) : pair_apply(w, err);
}

int step_net_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    CLOSE_FD(w->guest_fd);
    if (by_chain(w))
        return chain_undo(w, err);
    if (by_pasta(w))
        return pasta_undo(w, err);
    CLOSE_FD(local_of(w)->netns_fd);
    return net_undo(&w->lease.local.net, err);
}

int step_net_watch_guest(struct work *w, struct error *err)
{
    const struct local *o = local_of(w);
    return by_pasta(w) ? pasta_watch_guest(&o->userns, &w->lease.local.net, err)
                       : net_watch_guest(o->netns_fd, &w->lease.local.net, err);
}

void step_net_hold(struct work *w)
{
    if (by_chain(w) && local_of(w)->netns_fd < 0)
        local_of(w)->netns_fd = proc_open_netns(&w->lease.local.vmm.proc);
}
