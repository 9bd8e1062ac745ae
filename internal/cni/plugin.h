/* plugin.h: one call of one CNI plugin: a program of the host that runs as root.
 *
 * It gets its configuration on standard input and its parameters in an environment of its own, in
 * the root directory, and gets nothing else from us. A plugin that another user could replace is
 * not run. It runs in a session of its own and is held between fork and exec until `started` has
 * written it down, so that a process that undoes the lease can wait for it (cni_settle). A plugin
 * outlives a killed crabbox-fc and finishes its work instead of leaving it half done.
 */
#ifndef CRABBOX_CNI_PLUGIN_H
#define CRABBOX_CNI_PLUGIN_H

#include "cni/chain.h"
#include "sys/deadline.h"
#include "sys/proc.h"

#define CNI_OUTPUT_MAX (256u * 1024) /* bytes of a result */

typedef int cni_started_fn(void *ctx, const struct proc_ref *proc, struct error *err);

/* What all calls for one lease share. Everything is borrowed. */
struct cni_job {
    const struct cni_chain *chain;
    int dirfd;      /* the lease's directory, where the results are kept */
    const char *id; /* CNI_CONTAINERID */
    int netns_fd;   /* the lease's namespace; -1: it is gone (allowed for DEL only) */
    const struct deadline *deadline;
    cni_started_fn *started; /* may be NULL: no other process will have to wait for the plugin */
    void *ctx;
};

/* Runs plugin `i` with CNI_COMMAND=`verb`. `prev` (may be NULL) is the result so far. Its
 * standard output goes to `out_fd` (-1: nowhere). ERR_NET with the plugin's own code and message;
 * ERR_ENV when it can't be run; ERR_TIMEOUT and ERR_CANCELLED after it was killed. */
int cni_plugin_run(const struct cni_job *job, const char *verb, size_t i, const cJSON *prev,
                   int out_fd, struct error *err);

/* Asks every plugin whether it supports the list's version. Changes nothing. */
int cni_plugins_ask(const struct cni_chain *chain, const struct deadline *d, struct error *err);

/* Waits for a plugin that an earlier process started, and kills it when it takes too long. */
int cni_settle(const struct proc_ref *proc, const struct deadline *d, struct error *err);

#endif
