/* flows.h: the host's table of connections (conntrack), as far as one lease is in it.
 *
 * What a guest opens through the host, and what the host opens to a guest, stands in the table of
 * the host's namespace. The table is limited, and an entry stays for days after its lease has gone,
 * so a lease's entries are taken out with it.
 *
 * Order: the address has no way to send any more, but is still claimed by its lease -> flows_forget
 * -> the claim is given up. So nothing new appears meanwhile, and nobody else's entries are hit.
 * Works in the namespace of the calling thread.
 */
#ifndef CRABBOX_NET_FLOWS_H
#define CRABBOX_NET_FLOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Whether the kernel can be asked about connections at all; loads what that needs. ERR_ENV says
 * what is missing. */
int flows_check(struct error *err);

/* Whether there is any entry: without one there is nothing to forget. False, too, where the kernel
 * tracks no connections. */
bool flows_any(void);

/* Removes every entry that was opened from or to the address (host byte order). None is a success.
 */
int flows_forget(uint32_t addr, struct error *err);

/* The same, entry by entry: what flows_forget does where the kernel (before Linux 6.7) doesn't
 * remove by address. */
int flows_forget_each(uint32_t addr, struct error *err);

#endif
