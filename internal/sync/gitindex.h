/* gitindex.h: the paths in a git index file.
 *
 * gitindex_parse reads the bytes of `index` (versions 2 to 4, SHA-1 or SHA-256, which it detects).
 * If `base` is set afterwards, the index is split: parse the file sharedindex.<base> into a second
 * one, and merge the two with gitindex_merge. gitindex_settle sorts the entries and turns the sides
 * of a conflict into one entry. Then use gitindex_find and gitindex_holds, and gitindex_free at the
 * end.
 *
 * Anyone may have written the bytes. The result is always a sorted list of paths without
 * duplicates, or an error. At worst the list is wrong.
 */
#ifndef CRABBOX_SYNC_GITINDEX_H
#define CRABBOX_SYNC_GITINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

enum gitindex_kind {
    GITINDEX_FILE,
    GITINDEX_LINK,   /* a commit of another repository: a submodule */
    GITINDEX_SPARSE, /* a directory that a sparse checkout leaves out as a whole */
};

enum { GITINDEX_OID_MAX = 32 };

struct gitindex_entry {
    char *path; /* owned; a directory has no slash at its end */
    enum gitindex_kind kind;
    bool skipped;                        /* left out by a sparse checkout */
    bool seen;                           /* a directory has a file of this very name: see git.c */
    unsigned char oid[GITINDEX_OID_MAX]; /* the name of its object; of one side of a conflict */
};

struct gitindex {
    struct gitindex_entry *entries; /* sorted by path; owned */
    size_t n;
    size_t hash;       /* bytes of an object's name: 20 or 32 */
    size_t extensions; /* where those begin in the file, in bytes */
    char base[65];     /* hexadecimal; "" unless the index is split */
    uint8_t *change; /* owned; what a split index does to each entry of its base: see gitindex.c */
    size_t n_change;
};

/* `what` names the file in messages (ERR_SYNC). */
int gitindex_parse(struct gitindex *x, const void *data, size_t len, const char *what,
                   struct error *err);
/* Puts the entries of `base` (consumed; its file is named by `what`) into the split index x. */
int gitindex_merge(struct gitindex *x, struct gitindex *base, const char *what, struct error *err);
/* Takes out of the bytes of the file that x was parsed from what is for this host alone, such as
 * the names of untracked files and the path of the tree, and makes the checksum anew. */
int gitindex_strip(const struct gitindex *x, struct strbuf *file, struct error *err);
int gitindex_settle(struct gitindex *x, const char *what, struct error *err);
void gitindex_free(struct gitindex *x);

const struct gitindex_entry *gitindex_find(const struct gitindex *x, const char *path);
/* Whether there is an entry below the directory `path`. */
bool gitindex_holds(const struct gitindex *x, const char *path);

#endif
