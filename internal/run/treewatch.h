/* treewatch.h: waits until what a sync would send has changed.
 *
 *   tree_watch_open → tree_watch_mark before each run → tree_watch_wait
 *   → tree_watch_close
 *
 * inotify only says when to look; a look is a scan as for a sync (sync_scan), so what is not sent
 * counts for nothing. The tree may be hostile: a look comes only after a quiet time, never takes
 * more than a part of the processor, and the number of watches is bounded. A look also comes now
 * and then without an event, for directories that can't be watched.
 */
#ifndef CRABBOX_RUN_TREEWATCH_H
#define CRABBOX_RUN_TREEWATCH_H

#include "base/error.h"
#include "sync/sync.h"

struct tree_watch {
    int dir_fd; /* borrowed */
    const char *exclude;
    struct sync_limits limits;
    int notify_fd, cancel_fd, gone_fd; /* the first is owned */
    struct sync_list list;             /* owned: as it was marked */
    int64_t look_us;                   /* what the last look cost */
    bool partly;                       /* not every directory is watched */
};
#define TREE_WATCH_INIT                                                                            \
    {                                                                                              \
        .dir_fd = -1, .notify_fd = -1, .cancel_fd = -1, .gone_fd = -1                              \
    }

/* The other members are filled by the caller. */
int tree_watch_open(struct tree_watch *w, struct error *err);
void tree_watch_close(struct tree_watch *w);

/* What is there now is what changes are counted from. */
int tree_watch_mark(struct tree_watch *w, struct error *err);

/* 1 if something has changed since the mark, and has been quiet for `quiet_ms`; 0 after `idle_ms`
 * without a change. ERR_CANCELLED, ERR_NOT_RUNNING (gone_fd), and what a scan fails with. */
int tree_watch_wait(struct tree_watch *w, int64_t quiet_ms, int64_t idle_ms, struct error *err);

#endif
