/* sync.h: brings a working tree into the guest.
 *
 * sync_scan finds the files that belong to the tree. If there is a repository around it or in it,
 * it uses the rules of git. sync_push streams the files as one tar archive (GNU format: any name,
 * any size) over SSH into the guest's tar. Names may have any byte except NUL. Symlinks are sent as
 * symlinks and never followed. Sockets, devices and unreadable files are reported and not sent.
 * This module is the only user of libarchive's tar writer.
 *
 * sync_update is for repeated syncs. It keeps a manifest of the files that it has put into the
 * guest. It sends only files that have changed on either side since, and deletes only files that it
 * had put there.
 *
 * Order: sync_scan → sync_push or sync_update → sync_list_free.
 */
#ifndef CRABBOX_SYNC_SYNC_H
#define CRABBOX_SYNC_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "ssh/ssh.h"
#include "sync/tree.h"
#include "sys/deadline.h"

struct sync_file {
    char *path; /* relative to the root, owned */
    int64_t size;
    int64_t mtime_ns, ctime_ns;
    mode_t mode; /* type and permissions: a regular file, a symlink or an empty directory, whose
                    size and times are 0 */
};

/* What a built-in pattern has left out: untracked, a directory with all below it. */
#define SYNC_LEFT_MAX    100
#define SYNC_OWN_RESULTS "/artifacts/run_*/" /* the pattern of what earlier runs brought back */
struct sync_left {
    char *path;          /* owned; a directory ends with "/" */
    const char *pattern; /* static */
};

#define SYNC_MARK_SIZE 64

struct sync_list {
    char *root;   /* absolute: the repository's top, or the directory itself; owned */
    char *name;   /* last component of root; owned */
    char *subdir; /* where the scanned directory lies below root, "" if it is the root; owned */
    int root_fd;  /* what is sent is read beneath this, never by `root`; owned, O_PATH; valid where
                     `root` is not NULL */
    char mark[SYNC_MARK_SIZE]; /* of root's directory, which a copy of it and another directory at
                                  its place don't have; "" where the filesystem has no such thing */
    bool git;                  /* root is a git repository */
    bool held_back;            /* the user has patterns of files that are not to be sent */
    bool whole;                /* by sync_walk: a .git goes along like anything else */
    struct tree_id never;      /* of limits.never */
    int64_t scanned_ns;        /* unix time when the scan began */
    struct sync_file *files;   /* sorted by path */
    size_t n_files;
    int64_t bytes;
    size_t n_skipped;                     /* sockets, devices, unreadable */
    char *first_skipped;                  /* the first such path, or NULL; owned */
    size_t n_nested;                      /* repositories that are no submodules */
    char *first_nested;                   /* likewise */
    size_t n_misnamed;                    /* entries of an index that no directory lists so */
    char *first_misnamed;                 /* likewise */
    struct sync_left left[SYNC_LEFT_MAX]; /* the first that built-in patterns leave out */
    size_t n_left;                        /* all of these */
    size_t n_absent;                      /* submodules that are not initialised */
    char *first_absent;                   /* likewise */
};

/* Beyond max_* the scan fails (0: no limit); warn_* is for the caller, who has the list. */
struct sync_limits {
    size_t warn_files, max_files;
    int64_t warn_bytes, max_bytes;
    size_t max_deletes; /* sync_update refuses this many deletions or more */
    bool from_scratch;  /* sync_update empties the guest's directory first and sends everything */
    bool reclaim;       /* the same if it belongs to another tree, which is else an error */
    /* Absolute, or NULL: neither this directory nor anything below it is ever listed or sent,
     * under any name. */
    const char *never;
    const char
        *include; /* patterns, one per line, from the root: only these files; NULL or "": all */
    bool no_git;  /* a .git means nothing, here and below: all files, without it */
};
#define SYNC_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        50000, 150000, 5LL << 30, 20LL << 30, 200, false, false, NULL, NULL, false                 \
    }

/* Lists what belongs to the tree that `dirfd` (borrowed; may be O_PATH) lies in. The tree and
 * the directories above it may belong to another user, so a path to it may lead somewhere else the
 * next time: open it once. `exclude` (may be NULL) holds patterns, one per line,
 * in the syntax of .gitignore; the root's .crabboxignore follows them. The last pattern that
 * matches a file or one of its directories decides; "!" re-includes, also below an excluded
 * directory, but never what `exclude` alone leaves out. Never sent: .git. Deleted files are
 * left out. Nothing that the repository's configuration names
 * is run or read (git.c). `limits` may be NULL for the defaults. ERR_SYNC; ERR_ENV where the
 * user's own configuration of git is needed and there is no git to read it. */
