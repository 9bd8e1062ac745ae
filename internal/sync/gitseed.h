/* gitseed.h: a repository for the synced tree, so that programs in the guest can ask git.
 *
 * gitseed_read takes what git keeps outside of its objects (HEAD, refs, the index, the boundary of
 * a shallow clone) and gives it a name, `id`. If the guest has it already, that is all.
 * gitseed_build makes the .git of the guest in a directory; gitseed_free.
 *
 * Of the repository's own configuration only the format is read, and nothing is sent. So nothing
 * that it names runs, and no URL, header or credential of it reaches the guest. git runs in a
 * repository made here, with a configuration made here, and takes only the objects from the user's.
 */
#ifndef CRABBOX_SYNC_GITSEED_H
#define CRABBOX_SYNC_GITSEED_H

#include "sync/repo.h"
#include "sync/sync.h"
#include "sys/hash.h"

struct gitseed_file {
    char *name; /* below .git; owned */
    struct strbuf text;
};

struct gitseed {
    enum sync_git how;
    const struct repo *repo;    /* borrowed */
    struct gitseed_file *files; /* owned */
    size_t n, alloc;
    size_t bytes;
    struct strbuf oids; /* of the files in the index, hash bytes each */
    size_t hash;        /* 0 without an index */
    char id[SHA256_HEX_SIZE];
    char branch[256]; /* what HEAD names; "" if it names a commit */
};

#define GITSEED_INIT                                                                               \
    {                                                                                              \
        .oids = STRBUF_INIT                                                                        \
    }

/* ERR_SYNC with a reason if this repository can't be given to a guest. */
int gitseed_read(const struct repo *r, enum sync_git how, struct gitseed *out, struct error *err);
/* Into two empty directories: `work_fd` is where git runs, `out_fd` gets what the guest is to have
 * as its .git. `store` is asked for the room. */
int gitseed_build(const struct gitseed *s, const struct sync_store *store, int work_fd, int out_fd,
                  const struct deadline *d, struct error *err);
void gitseed_free(struct gitseed *s);

#endif
