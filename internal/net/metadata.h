/* metadata.h: the addresses where clouds serve secrets to any caller on the right machine.
 *
 * A guest's packets leave with the host's address, so such a service takes the guest for the host.
 * It would give the guest the host's credentials, user data and certificates. There is one table,
 * and each row has the source of its address. rules.c closes the networks, and closed_test.c tries
 * every row.
 *
 * IPv6 has such addresses too (fd00:ec2::254, fd20:ce::254, fd00:42::42, fe80::a9fe:a9fe), but a
 * guest has no IPv6 at all.
 */
#ifndef CRABBOX_NET_METADATA_H
#define CRABBOX_NET_METADATA_H

#include <stddef.h>

struct metadata_service {
    const char *net;  /* what is closed; rows of one network stand together */
    const char *addr; /* one address in it that is in use */
    const char *who;
};

extern const struct metadata_service metadata_services[];
extern const size_t n_metadata_services;

/* The networks as an nftables set: "{ 169.254.0.0/16, … }". The caller frees it. */
char *metadata_set(void);

#endif
