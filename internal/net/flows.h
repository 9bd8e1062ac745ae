/* flows.h: the entries of one lease in the host's table of connections (conntrack).
 *
 * Connections that a guest opens through the host, and connections that the host opens to a guest,
 * are in the table of the host's namespace. The table has a fixed size, and an entry can stay for
 * days after its lease has gone. So a lease's entries are removed with it.
 *
 * Order: the address can't send any more, but its lease still claims it → flows_forget →
 * the claim is given up. So no new entry appears meanwhile, and no entry of another lease
 * is removed. Everything works in the namespace of the calling thread.
 */
#ifndef CRABBOX_NET_FLOWS_H
#define CRABBOX_NET_FLOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Whether the kernel's connection table can be read at all. The kernel may load modules for it.
 * ERR_ENV says what is missing. */
int flows_check(struct error *err);

/* Whether there is any entry: without one there is nothing to forget. Also false where the kernel
 * tracks no connections. */
bool flows_any(void);

/* Removes every entry that was opened from or to the address (host byte order), or whose answers
 * come from there or go there. None is a success; ERR_NET when there is still one, because new ones
 * keep appearing. */
int flows_forget(uint32_t addr, struct error *err);

/* The same, entry by entry: what flows_forget does where the kernel (before Linux 6.7) doesn't
 * remove by address. */
int flows_forget_each(uint32_t addr, struct error *err);

/* How many entries that would be, for tests. */
int flows_count(uint32_t addr, unsigned *out, struct error *err);

#endif
