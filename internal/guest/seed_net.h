/* seed_net.h: parses network-config version 2 (JSON) into struct seed_net. */
#ifndef CRABBOX_GUEST_SEED_NET_H
#define CRABBOX_GUEST_SEED_NET_H

#include "base/error.h"
#include "guest/seed.h"

/* Exactly one entry under "ethernets", matched by its MAC. ERR_STATE names what is wrong. */
int seed_net_parse(const char *text, struct seed_net *out, struct error *err);

/* "192.0.2.2/30", "2001:db8::2" (then the prefix is the longest); -1 if it is no address. */
int seed_addr_parse(const char *text, struct seed_addr *out);

/* Whether the address is of 127.0.0.0/8 or ::1. */
bool seed_addr_is_loopback(const struct seed_addr *a);

#endif
