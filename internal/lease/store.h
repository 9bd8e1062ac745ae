/* store.h: the state directory: one directory and one record a lease.
 *
 *   <state>/leases/<id>/lease.json, lock, keys; vmm/ (vmm/vmm.h): seed, disk, logs, sockets
 *   <state>/slugs/<slug>            symlink whose text is the lease id: the claim of the slug
 *   <state>/logs/<time>-<slug>-<id>/ console.log, vmm.log, error.txt of a lease that failed
 *   <state>/logs/<time>-<slug>-<id>-<run id>/ what is kept of a run that failed (run/bundle.h)
 *   <state>/verified/<dev>-<ino>     what a pinned file's hash was: see sys/pinned.h
 *   <state>/origin                   marks it as made by this program: see place.h
 *   <state>/lock                    held for a moment while a lease directory is made or swept
 *
 * The lock of a lease (store_create returns it taken) is held for as long as somebody changes the
 * lease. Readers take no lock: records are replaced atomically. A record whose state is unfinished
 * while its lock is free belongs to a process that died: whoever meets it may undo it.
 */
#ifndef CRABBOX_LEASE_STORE_H
#define CRABBOX_LEASE_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "lease/lease.h"
#include "lease/state.h"
#include "sys/deadline.h"

/* Lock file in the lease directory that everyone shares who uses the lease: it does not idle out.
 */
#define LEASE_USE "use"

#define LEASE_RECORD_MAX (64 * 1024)

#define STORE_WHAT       "state directory" /* for messages */
#define STORE_BELOW_HOME ".local/state/crabbox-fc"

struct store {
    char path[PATH_MAX];
    int fd, leases_fd, slugs_fd, logs_fd; /* owned */
    int verified_fd;                      /* owned; -1 where it is not there yet and we only look */
    const struct lease_kind *const *kinds; /* borrowed; see lease.h */
    bool unmarked; /* of an earlier version, and we only look: its leases have no marks yet */
};
#define STORE_INIT                                                                                 \
    {                                                                                              \
        .fd = -1, .leases_fd = -1, .slugs_fd = -1, .logs_fd = -1, .verified_fd = -1                \
    }

/* $CRABBOX_FC_STATE_DIR, else $XDG_STATE_HOME/crabbox-fc, else STORE_BELOW_HOME in $HOME.
 * Must be absolute. */
int store_default_path(char out[static PATH_MAX], struct error *err);

/* Opens, creating what is missing (0700). ERR_TRUST where another user could replace it, or it may
 * have come with somebody's code (place.h). */
int store_open(struct store *s, const char *path, const struct lease_kind *const *kinds,
               struct error *err);
/* The same, but where there has never been a lease nothing is made: the store is then an empty one
 * that nothing can be put into. For verbs that make no lease. */
int store_open_if_there(struct store *s, const char *path, const struct lease_kind *const *kinds,
                        struct error *err);
/* What store_open would refuse, in its words; makes nothing. */
int store_check(const char *path, struct error *err);
/* Opens without creating anything, for doctor: -1 with ERR_NOT_FOUND when there is no state yet. */
int store_open_existing(struct store *s, const char *path, const struct lease_kind *const *kinds,
                        struct error *err);
void store_close(struct store *s);

/* A lease directory opened for work. */
struct lease_handle {
    int dirfd;   /* owned */
    int lock_fd; /* owned; -1 for readers */
    int state;   /* of the record as last read or written by this handle; LEASE_NEW: none yet */
    char path[PATH_MAX];
};
#define LEASE_HANDLE_INIT                                                                          \
    {                                                                                              \
        .dirfd = -1, .lock_fd = -1, .state = LEASE_NEW                                             \
    }
void lease_handle_close(struct lease_handle *h);

/* Makes the directory with its first record and takes its lock, in one step for every observer. */
int store_create(struct store *s, const struct lease *l, struct lease_handle *out,
                 struct error *err);

