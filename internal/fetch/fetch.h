/* fetch.h: bringing files out of the guest, which chooses no path on the host.
 *
 * The guest's tar writes an archive over SSH; libarchive reads it here while it comes. Where things
 * go is decided by the caller: one name below one directory, or names that match the globs that
 * were asked for. Only regular files and directories are taken, links and devices are counted and
 * left out, and so are names that tools of the host obey (obeyed.c) unless the caller named them; a
 * name that would lead elsewhere ends the transfer; no symlink of the host is followed below the
 * directory; number and bytes are capped, and part of the filesystem stays free (room.h); only the
 * permission bits of a mode count. A file is replaced in one step when it is complete.
 *
 * fetch_path and fetch_globs use a connection; fetch_unpack is the part that reads the archive.
 * Errors: ERR_NOT_FOUND where the guest has no such file, ERR_SSH for what else the guest did,
 * ERR_IO for what the host refused.
 */
#ifndef CRABBOX_FETCH_FETCH_H
#define CRABBOX_FETCH_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ssh/ssh.h"
#include "sys/deadline.h"

struct fetch_limits {
    size_t max_entries;
    int64_t max_bytes;
    int64_t idle_ms; /* given up when nothing comes for so long */
};
#define FETCH_LIMITS_DEFAULT                                                                       \
    {                                                                                              \
        100000, 20LL << 30, 300000                                                                 \
    }

struct fetch_result {
    size_t n_files;
    int64_t bytes;
    size_t n_skipped;        /* links, devices, names with control or hidden characters */
    char first_skipped[128]; /* printable */
    /* Files and directories that tools of the host would obey; of a directory only itself. */
    size_t n_obeyed;
    char first_obeyed[256]; /* as it is to be asked for; printable */
    bool empty;             /* the archive ended well and had nothing in it */
};

/* Called now and then, from another thread while the transfer runs. May be NULL. */
typedef void fetch_progress_fn(void *ctx, size_t files, int64_t bytes);

/* Where things go. */
struct fetch_rules {
    int dirfd;                /* borrowed */
    const char *name;         /* what the file or directory becomes below dirfd; or NULL and: */
    const char *const *globs; /* each name is kept, and matches one of these; NULL-terminated */
    struct fetch_limits limits;
    bool keep_times; /* of files, as the guest tells them */
    /* With globs: only files that are not older than this file of the guest, and none that package
     * managers put there. NULL: all. */
    const char *since;
    bool is_store; /* a repository's own directory is what was asked for: with its HEADs */
    /* Gets the path of each file and a NUL; dirfd is empty then, and a name that comes again ends
     * the transfer. May be NULL. */
    struct strbuf *names;
    const atomic_bool *stop; /* true: nothing more is read, the archive fails; may be NULL */
    fetch_progress_fn *progress;
    void *ctx;
};

/* The guest's file or directory `remote` (relative: to `from`, or to the home directory where that
 * is NULL) becomes rules->name. `from` is the guest's directory. */
int fetch_path(struct ssh_conn *c, const char *from, const char *remote,
               const struct fetch_rules *rules, const struct deadline *d, struct fetch_result *res,
               struct error *err);

/* The files below the guest's directory `from` that match rules->globs; none is a success. */
int fetch_globs(struct ssh_conn *c, const char *from, const struct fetch_rules *rules,
                const struct deadline *d, struct fetch_result *res, struct error *err);

/* Reads an archive from `fd` (borrowed) to its end. */
int fetch_unpack(int fd, const struct fetch_rules *rules, struct fetch_result *res,
                 struct error *err);

/* A glob that is relative and stays below where it starts; says why not. */
int fetch_check_glob(const char *glob, struct error *err);
/* "*", "?" and "[" match within one component, "**" any number of them. A leading dot has to be
 * written out, and a name that tools of the host obey as a whole. */
bool fetch_glob_match(const char *glob, const char *path);

#endif
