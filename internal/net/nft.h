/* nft.h: nftables transactions, through libnftables in this process.
 *
 * One call is one transaction of the kernel: all of it is applied, or nothing. It works in the
 * namespace of the calling thread. Only the texts of rules.h are ever run. They contain nothing
 * from outside that net_view() has not checked.
 */
#ifndef CRABBOX_NET_NFT_H
#define CRABBOX_NET_NFT_H

#include "base/error.h"
#include "base/str.h"

/* Runs commands. On failure err->sys is the kernel's errno where it can be told: EEXIST, ENOENT,
 * EBUSY decide something for callers. `what` names the purpose in messages. */
int nft_run(const char *commands, const char *what, struct error *err);

/* Whether the kernel would accept the commands. The kernel checks them and discards them. It may
 * load modules for them. */
int nft_try(const char *commands, const char *what, struct error *err);

/* Runs one list command and gives what it prints. */
enum nft_format { NFT_TEXT, NFT_JSON };
int nft_list(const char *command, enum nft_format format, struct strbuf *out, struct error *err);

#endif
