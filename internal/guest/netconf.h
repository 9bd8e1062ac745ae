/* netconf.h: applies the seed's network to the network namespace of the caller.
 *
 * Own rtnetlink requests, since the static init can't carry libnl: lo up, the interface
 * found by its MAC, renamed, addresses, up, routes. The link must exist already.
 * Not idempotent by intent: an address that is there already (EEXIST) is accepted.
 */
#ifndef CRABBOX_GUEST_NETCONF_H
#define CRABBOX_GUEST_NETCONF_H

#include "base/error.h"
#include "guest/seed.h"

/* ERR_NET names the step and the object. */
int netconf_apply(const struct seed_net *net, struct error *err);

/* Only lo. */
int netconf_loopback(struct error *err);

#endif
