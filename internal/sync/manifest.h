/* manifest.h: a file of the host that records what earlier syncs have put into a guest.
 *
 * sync_manifest_load (an absent or unreadable file is an empty manifest: everything is sent again),
 * sync_manifest_find and sync_manifest_append while comparing, sync_manifest_save before and after
 * the guest is changed, sync_manifest_free. An entry is dirty while the state of the guest's copy
 * is not known. A dirty entry is sent or deleted again.
 */
#ifndef CRABBOX_SYNC_MANIFEST_H
#define CRABBOX_SYNC_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "sync/sync.h"

#define MANIFEST_ID_SIZE 33

struct manifest_entry {
    struct sync_file file; /* path owned */
    bool dirty;
};

struct manifest {
    char *root;                     /* owned; the tree here */
    char mark[SYNC_MARK_SIZE];      /* of its directory, as in struct sync_list */
    char *remote;                   /* owned; the directory in the guest */
    char id[MANIFEST_ID_SIZE];      /* also in the guest's marker file; hex */
    struct manifest_entry *entries; /* owned; sorted by path */
    size_t n, alloc;
};

void sync_manifest_free(struct manifest *m);

/* Reads the manifest of this remote directory, whatever tree it is of. False if there is none: then
 * `m` is a new one (sync_manifest_begin). */
bool sync_manifest_load(struct manifest *m, const struct sync_store *store,
                        const struct sync_list *tree, const char *remote);
/* An empty one with a new id. */
void sync_manifest_begin(struct manifest *m, const struct sync_list *tree, const char *remote);

/* Whether it is of this tree, and how that is known. */
enum manifest_tree {
    MANIFEST_SAME,     /* the same directory, wherever it is now */
    MANIFEST_REPLACED, /* another directory at the same place */
    MANIFEST_OTHER,
};
enum manifest_tree sync_manifest_compare(const struct manifest *m, const struct sync_list *tree);
int sync_manifest_save(const struct manifest *m, const struct sync_store *store, struct error *err);

/* The parser alone: 0 and a filled `m`, or -1 (then `m` is to be freed all the same). */
int sync_manifest_parse(struct manifest *m, const char *text, size_t len);

/* Entry of a path, or NULL. */
struct manifest_entry *sync_manifest_find(const struct manifest *m, const char *path);

/* Adds a copy at the end: paths must come in rising order. */
void sync_manifest_append(struct manifest *m, const struct sync_file *f, bool dirty);

#endif
