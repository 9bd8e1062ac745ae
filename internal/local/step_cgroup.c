#include "local/step_cgroup.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "local/admission.h"
#include "local/local.h"
#include "sys/cgroup.h"

#define MIB    (UINT64_C(1024) * 1024)
#define END_MS 10000

/* What the guest's disk may keep in the host's memory without hindrance. What goes beyond is
 * written out and given back, which takes time but kills nothing. */
#define CACHE_MIB 64
/* Of the guest's memory: what the kernel needs for it, page tables above all. */
#define KERNEL_SHARE 32
/* The VMM's threads beside the processors, and what may run for a moment. */
#define TASKS 512

int step_cgroup_prepare(void *ctx, struct error *err)
{
    struct work *w = ctx;
    struct lease_local *l = &w->lease.local;
    if (l->net.mode == NET_PASTA) /* check_cgroup has said why there is none */
        return 0;
    return str_format(l->cgroup, sizeof l->cgroup, "%s/%s", w->ops->cfg->cgroup, w->lease.id) < 0
               ? error_set(err, ERR_CONFIG, 0, "the name of the control group is too long")
               : 0;
}

/* By the lease's size. The VMM's own work takes less than a processor. */
static struct cgroup_limits limits_of(const struct lease *l, const struct config *cfg)
{
    uint64_t cpu = ((uint64_t)l->cpus + 1) * 100, set = (uint64_t)cfg->limits.cpu_percent;
    const struct admission need = {.memory_mib = l->memory_mib,
                                   .emulated = l->local.vmm.accel == VMM_TCG};
    int64_t mib = admission_memory_mib(&need) + l->memory_mib / KERNEL_SHARE + CACHE_MIB;
    return (struct cgroup_limits){
        .memory = (uint64_t)mib * MIB, .tasks = TASKS, .cpu_percent = set && set < cpu ? set : cpu};
}

int step_cgroup_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    struct lease_local *l = &w->lease.local;
    const struct cgroup_limits limits = limits_of(&w->lease, w->ops->cfg);
    _cleanup_strbuf_ struct strbuf lacks = STRBUF_INIT;
    if (!*l->cgroup) {
        lease_local_lacks(l, local_of(w)->found.lacks);
        return 0;
    }
    if (cgroup_make(l->cgroup, &limits, local_of(w)->found.degraded ? &lacks : NULL, err) < 0)
        return -1;
    lease_local_lacks(l, lacks.buf);
    return 0;
}

/* The VMM has ended; what it may have left behind ends now. */
int step_cgroup_undo(void *ctx, struct error *err)
{
    const struct work *w = ctx;
    struct deadline d = deadline_in_ms(END_MS);
    return *w->lease.local.cgroup ? cgroup_end(w->lease.local.cgroup, &d, err) : 0;
}
