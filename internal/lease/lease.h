/* lease.h: one lease, with everything that it uses on the host, and its JSON record.
 *
 * A lease can be written to disk at any time, and any later process can undo it from the record
 * alone. docs/STATE.md describes the file. One part of it is common to all leases. The other
 * belongs to the lease's provider: for a lease on this host, its VMM and its network. Decoding is
 * strict. A record with an unknown schema or provider is refused and left alone. A broken record is
 * reported with its path, and nothing is done because of what it contains. Records of schema 1,
 * which had only leases on this host, can still be read; new records have schema 2.
 */
#ifndef CRABBOX_LEASE_LEASE_H
#define CRABBOX_LEASE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "lease/local.h"
#include "plan/plan.h"
#include "ssh/ssh.h"
#include "sys/proc.h"

#define LEASE_SCHEMA       2
#define LEASE_ID_SIZE      17 /* "cbx_", 12 hex digits, NUL */
#define LEASE_SLUG_SIZE    42
#define LEASE_NAME_SIZE    64 /* crabbox-<slug>-<8 hex> */
#define LEASE_USER_SIZE    33
#define LEASE_PATH_SIZE    512
#define LEASE_NONCE_SIZE   33
#define LEASE_FAILURE_SIZE 512

#define LEASE_PROVIDER_LOCAL "firecracker" /* for every VMM, because scripts expect this name */

/* The state in the record. What `list` shows also depends on the lock and the process: see
 * lease_view. */
enum lease_state {
    LEASE_CREATING,
    LEASE_READY,
    LEASE_RELEASING,
    LEASE_BROKEN, /* an undo failed: `failure` has the reason */
};

/* What reading and writing a record has to know about a provider. */
struct lease_kind {
    const char *provider;     /* as recorded */
    const char *const *steps; /* their names, in the order of the lease's marks. Marks are written
                               * by name, so a record stays valid if the order of the steps
                               * changes */
    size_t n_steps;
    bool local; /* the record has the part for a lease on this host */
};

struct lease {
    char id[LEASE_ID_SIZE];
    char slug[LEASE_SLUG_SIZE];
    char name[LEASE_NAME_SIZE];
    const struct lease_kind *kind; /* static; never NULL in a lease that was made or read */
    enum lease_state state;
    bool keep;
    int64_t created_at, last_touched_at; /* unix seconds */
    int64_t ttl_s, idle_timeout_s;
    int64_t stop_timeout_ms; /* grace for the guest's own shutdown */
    int64_t cpus, memory_mib, disk_mib;
    char user[LEASE_USER_SIZE];
    char work_root[LEASE_PATH_SIZE];
    int64_t ssh_port;
    char host_key[SSH_PUBKEY_SIZE];
    char nonce[LEASE_NONCE_SIZE];
    struct proc_ref keeper;               /* enforces the expiry; see ops/keeper.h */
    enum plan_mark marks[PLAN_STEPS_MAX]; /* indexed like the table of steps */
    char failure[LEASE_FAILURE_SIZE];
    struct lease_local local; /* where the provider is the local one */
};

/* Sets id, slug and name. If `id` is NULL, a random one is used. If `slug` is NULL or "", the slug
 * is an adjective and a noun. Otherwise it is normalised to [a-z0-9-], at most 41 characters
 * (ERR_USAGE if nothing is left of it). */
int lease_identify(struct lease *l, const char *id, const char *slug, struct error *err);

/* Chooses another slug because the first is taken: `asked` (two random words if that is NULL or "")
 * with digits that make another clash unlikely. */
void lease_slug_again(struct lease *l, const char *asked);

bool lease_id_valid(const char *id);
int lease_slug_normalise(const char *in, char out[static LEASE_SLUG_SIZE], struct error *err);

/* min(last touch + idle timeout, created + ttl), unix seconds. */
int64_t lease_expires_at(const struct lease *l);

cJSON *lease_to_json(const struct lease *l);
/* `kinds` ends with NULL. ERR_STATE, also if the provider is not one of them. */
int lease_from_json(const cJSON *j, const struct lease_kind *const *kinds, struct lease *out,
                    struct error *err);

const char *lease_state_name(enum lease_state s);

#endif
