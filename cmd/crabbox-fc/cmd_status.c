#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

static int print_text(const struct lease_entry *e, struct error *err)
{
    const struct lease *l = &e->lease;
    const char *state = ops_view_name(ops_view(e));
    char left[32];
    out_left(l, left, sizeof left);
    if (e->broken)
        return out_printf(err, "lease     %s\nstate     broken\nreason    %s\n", e->id, e->reason);
    if (*l->failure)
        (void)out_printf(err, "reason    %s\n", l->failure);
    return out_printf(err,
                      "lease     %s\nslug      %s\nname      %s\nstate     %s%s\n"
                      "vmm       %s %s, pid %d%s%s\nmachine   %lld vCPU, %lld MiB memory, %lld MiB "
                      "disk%s\nssh       %s@%s:%lld\nkernel    %s\nrootfs    %s (pin %s)\n"
                      "expires   %s%s\n",
                      e->id, l->slug, l->name, state, e->locked ? " (busy)" : "", l->vmm.backend,
                      l->vmm.accel, (int)l->vmm.proc.pid,
                      str_eq(l->vmm.accel, "tcg") ? " (emulated)" : "",
                      l->vmm.sandbox ? ", confined" : ", not confined", (long long)l->cpus,
                      (long long)l->memory_mib, (long long)l->disk_mib,
                      l->disk_overcommit ? " (overcommitted)" : "", l->user, l->net.lease_addr,
                      (long long)l->ssh_port, l->kernel_release, l->rootfs, l->pin,
                      !l->keep && left[0] != '-' ? "in " : "",
                      l->keep          ? "never (kept)"
                      : left[0] == '-' ? "its time is over"
                                       : left);
}

enum { DEFAULT_WAIT_MS = 5 * 60 * 1000 };

static int look(struct invocation *in, const char *ref, struct lease_entry *e, struct error *err)
{
    int64_t ms = DEFAULT_WAIT_MS;
    if (option_time("wait-timeout", in->opt.wait_timeout, &ms, err) < 0)
        return -1;
    if (in->opt.wait || in->opt.wait_timeout)
        return ops_entry_settled(&in->ops, ref, ms, e, err);
    return ops_entry(&in->ops, ref, e, err);
}

int cmd_status(struct invocation *in, struct error *err)
{
    struct lease_entry e;
    const char *ref = in->n_args     ? in->args[0]
                      : in->opt.id   ? in->opt.id
                      : in->opt.slug ? in->opt.slug
                                     : NULL;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "status needs a lease; next: crabbox-fc list");
    if (look(in, ref, &e, err) < 0)
        return -1;
    int r;
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = ops_lease_json(&in->ops.store, &e);
        r = out_json(j, err);
    } else {
        r = print_text(&e, err);
    }
    if (r < 0)
        return -1;
    return ops_view(&e) == VIEW_READY ? 0 : error_exit_code(ERR_NOT_RUNNING);
}
