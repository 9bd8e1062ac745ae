/* conditions.c: the list of preconditions of a lease.
 *
 * Each row has a name, and up to four functions: one that says whether the row applies, a cheap
 * check, an expensive check (probe), and one that says whether the VMM's messages point to this
 * row. The column with steps names the steps whose failure the probe may explain.
 *
 * warmup makes the cheap checks of all rows in this order, and stops at the first failure. If a
 * step fails later, conditions_explain makes the probes of the rows that name the step. doctor
 * makes both for each row.
 */
#include "local/conditions.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "local/condition_rows.h"
#include "net/pasta.h"

/* In the order in which warmup checks them: what is missing right after an installation comes
 * first. */
static const struct condition rows[] = {
    {"host", NULL, check_host, NULL, NULL, NULL},
    {"user", NULL, check_user, NULL, NULL, NULL},
    {"binary", idle_firecracker, check_firecracker, probe_program, " vmm ", NULL},
    {"jailer", idle_jailer, check_jailer, probe_jailer, " vmm ", NULL},
    {"qemu", idle_qemu, check_qemu, probe_program, " vmm ", NULL},
    {"network", NULL, check_network, probe_network, " net ", NULL},
    {"kernel", NULL, check_kernel, probe_kernel_options, " ready ", NULL},
    {"rootfs", NULL, check_rootfs, probe_rootfs_driver, " ready ", NULL},
    {"image", NULL, check_image, NULL, NULL, NULL},
    {"sandbox", NULL, check_sandbox, probe_sandbox, " vmm ", NULL},
    {"cgroup", NULL, check_cgroup, NULL, NULL, NULL},
    {"kvm", idle_kvm, NULL, probe_kvm, " vmm boot ready ", hints_at_kvm},
    {"state", NULL, NULL, probe_state, NULL, NULL},
    {"memory", NULL, NULL, probe_memory, NULL, NULL},
    {"limits", NULL, NULL, probe_limits, NULL, NULL},
    {"disk", NULL, NULL, probe_disk, NULL, NULL},
};

/* Config knows nat and cni. Neither works without root, but nat is asked for in another way. So is
 * the default, which is Crabbox's. */
static enum net_mode choose_mode(const struct config *cfg)
{
    enum net_mode mode = NET_NAT;
    const struct config_key *key = config_key_by_flag("firecracker-network");
    (void)net_mode_by_name(cfg->firecracker.network, &mode);
    bool any = mode == NET_NAT || str_eq(config_value_source(cfg, key), "default");
    return any && pasta_is_needed() ? NET_PASTA : mode;
}

int conditions_begin(struct conditions *c, const struct config *cfg, const char *vmm,
                     struct error *err)
{
    *c = (struct conditions){.cfg = cfg, .cache_fd = -1, .image = IMAGE_INIT};
    c->vmm = vmm_backend_by_name(vmm ? vmm : cfg->vmm, err);
    if (!c->vmm)
        return -1;
    c->accel = c->vmm->accel(cfg);
    c->net_mode = choose_mode(cfg);
    c->limits = (struct vmm_limits){.disk_bytes = cfg->limits.disk_mib * 1024 * 1024,
                                    .disk_ops = cfg->limits.disk_ops,
                                    .console_bytes = cfg->limits.console_kib * 1024};
    c->degraded = str_eq(cfg->isolation, "degraded");
    return uid_range_parse(cfg->sandbox_uids, &c->uids, err);
}

void conditions_release(struct conditions *c)
{
    cni_chain_free(&c->chain);
    image_close(&c->image);
    free(c->kernel_options);
    c->kernel_options = NULL;
}

void note(const struct conditions *c, const char *key, const char *fmt, ...)
{
    if (!c->note)
        return;
    va_list ap;
    va_start(ap, fmt);
    c->note(c->note_to, key, fmt, ap);
    va_end(ap);
}

static bool matters(const struct condition *row, const struct conditions *c)
{
    char why[128];
    return !row->idle || !row->idle(c, why, sizeof why);
}

int conditions_hold(struct conditions *c, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].check && matters(&rows[i], c) && rows[i].check(c, err) < 0)
            return -1;
    return 0;
}

static bool may_explain(const struct condition *row, const struct conditions *c, const char *step,
                        const char *said)
{
    char word[32];
    (void)str_format(word, sizeof word, " %s ", step);
    return row->probe && row->steps && strstr(row->steps, word) && matters(row, c) &&
           (!row->hinted || row->hinted(said));
}

void conditions_explain(struct conditions *c, const char *step, const char *said, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error why = ERROR_INIT;
        if (!may_explain(&rows[i], c, step, said) || rows[i].probe(c, &why) == 0)
            continue;
        if (why.kind != ERR_CANCELLED)
            *err = why;
        return;
    }
}

const struct condition *condition_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].name, name))
            return &rows[i];
    return NULL;
}

int condition_judge(struct conditions *c, const struct condition *row, char *why, size_t size,
                    struct error *err)
{
    if (row->idle && row->idle(c, why, size))
        return 1;
    if (row->check && row->check(c, err) < 0)
        return -1;
    return row->probe ? row->probe(c, err) : 0;
}
