#include <stdarg.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cmd.h"
#include "ops/provider.h"

/* A row for each, whatever is in a record. */
static void add_row(struct strbuf *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_row(struct strbuf *out, const char *name, const char *fmt, ...)
{
    char text[LEASE_PATH_SIZE * 2];
    va_list ap;
    va_start(ap, fmt);
    text_format(text, sizeof text, fmt, ap);
    va_end(ap);
    strbuf_addf(out, "%-9s %s\n", name, text);
}

static void add_local(struct strbuf *out, const struct lease *l)
{
    const struct lease_local *o = &l->local;
    const struct machine_words words = machine_words(l);
    add_row(out, "vmm", "%s %s, pid %d%s%s", words.vmm, words.accel, (int)o->vmm.proc.pid,
            words.emulated ? " (emulated)" : "", o->vmm.sandbox ? ", confined" : ", not confined");
    if (*words.lacks)
        add_row(out, "degraded", "%s", words.lacks);
    add_row(out, "kernel", "%s", o->kernel_release);
    add_row(out, "rootfs", "%s (pin %s)", o->rootfs, o->pin);
}

static void add_lease(struct strbuf *out, const struct lease_entry *e, enum ops_view_state view)
{
    const struct lease *l = &e->lease;
    char ends[32];
    out_ends(e, ends, sizeof ends);
    if (*l->failure)
        add_row(out, "reason", "%s", l->failure);
    add_row(out, "lease", "%s", e->id);
    add_row(out, "slug", "%s", l->slug);
    add_row(out, "name", "%s", l->name);
    add_row(out, "state", "%s%s", ops_view_name(view), e->locked ? " (busy)" : "");
    add_row(out, "machine", "%lld vCPU, %lld MiB memory, %lld MiB disk%s", (long long)l->cpus,
            (long long)l->memory_mib, (long long)l->disk_mib,
            l->local.disk_overcommit ? " (overcommitted)" : "");
    add_row(out, "ssh", "%s@%s:%lld", l->user, machine_words(l).address, (long long)l->ssh_port);
    if (l->kind->local)
        add_local(out, l);
    add_row(out, "ends", "%s%s", ends,
            ops_end(e) == END_CLEANUP        ? " (its keeper is gone, so it does not expire)"
            : l->keep && view != VIEW_BROKEN ? " (kept)"
                                             : "");
}

static int print_text(const struct lease_entry *e, enum ops_view_state view, struct error *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    if (e->broken) {
        add_row(&out, "lease", "%s", e->id);
        add_row(&out, "state", "broken");
        add_row(&out, "reason", "%s", e->reason);
    } else {
        add_lease(&out, e, view);
    }
    return out_text(out.buf, err);
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
    enum ops_view_state view = ops_view(&e);
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = ops_lease_json(&in->ops.store, &e, view);
        r = out_json(j, err);
    } else {
        r = print_text(&e, view, err);
    }
    if (r < 0)
        return -1;
    return view == VIEW_READY ? 0 : error_exit_code(ERR_NOT_RUNNING);
}
