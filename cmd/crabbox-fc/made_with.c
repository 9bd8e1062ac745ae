#include "made_with.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "ops/provider.h"

#define NEW_LEASE "leave out --id or --reuse to get a new lease"

/* Whether this command line sets the key, and not a file or a variable that is there for any lease.
 */
static const char *option_of(const struct config *cfg, const struct config_key *key)
{
    const char *source = config_value_source(cfg, key);
    return str_has_prefix(source, "flag:") ? source + strlen("flag:") : NULL;
}

static void compare_word(const struct config *cfg, const struct lease *l, const char *flag,
                         const char *asked, const char *has)
{
    const struct config_key *key = config_key_by_flag(flag);
    const char *option = option_of(cfg, key);
    if (option && !str_eq(asked, has))
        log_warn("%s does not change the lease %s, which is there already: its %s is %s; next: %s",
                 option, l->slug, key->name, has, NEW_LEASE);
}

static void compare_number(const struct config *cfg, const struct lease *l, const char *flag,
                           int64_t asked, int64_t has)
{
    _cleanup_free_ char *a = xasprintf("%lld", (long long)asked);
    _cleanup_free_ char *h = xasprintf("%lld", (long long)has);
    compare_word(cfg, l, flag, a, h);
}

static void compare_time(const struct config *cfg, const struct lease *l, const char *flag,
                         int64_t asked_ms, int64_t has_s)
{
    const struct config_key *key = config_key_by_flag(flag);
    const char *option = option_of(cfg, key);
    char has[STR_TIME_SIZE];
    str_time(has_s * 1000, has);
    _cleanup_free_ char *next = xasprintf("crabbox-fc heartbeat --idle-timeout TIME %s", l->slug);
    if (option && asked_ms / 1000 != has_s)
        log_warn("%s does not change the lease %s, which is there already: its %s is %s; next: %s",
                 option, l->slug, key->name, has, str_eq(flag, "idle-timeout") ? next : NEW_LEASE);
}

void made_with_warn(const struct config *cfg, const struct lease *l)
{
    const struct machine_words words = machine_words(l);
    compare_number(cfg, l, "firecracker-cpus", cfg->firecracker.cpus, l->cpus);
    compare_number(cfg, l, "firecracker-memory-mib", cfg->firecracker.memory_mib, l->memory_mib);
    compare_number(cfg, l, "firecracker-disk-mib", cfg->firecracker.disk_mib, l->disk_mib);
    compare_word(cfg, l, "firecracker-user", cfg->firecracker.user, l->user);
    compare_word(cfg, l, "firecracker-work-root", cfg->firecracker.work_root, l->work_root);
    compare_word(cfg, l, "vmm", cfg->vmm, words.vmm);
    compare_word(cfg, l, "qemu-accel", cfg->qemu.accel, words.accel);
    if (l->kind->local) /* pasta is what nat is without root */
        compare_word(cfg, l, "firecracker-network", cfg->firecracker.network,
                     l->local.net.mode == NET_CNI ? "cni" : "nat");
    compare_time(cfg, l, "ttl", cfg->lease.ttl_ms, l->ttl_s);
    compare_time(cfg, l, "idle-timeout", cfg->lease.idle_timeout_ms, l->idle_timeout_s);
}
