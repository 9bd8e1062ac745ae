/* fetch.h: copies files out of the guest. The guest can't choose any path on the host.
 *
 * The guest's tar sends an archive over SSH, and libarchive reads it here as it comes. The caller
 * decides where things go: one name below one directory, or names that match the given globs. Only
 * regular files and directories are taken. Links and devices are counted and left out, and so are
 * names that tools of the host obey (obeyed.c), unless the caller named them. A name that would
 * lead elsewhere ends the transfer. No symlink of the host is followed below the directory. The
 * number of files and bytes is limited, and part of the filesystem stays free (room.h). Of a
 * mode only the permission bits are used, so nothing becomes setuid, setgid or sticky. A file is
 * replaced in one step when it is complete.
 *
 * fetch_path and fetch_globs use a connection; fetch_unpack is the part that reads the archive.
 * Errors: ERR_NOT_FOUND if the guest has no such file, ERR_SSH for other errors of the guest,
 * ERR_IO for errors of the host.
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
    int64_t idle_ms; /* the transfer is given up if nothing comes for this long */
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
    /* Files and directories that tools of the host would obey. A directory counts once, without its
     * content. */
    size_t n_obeyed;
    char first_obeyed[256]; /* the path by which it can be fetched; printable */
    bool empty;             /* the archive was complete but had nothing in it */
};

/* Called now and then, from another thread while the transfer runs. May be NULL. */
typedef void fetch_progress_fn(void *ctx, size_t files, int64_t bytes);

/* Where things go. */
struct fetch_rules {
    int dirfd;                /* borrowed */
    const char *name;         /* the new name of the file or directory below dirfd; or NULL and: */
    const char *const *globs; /* names are kept, and each must match one of these;
                               * NULL-terminated */
    struct fetch_limits limits;
    /* The times of files and all permission bits stay what they are in the guest, whatever the
     * umask is, but a directory that was there before keeps its own. Without this the umask counts,
     * and the user may read and write everything. */
    bool keep;
    /* With globs: only files that are not older than this file of the guest, and none that package
     * managers put there. NULL: all. */
    const char *since;
    bool is_store; /* the directory of a repository (.git) was asked for, so HEAD files in it are
                    * taken */
    /* Gets the path of each file and a NUL. Then dirfd must be empty, and a name that comes twice
     * ends the transfer. May be NULL. */
    struct strbuf *names;
    const atomic_bool *stop; /* true: stop reading, with an error; may be NULL */
    fetch_progress_fn *progress;
    void *ctx;
};

/* Copies the guest's file or directory `remote` to rules->name. A relative path starts at the
 * guest's directory `from` or, if that is NULL, at the home directory. */
int fetch_path(struct ssh_conn *c, const char *from, const char *remote,
               const struct fetch_rules *rules, const struct deadline *d, struct fetch_result *res,
               struct error *err);

/* Copies the files below the guest's directory `from` (NULL: the home directory) that match
 * rules->globs. Success also if there are none. */
int fetch_globs(struct ssh_conn *c, const char *from, const struct fetch_rules *rules,
                const struct deadline *d, struct fetch_result *res, struct error *err);

/* Reads an archive from `fd` (borrowed) to its end. */
int fetch_unpack(int fd, const struct fetch_rules *rules, struct fetch_result *res,
                 struct error *err);

/* 1 for "~" and "~/x": *path gets what is behind that, as paths of the home directory begin there
 * anyway. 0: any other path. -1 (ERR_USAGE) for "~name", which a shell would read as the home of
 * another user. `what` begins the message. */
int fetch_home(const char *what, const char **path, struct error *err);

/* Checks that a glob is relative and stays below its starting directory, or begins with "~/" and
 * stays below the home directory. */
int fetch_check_glob(const char *glob, struct error *err);
/* "*", "?" and "[" match within one component, "**" any number of them. A leading dot must be
 * written out, and so must the whole of a name that tools of the host obey. */
bool fetch_glob_match(const char *glob, const char *path);

#endif
