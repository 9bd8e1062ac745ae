/* place.h: the place on the host for something from the guest, by the rules of cp.
 *
 *   place_find before the guest runs anything → place_open when it has → place_end
 *   → place_close
 *
 * place_find holds what it found open. The owner of a tree can swap its directories, or the entry
 * that makes it a tree, while the guest runs. The results still go where the path led at first.
 *
 * If the path is an existing directory, or ends with "/", the result goes into it under its own
 * name. Any other path is the new name. Missing directories on the way are made. Paths are resolved
 * by the rules of sys/beneath.h: no symlink in a working tree is followed.
 */
#ifndef CRABBOX_RUN_PLACE_H
#define CRABBOX_RUN_PLACE_H

#include <limits.h>

#include "base/error.h"
#include "sys/beneath.h"

/* What was typed: `what` is the option. */
struct place_wish {
    const char *what, *local, *remote;
};

/* A directory that takes results. */
struct place_dir {
    struct beneath b;    /* owned: where the typed path begins */
    char path[PATH_MAX]; /* the directory below b.dirfd */
    int found_fd;        /* owned, O_PATH; -1: it was not there at first */
};

struct place {
    struct place_wish wish;  /* what it points to is borrowed */
    struct place_dir dir;    /* owned */
    bool into;               /* the directory is what was typed, not the one that holds it */
    unsigned made;           /* directories, by place_open */
    int dirfd;               /* owned, by place_open: what was fetched goes here, */
    char name[NAME_MAX + 1]; /* under this name */
};
#define PLACE_DIR_INIT                                                                             \
    {                                                                                              \
        .b = {.dirfd = -1}, .found_fd = -1                                                         \
    }
#define PLACE_INIT                                                                                 \
    {                                                                                              \
        .dir = PLACE_DIR_INIT, .dirfd = -1                                                         \
    }

/* Makes nothing. Fails if the place could not be opened because of what is there now. */
int place_find(const struct place_wish *wish, struct place *out, struct error *err);
/* Makes the directories that are missing. */
int place_open(struct place *p, struct error *err);
/* Says which directory was made, or removes it where nothing came. */
void place_end(const struct place *p, bool ok);
void place_close(struct place *p);

/* The same for a directory itself; of the wish `remote` is not used. place_dir_make: a descriptor
 * of the caller's, and in `made` what beneath_mkdirs has there. What was found but removed
 * meanwhile is made anew. */
int place_dir_find(const struct place_wish *wish, struct place_dir *out, struct error *err);
int place_dir_make(const struct place_dir *d, unsigned *made, struct error *err);
void place_dir_close(struct place_dir *d);

/* The last component of a path without trailing slashes: "" for "/" or "". -1: too long. */
int path_base(const char *path, char out[static NAME_MAX + 1]);

#endif
