/* residue_nft.h: the nft tables of the current network namespace, asked from the kernel directly
 * and not through the code that makes them. */
#ifndef CRABBOX_TESTUTIL_RESIDUE_NFT_H
#define CRABBOX_TESTUTIL_RESIDUE_NFT_H

#include "base/error.h"

/* Calls `each` with "inet" and the name. A kernel without nftables has no tables. */
int residue_nft_tables(void (*each)(void *ctx, const char *family, const char *name), void *ctx,
                       struct error *err);

#endif
