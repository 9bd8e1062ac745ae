/* chain.h: finds and checks a CNI network list of the host.
 *
 *   cni_chain_load → cni_chain_programs → cni_add and the rest of cni.h → cni_chain_free
 *
 * Lists are looked for as CNI's own library does: *.conflist in the order of their names, then
 * single plugins in *.conf and *.json. It is stricter than that library. These are errors and are
 * never ignored: two lists with one name, a file that can't be read, a plugin type with a path in
 * it, and anything that this program does not support (plugins from a folder, unknown versions).
 *
 * An entry "tc-redirect-tap", which Firecracker's Go SDK and Crabbox need last in the list, is left
 * out and reported: its job, joining the tap, is done by net/chain.h.
 *
 * Source: the CNI specification 1.1.0.
 */
#ifndef CRABBOX_CNI_CHAIN_H
#define CRABBOX_CNI_CHAIN_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#define CNI_PLUGINS_MAX 16
#define CNI_NAME_SIZE   256

struct cni_chain {
    char network[CNI_NAME_SIZE];
    char file[NAME_MAX + 1]; /* in the directory of lists, for messages */
    char bin_dir[PATH_MAX];
    cJSON *list; /* owned; "plugins" is an array of 1 to CNI_PLUGINS_MAX objects with a "type" */
    bool redirect_left_out;
    bool recorded; /* bin_dir comes from a lease's record */
};

/* ERR_ENV: the directory can't be read; ERR_CONFIG: no such list, or it has an error;
 * ERR_TRUST: another user could have written it. Every message has a next step. */
int cni_chain_load(const char *conf_dir, const char *bin_dir, const char *network,
                   struct cni_chain *out, struct error *err);
void cni_chain_free(struct cni_chain *c);
#define _cleanup_chain_ _cleanup_(cni_chain_free)

/* Checks a list that was read before (from a lease's directory) and takes it over, also on error.
 */
int cni_chain_take(cJSON *list, const char *bin_dir, struct cni_chain *out, struct error *err);

/* The programs that the list runs, separated by commas, with address plugins, and with iptables if
 * a plugin calls it. `missing` gets those that don't exist. Returns their number. */
size_t cni_chain_programs(const struct cni_chain *c, struct strbuf *all, struct strbuf *missing);

/* Checks that the directory of plugins can be trusted: no other user could replace one of the
 * programs that the list names, and it is neither in a working tree nor one of the system's
 * directories of programs. ERR_TRUST if not. A directory from a lease's record may be around the
 * working directory, and may be one of those in /usr/local. */
int cni_chain_trusted(const struct cni_chain *c, struct error *err);

/* Where plugins find iptables and the like (caller frees): the system's directories of programs,
 * without any that another user can write to. NULL with ERR_TRUST if none is left, because an empty
 * PATH would mean the working directory. */
char *cni_plugins_path(struct error *err);

size_t cni_chain_len(const struct cni_chain *c);
const char *cni_chain_type(const struct cni_chain *c, size_t i);
/* The list's version is at least major.minor. */
bool cni_chain_speaks(const struct cni_chain *c, int major, int minor);

#endif
