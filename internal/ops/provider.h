/* provider.h: the interface of a provider, the machine behind a lease. The local provider
 * (local/local.h) is a VMM on this host.
 *
 * A provider is a table. It has the steps that make and undo a lease, and a few questions about an
 * existing lease. Everything else is the same for all providers: the record, its lock, the keeper,
 * the slug, keys, sessions, sync, commands and results. A new provider has to pass
 * e2e/provider_suite.h.
 */
#ifndef CRABBOX_OPS_PROVIDER_H
#define CRABBOX_OPS_PROVIDER_H

#include <stdbool.h>

#include "lease/lease.h"
#include "ops/work.h"
#include "plan/plan.h"
#include "ssh/ssh.h"

enum life {
    LIFE_THERE,
    LIFE_GONE,
    LIFE_UNKNOWN, /* it can't be found out now: then only `stop` removes anything */
};

/* The words for a lease's machine in a line about the lease. */
struct machine_words {
    const char *vmm;     /* "qemu" */
    const char *accel;   /* "kvm"; "tcg" where the processor is emulated */
    const char *address; /* where its SSH server is */
    bool emulated;
    const char *lacks; /* what it is isolated without: reasons, "" for none */
};

struct provider {
    /* The first member, so that a lease's kind leads to its provider. */
    struct lease_kind kind;
    const struct plan_step *steps; /* kind.n_steps of them; their ctx is a struct work */

    /* Makes and frees what the steps share beside the work itself (work.own). May be NULL. */
    void (*begin)(struct work *w);
    void (*end)(struct work *w);

    /* Fills the lease from the configuration, or fails with the reason why this host can't provide
     * it. Touches nothing that would have to be undone. */
    int (*preflight)(struct work *w, struct error *err);
    /* Called when the lease's steps are undone, before its directory is removed: removes large
     * files in it first. May be NULL. */
    int (*undone)(struct work *w, struct error *err);
    /* Whether there may be logs of the machine that help after a failure. */
    bool (*has_logs)(const struct lease *l);

    /* Reserves up to *mib of the disk of the state directory for files that a command writes in
     * the lease's directory, until the descriptor is closed; *mib gets what there is room for. NULL
     * if no machine has a part of that disk. */
    int (*hold_disk)(struct ops *o, const struct lease *l, int64_t *mib, struct error *err);

    enum life (*life)(const struct lease *l);
    /* Returns a descriptor that is readable once the machine is gone (the caller closes it). -1
     * and an error if it is gone already. The descriptor should not be later than the end of
     * connections to the machine: until then, the result is a lost connection. */
    int (*watch)(const struct lease *l, struct error *err);
    /* How SSH gets there: host and port, or `dial` (ssh/ssh.h) with the lease as its context, which
     * the stock ssh then reaches through `crabbox-fc dial`. */
    void (*target)(const struct lease *l, struct ssh_target *t);
    struct machine_words (*words)(const struct lease *l);
    /* Adds the provider's own members to the documented JSON of a lease. */
    void (*add_json)(const struct lease *l, cJSON *j);
};

/* The provider of a lease that was made or read. */
const struct provider *provider_of(const struct lease *l);
/* The words for its machine; empty if the lease was never completed. */
struct machine_words machine_words(const struct lease *l);

#endif