/* Opens a lease directory; with `d` takes the lock first, waiting until the deadline
 * (ERR_BUSY/TIMEOUT). d == NULL: reader, no lock. ERR_NOT_FOUND when there is no such lease. */
int store_open_lease(struct store *s, const char *id, const struct deadline *d,
                     struct lease_handle *out, struct error *err);

/* Tests only (NULL in the product): called before each save; -1 with err set makes the save fail.
 */
extern int (*store_test_hook)(const struct lease *l, bool durable, struct error *err);

int store_save(struct lease_handle *h, const struct lease *l, bool durable, struct error *err);
int store_load(struct store *s, struct lease_handle *h, struct lease *out, struct error *err);

/* Removes the directory of a lease whose steps are undone (rename away first: never half a lease).
 */
int store_remove(struct store *s, const char *id, struct error *err);

/* Removes what is left of a lease whose process died while it made or removed the directory. Waits
 * for the lock of whoever is still at it; nothing of it left is a success. A lease that is whole
 * is not touched. */
int store_remove_rest(struct store *s, const char *id, const struct deadline *d, struct error *err);

/* Keeps console.log, vmm.log and `reason` of a failed lease under logs/<id>/; at most 20 are kept.
 */
int store_keep_logs(struct store *s, const struct lease_handle *h, const struct lease *l,
                    const char *reason, struct error *err);
/* A directory for what is kept of a run that failed; its descriptor, which the caller closes. At
 * most 20 of them are kept. `run_id` "": it had none yet. */
#define STORE_BUNDLE_NAME_SIZE (LEASE_SLUG_SIZE + LEASE_ID_SIZE + 48)
int store_make_bundle(struct store *s, const struct lease *l, const char *run_id,
                      char name[static STORE_BUNDLE_NAME_SIZE], struct error *err);
/* Appends the end of a log of a living lease, at most `max` bytes, as far as there is one. */
void store_log_end(const struct lease_handle *h, const char *name, size_t max, struct strbuf *out,
                   bool *cut);

/* Directory of logs by a lease's id or slug or a run's id, living or failed (caller closes). */
int store_open_logs(struct store *s, const char *ref, bool *failed, struct error *err);

/* The slug's claim: ERR_EXISTS names the holder. Drop removes it only if it is this lease's. */
int store_claim_slug(struct store *s, const char *slug, const char *id, struct error *err);
int store_drop_slug(struct store *s, const char *slug, const char *id, struct error *err);

/* One row for list: a lease, or a directory that can't be read as one. */
struct lease_entry {
    char id[NAME_MAX + 1]; /* directory name */
    bool broken;           /* lease is not filled; reason says why */
    bool passing;          /* that may pass: the record could not be read just now */
    bool locked;           /* somebody works on it right now */
    bool in_use;           /* a run or a session is open */
    char reason[512];
    struct lease lease;
};

/* One lease by id, as store_list would show it. ERR_NOT_FOUND if it is gone. */
int store_entry(struct store *s, const char *id, struct lease_entry *out, struct error *err);

/* All entries, sorted by creation time; the caller frees the array. Never fails on one bad entry.
 */
int store_list(struct store *s, struct lease_entry **out, size_t *n, struct error *err);

/* Resolves an id, a slug or a full name to an id. ERR_NOT_FOUND names the slug that may be meant.
 */
int store_resolve(struct store *s, const char *ref, char id[static LEASE_ID_SIZE],
                  struct error *err);
/* The slug that `ref` may be a misspelling of; false if none is near. */
bool store_nearest(struct store *s, const char *ref, char slug[static LEASE_SLUG_SIZE]);

/* Removes directories that a crash left half made or half removed, and claims of slugs by leases
 * that are no more, past those that can't be removed. Returns how many, or -1 with the first
 * failure. */
int store_sweep(struct store *s, bool dry_run, struct error *err);

#endif
