/* listing.h: what listings of nftables say. Their text has names and comments that other users of
 * the host gave, so it is not ours. The pure part of rules.c and scan.c.
 */
#ifndef CRABBOX_NET_LISTING_H
#define CRABBOX_NET_LISTING_H

#include <stdbool.h>

#include "base/json.h"

/* Of a map of leases, as text: whether one has this entry ("10.88.0.2", with its comment where it
 * has one), and how many others there are. */
void listing_members(const char *text, const char *entry, bool *in, unsigned *others);

/* Calls fn for each table with a name of ours. */
void listing_tables(const cJSON *root, void (*fn)(const char *name, void *arg), void *arg);

/* The first base chain on forward of somebody else that drops by default: "ip filter", its family
 * and table. False if there is none. */
bool listing_drops_forwarded(const cJSON *root, char *out, size_t size);

#endif
