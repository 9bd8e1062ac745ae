/* rates.h: turns the configured limits of a lease's network (limits.network…) into rules of its
 * namespace.
 *
 * They apply to everything that comes through the tap, also from a VMM that was taken over. They
 * need nothing from the VMM, and nothing from the kernel that a lease's other rules don't need as
 * well. Packets above a rate are dropped, which makes TCP slow down; a queue would only make it
 * wait longer. Every frame of the guest counts, also one that is refused later. A frame that is cut
 * into packets behind the tap (GSO) counts as one, without the headers that these get.
 */
#ifndef CRABBOX_NET_RATES_H
#define CRABBOX_NET_RATES_H

#include "net/net.h"

/* Rules for the head of the chain that the guest's frames come to. */
void rates_out_text(const struct net_rates *r, struct strbuf *out);

/* A chain for what leaves the namespace by the tap; nothing without a rate. */
void rates_in_text(const struct net_rates *r, const char *tap, struct strbuf *out);

/* The record's JSON object, NULL without a rate. */
cJSON *rates_to_json(const struct net_rates *r);
/* `j` may be NULL. ERR_STATE */
int rates_from_json(const cJSON *j, struct net_rates *out, struct error *err);

#endif
