/* store.h: the state directory, with one directory and one record for each lease.
 *
 *   <state>/leases/<id>/lease.json, lock, keys; vmm/ (vmm/vmm.h): seed, disk, logs, sockets
 *   <state>/slugs/<slug>            symlink whose text is the lease id: the claim of the slug
 *   <state>/logs/<time>-<slug>-<id>/ console.log, vmm.log, error.txt of a lease that failed
 *   <state>/logs/<time>-<slug>-<id>-<run id>/ what is kept of a run that failed (run/bundle.h)
 *   <state>/verified/<dev>-<ino>     what a pinned file's hash was: see sys/pinned.h
 *   <state>/origin                   marks it as made by this program: see place.h
 *   <state>/lock                    held for a moment while a lease directory is made or swept
 *
 * A process that changes a lease holds its lock (store_create returns it taken). Readers take no
 * lock, because records are replaced atomically. If a record's state is unfinished but its lock is
 * free, the process that worked on it has died, and any process may undo the lease.
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

/* Lock file in the lease's directory. Everyone who uses the lease holds it shared, so the lease
 * does not expire as idle. */
#define LEASE_USE "use"

#define LEASE_RECORD_MAX (64 * 1024)

#define STORE_WHAT       "state directory" /* for messages */
#define STORE_BELOW_HOME ".local/state/crabbox-fc"

struct store {
    char path[PATH_MAX];
    int fd, leases_fd, slugs_fd, logs_fd;  /* owned */
    int verified_fd;                       /* owned; -1 if it does not exist yet and we only look */
    const struct lease_kind *const *kinds; /* borrowed; see lease.h */
    bool unmarked; /* made by an earlier version, and we only look: leases have no marks yet */
};
#define STORE_INIT                                                                                 \
    {                                                                                              \
        .fd = -1, .leases_fd = -1, .slugs_fd = -1, .logs_fd = -1, .verified_fd = -1                \
    }

/* $CRABBOX_FC_STATE_DIR, else $XDG_STATE_HOME/crabbox-fc, else STORE_BELOW_HOME in $HOME.
 * Must be absolute. */
int store_default_path(char out[static PATH_MAX], struct error *err);

/* Opens it and makes what is missing (0700). ERR_TRUST if another user could replace it, or if it
 * may have come with somebody's code (place.h). */
int store_open(struct store *s, const char *path, const struct lease_kind *const *kinds,
               struct error *err);
/* The same for verbs that make no lease: if there has never been a lease, nothing is made, and the
 * store is empty and can't be written to. */
int store_open_if_there(struct store *s, const char *path, const struct lease_kind *const *kinds,
                        struct error *err);
/* Makes the same checks as store_open, with the same messages, but makes nothing. */
int store_check(const char *path, struct error *err);
/* Opens it without making anything, for doctor. ERR_NOT_FOUND if there is no state yet. */
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

/* Makes the directory with its first record and takes its lock. Others see all of this at once or
 * not at all. */
int store_create(struct store *s, const struct lease *l, struct lease_handle *out,
                 struct error *err);

/* Opens a lease's directory. With `d`, also takes the lock and waits for it until the deadline
 * (ERR_BUSY, ERR_TIMEOUT). Readers pass NULL and get no lock. ERR_NOT_FOUND if there is no such
 * lease. */
int store_open_lease(struct store *s, const char *id, const struct deadline *d,
                     struct lease_handle *out, struct error *err);

/* Tests only (NULL in the product): called before each save; -1 with err set makes the save fail.
 */
extern int (*store_test_hook)(const struct lease *l, bool durable, struct error *err);

int store_save(struct lease_handle *h, const struct lease *l, bool durable, struct error *err);
int store_load(struct store *s, struct lease_handle *h, struct lease *out, struct error *err);

/* Removes the directory of a lease whose steps are undone. It is renamed first, so nobody sees half
 * a lease. */
int store_remove(struct store *s, const char *id, struct error *err);

/* Removes what is left of a lease whose process died while it made or removed the directory. If
 * another process is still working on it, waits for its lock. Success also if nothing is left. A
 * complete lease is not touched. */
int store_remove_rest(struct store *s, const char *id, const struct deadline *d, struct error *err);

/* Keeps console.log, vmm.log and `reason` of a failed lease under logs/<id>/; at most 20 are kept.
 */
int store_keep_logs(struct store *s, const struct lease_handle *h, const struct lease *l,
                    const char *reason, struct error *err);
/* A directory for what is kept of a run that failed; its descriptor, which the caller closes. At
 * most 20 of them are kept. */
#define STORE_BUNDLE_NAME_SIZE (LEASE_SLUG_SIZE + LEASE_ID_SIZE + 48)
int store_make_bundle(struct store *s, const struct lease *l, const char *run_id,
                      char name[static STORE_BUNDLE_NAME_SIZE], struct error *err);
/* Appends the end of a log of a living lease, at most `max` bytes, as far as there is one. */
void store_log_end(const struct lease_handle *h, const char *name, size_t max, struct strbuf *out,
                   bool *cut);

/* Directory of logs by a lease's id or slug or a run's id, living or failed (caller closes). */
int store_open_logs(struct store *s, const char *ref, bool *failed, struct error *err);

/* Claims the slug for a lease; ERR_EXISTS names the lease that has it. store_drop_slug gives it up,
 * but only if it belongs to this lease. */
int store_claim_slug(struct store *s, const char *slug, const char *id, struct error *err);
int store_drop_slug(struct store *s, const char *slug, const char *id, struct error *err);

/* One row for list: a lease, or a directory that can't be read as one. */
struct lease_entry {
    char id[NAME_MAX + 1]; /* directory name */
    bool broken;           /* `lease` is not filled, `reason` is why */
    bool passing;          /* this may be temporary: the record could not be read at the moment */
    bool locked;           /* a process is changing it */
    bool in_use;           /* a run or a session is open */
    char reason[512];
    struct lease lease;
};

/* One lease by id, as store_list would show it. ERR_NOT_FOUND if it is gone. */
int store_entry(struct store *s, const char *id, struct lease_entry *out, struct error *err);

/* All entries, sorted by creation time; the caller frees the array. Never fails on one bad entry.
 */
int store_list(struct store *s, struct lease_entry **out, size_t *n, struct error *err);

/* Finds the id for an id, a slug or a full name. ERR_NOT_FOUND names the nearest slug. */
int store_resolve(struct store *s, const char *ref, char id[static LEASE_ID_SIZE],
                  struct error *err);
/* The slug that `ref` may be a misspelling of; false if none is near. */
bool store_nearest(struct store *s, const char *ref, char slug[static LEASE_SLUG_SIZE]);

/* Removes directories that a crash left half made or half removed, and slugs of leases that no
 * longer exist. Goes on if one can't be removed. Returns how many there were, or -1 with the first
 * error. */
int store_sweep(struct store *s, bool dry_run, struct error *err);

#endif
