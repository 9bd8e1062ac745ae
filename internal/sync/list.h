/* list.h: how a struct sync_list is made. Only the files of this module use it. */
#ifndef CRABBOX_SYNC_LIST_H
#define CRABBOX_SYNC_LIST_H

#include <stdbool.h>
#include <sys/stat.h>

#include "sync/effort.h"
#include "sync/gitignore.h"
#include "sync/ignore.h"
#include "sync/repo.h"
#include "sync/sync.h"
#include "sync/tree.h"

/* One scan: the list that it fills, and the data that it needs for that. */
struct scan {
    struct sync_list *list;
    struct tree tree;
    struct ignore always;    /* what the configuration leaves out: no "!" of the tree undoes it */
    struct ignore ignore;    /* that again, and the tree's own */
    struct ignore built_in;  /* untracked files that are made again where they are needed; */
    struct ignore untracked; /* these again, then `ignore`, whose "!" undoes them */
    struct ignore include;
    struct sync_limits limits;
    struct effort effort;  /* and the deadline */
    size_t alloc;          /* of list->files */
    size_t path_bytes;     /* of their names */
    size_t nested_entries; /* of the indexes of repositories in the tree */
    size_t nested_bytes;
    struct gitignore user; /* the user's own patterns for all repositories */
    bool user_known;       /* they have been read */
    bool all;              /* .git too */
    size_t n_odd;          /* entries .gitignore that are no regular file */
    char *first_odd;       /* the path of the first, or NULL; owned */
};

int scan_git(struct scan *s, const struct repo *r, struct error *err);
/* A repository at `path`, open as `fd` (borrowed), in a directory that is none. */
int scan_git_at(struct scan *s, int fd, const char *path, struct error *err);
/* The user's own patterns for all repositories. It runs git for that. This git must not be in the
 * tree, and it must answer within `answer_ms`, and before the deadline of the scan. */
int git_user_ignore(struct scan *s, int64_t answer_ms, struct gitignore *g, struct error *err);

/* Adds the files of a directory that is no repository. */
int scan_walk(struct scan *s, struct error *err);

/* Adds one path if its kind can be sent; checks the limits. */
int scan_add(struct scan *s, const char *path, const struct stat *st, struct error *err);
/* Adds a directory of which nothing is sent. */
int scan_add_dir(struct scan *s, const char *path, mode_t mode, struct error *err);
void scan_skip(struct scan *s, const char *path);
/* A repository that is no submodule: with its entries it is left out. */
void scan_stranger(struct scan *s, const char *path);
/* What the index names otherwise than its directory does. */
void scan_misnamed(struct scan *s, const char *path);
/* A submodule that is not initialised. */
void scan_absent(struct scan *s, const char *path);
/* Whether the user's or the tree's own patterns leave out a path; or, for the second, a directory
 * with everything that may be below it. */
bool scan_leaves_out(struct scan *s, const char *path, bool is_dir);
bool scan_leaves_out_all(struct scan *s, const char *path);
/* Whether a built-in pattern leaves out an untracked path; it is then on the list of these. */
bool scan_leaves_untracked(struct scan *s, const char *path, bool is_dir);
/* Call it for each entry: -1 if the listing has to end. */
int scan_stop(struct scan *s, struct error *err);
/* Opens a directory of the tree for reading: -1 with errno; ENOENT also where it is limits.never.
 */
int scan_open_dir(const struct scan *s, int parent, const char *name);

#endif
