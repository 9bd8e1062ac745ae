/* step_net.h: the step that connects a lease to the network. It uses our own links (net/net.h), or
 * the host's CNI plugin chain, with our end joined to it (cni/cni.h and net/chain.h). Only steps.c
 * uses it.
 */
#ifndef CRABBOX_LOCAL_STEP_NET_H
#define CRABBOX_LOCAL_STEP_NET_H

#include "ops/work.h"

int step_net_prepare(void *ctx, struct error *err);
int step_net_apply(void *ctx, struct error *err);
/* As net_watch_guest. */
int step_net_watch_guest(struct work *w, struct error *err);
int step_net_undo(void *ctx, struct error *err);

/* Call it before the VMM ends: keeps the VMM's namespace if a chain has to find it again. */
void step_net_hold(struct work *w);

#endif