int sync_scan(int dirfd, const char *exclude, const struct sync_limits *limits,
              const struct deadline *d, struct sync_list *out, struct error *err);
/* Only finds the tree: fills all but the files. */
int sync_locate(int dirfd, const struct sync_limits *limits, struct sync_list *out,
                struct error *err);
/* Lists every file below `dirfd`, whatever git or .crabboxignore say. */
int sync_walk(int dirfd, const struct sync_limits *limits, const struct deadline *d,
              struct sync_list *out, struct error *err);
/* Says what of the tree is not sent although nobody asked to leave it out. */
void sync_warn(const struct sync_list *l);
void sync_list_free(struct sync_list *l);

/* Called now and then with what was sent so far. May be NULL. */
typedef void sync_progress_fn(void *ctx, size_t files, int64_t bytes);

/* Creates `remote_dir` and unpacks the tree there. A file that changes while it is read is sent
 * with the size it had when opened (cut, or filled with zeros), one that has gone is left out, and
 * either is an error. ERR_SYNC with the message of the guest's tar, or the connection's own error.
 */
int sync_push(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
              const struct deadline *d, sync_progress_fn *progress, void *ctx, struct error *err);

/* Where sync_update keeps what it knows about one (lease, root): files `name` and lock.`name`
 * below dirfd (borrowed), a directory of the host that only we write to. */
struct sync_store {
    int dirfd;
    const char *name;
    /* Asked before so many bytes more are written below dirfd, beside these files; what was asked
     * for before is on the disk by then. An error if they take room that others have. May be
     * NULL. */
    int (*room)(void *room_ctx, int64_t bytes, struct error *err);
    void *room_ctx;
};

/* The name of the files for the tree that the guest has as `tree`. Two trees never share one: a
 * name that is too long is cut, and its hash follows. */
#define SYNC_STORE_NAME_SIZE 192
int sync_store_name(const char *tree, char out[static SYNC_STORE_NAME_SIZE], struct error *err);

/* The name that an update put this tree there under, by a store below dirfd: the name that its
 * directory had at the first one. It stays when the directory is renamed. NULL: there was no such
 * update, or the filesystem does not tell directories apart. The caller frees it. */
char *sync_first_name(int dirfd, const struct sync_list *tree);

/* Whether an update put this tree there. */
bool sync_is_there(const struct sync_store *store, const struct sync_list *tree,
                   const char *remote_dir);

struct sync_result {
    size_t n_sent, n_deleted;
    int64_t bytes_sent;
    char
        git_id[65]; /* what the guest's .git was made from by sync_git; "" if it has none of ours */
    bool full;      /* nothing was known about the guest: everything was sent */
};

/* How much is sent before it is written down as sent. */
#define SYNC_STEP_BYTES (32LL << 20)
#define SYNC_STEP_FILES 8192

/* Brings `remote_dir` up to date. Sent is what is new or changed here (size, times, mode) and what
 * the guest itself has changed or removed since the last sync; deleted is what an earlier sync put
 * there and the tree no longer has. What the guest made on its own stays. An interrupted update is
 * finished by the next one, which sends again at most the last SYNC_STEP_BYTES or SYNC_STEP_FILES
 * of what had arrived. A guest whose record of the last sync is gone gets everything.
 * A directory that an update filled from another tree is not touched (ERR_SYNC, limits->reclaim).
 * Where the tree's place has another directory since, it is emptied first, with a warning.
 * ERR_SYNC also when more than limits->max_deletes files would go (0: no limit). */
int sync_update(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
                const struct sync_store *store, const struct sync_limits *limits,
                const struct deadline *d, sync_progress_fn *progress, void *ctx,
                struct sync_result *res, struct error *err);

enum sync_git {
    SYNC_GIT_NONE,
    SYNC_GIT_SHALLOW, /* all commits up to HEAD with their tags, but only the files of HEAD. None of
                       * it where the user holds files back, which it would have */
    SYNC_GIT_FULL,    /* all branches and tags, with all files */
};

/* By the word of the configuration. */
enum sync_git sync_git_named(const char *word);

/* The directory of the repository that sync_git would take it from (caller frees); NULL if the
 * guest would get none. Says why, where that is not what the user asked for. */
char *sync_git_plan(const struct sync_list *l, enum sync_git how);

/* Gives the tree in the guest a .git with what the repository here has, but nothing of its
 * configuration. After sync_update, whose result is `last`. What the repository or git on this host
 * is the cause of is only a warning. */
int sync_git(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
             const struct sync_store *store, enum sync_git how, const struct sync_result *last,
             const struct deadline *d, struct error *err);

#endif
