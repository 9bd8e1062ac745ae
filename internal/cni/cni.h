/* cni.h: the host's own CNI plugin chain for one lease: ADD, CHECK and DEL.
 *
 *   cni_chain_load → cni_save (durable) → cni_add → cni_check
 *   … later, by any process: cni_saved_load → cni_settle → cni_del → cni_forget
 *
 * What DEL needs is in the lease's directory before ADD runs: the list as it was (a host may change
 * its files meanwhile) and where its plugins are. Each plugin writes its result straight into a
 * file there, so a result outlives a killed crabbox-fc as the plugin itself does.
 */
#ifndef CRABBOX_CNI_CNI_H
#define CRABBOX_CNI_CNI_H

#include "cni/chain.h"
#include "cni/plugin.h"
#include "cni/result.h"

#define CNI_IFNAME "eth0" /* of the lease's interface, in its namespace */

/* Saves the list in the lease's directory. */
int cni_save(const struct cni_chain *c, int dirfd, struct error *err);

/* Runs the chain's ADD. On error the caller runs cni_del, because plugins before the failed one
 * have made things. ERR_NET also if the chain gave no IPv4 address. */
int cni_add(const struct cni_job *job, struct cni_result *out, struct error *err);

/* Runs the plugins' CHECK, which compares things with what ADD made. Succeeds without a check if
 * the list's version has no CHECK or the list switches it off. */
int cni_check(const struct cni_job *job, struct error *err);

struct cni_saved {
    struct cni_chain chain;
    char boot_id[BOOT_ID_SIZE]; /* of the boot that ADD ran in */
    cJSON *result;              /* owned; of the last plugin that gave one, or NULL */
    struct cni_result read;     /* the same, parsed */
    bool del_begun;             /* an earlier cni_del has begun and may have removed anything */
};
/* 1: filled, caller frees; 0: nothing was ever saved; -1: ERR_STATE. */
int cni_saved_load(int dirfd, struct cni_saved *out, struct error *err);
void cni_saved_free(struct cni_saved *s);
#define _cleanup_saved_ _cleanup_(cni_saved_free)

/* Runs the chain's DEL in reverse order and does not stop at failures; job->chain is &s->chain.
 * Plugins use the interface in the namespace to find what they have to remove. If the namespace is
 * gone, give them another one with the same interface and addresses (net_scene). A second try,
 * after one that failed or was interrupted, also counts as done if the plugins succeed without a
 * namespace: they may fail on what the first try has removed. */
int cni_del(const struct cni_job *job, const struct cni_saved *s, struct error *err);

/* Removes the files. */
int cni_forget(int dirfd, struct error *err);

#endif
