/* sync.h: bringing a working tree into the guest.
 *
 * sync_scan asks git (or walks the directory where there is no repository) which files belong to
 * the tree; sync_push streams them as one pax archive over SSH into the guest's tar. Names may hold
 * any byte but NUL; symlinks are sent as symlinks and never followed; sockets, devices and
 * unreadable files are reported, not sent. This module is the only user of libarchive's tar writer.
 */
#ifndef CRABBOX_SYNC_SYNC_H
#define CRABBOX_SYNC_SYNC_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "ssh/ssh.h"
#include "sys/deadline.h"

struct sync_file {
    char *path; /* relative to the root, owned */
    int64_t size;
};

struct sync_list {
    char *root; /* absolute: the repository's top, or the directory itself; owned */
    char *name; /* last component of root; owned */
    struct sync_file *files;
    size_t n_files;
    int64_t bytes;
    size_t n_skipped; /* sockets, devices, unreadable */
};

struct sync_limits {
    size_t warn_files, max_files;
    int64_t warn_bytes, max_bytes;
};
#define SYNC_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        50000, 150000, 5LL << 30, 20LL << 30                                                       \
    }

int sync_scan(const char *dir, const char *exclude, const struct sync_limits *limits,
              const struct deadline *d, struct sync_list *out, struct error *err);
void sync_list_free(struct sync_list *l);

/* Called now and then with what was sent so far. May be NULL. */
typedef void sync_progress_fn(void *ctx, size_t files, int64_t bytes);

/* Creates `remote_dir` and unpacks the tree there. ERR_SYNC, or the connection's own error. */
int sync_push(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
              const struct deadline *d, sync_progress_fn *progress, void *ctx, struct error *err);

#endif
