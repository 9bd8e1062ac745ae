/* pack.h: a tar archive that is made while it is read.
 *
 * pack_init, then pack_read until it returns 0, then pack_free. At any time it holds only one piece
 * of one file. The directories on the way to each file come before it. So the receiver makes real
 * directories, even if something else has taken their name.
 */
#ifndef CRABBOX_SYNC_PACK_H
#define CRABBOX_SYNC_PACK_H

#include <stdbool.h>
#include <sys/types.h>

#include "sync/sync.h"
#include "sync/tree.h"

struct pack {
    const struct sync_list *list; /* borrowed */
    struct tree tree;
    struct archive *writer;
    struct strbuf out; /* archive bytes not yet read */
    size_t out_off;
    size_t next;         /* index of the next file */
    int fd;              /* the file being sent, or -1 */
    int64_t left;        /* what its header still promises */
    bool cut;            /* it ended too soon: the rest is zeros */
    const char *current; /* its path */
    const char *last;    /* path of the last entry, for its directories */
    bool ended;
    bool abandoned; /* being freed: what the writer still has to say is dropped */
    size_t n_files; /* sent */
    int64_t bytes;
    size_t n_changed; /* files that changed or went away meanwhile */
    const char *first_changed;
};

int pack_init(struct pack *p, const struct sync_list *l, struct error *err);
/* Fills buf with the next bytes; 0 at the end. Of the form that ssh_io.source wants. */
ssize_t pack_read(void *pack, void *buf, size_t size, struct error *err);
void pack_free(struct pack *p);

#endif
