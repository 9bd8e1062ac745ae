/* source.h: the three configuration files: where they are, whose they are, their bytes.
 *
 * A file is opened once, checked through that descriptor and read once; hash, parser and trust all
 * work on the bytes that came from there, so a file that is exchanged meanwhile changes nothing.
 * The repository is found by descriptors from the working directory upwards, and its file opened in
 * the directory that had it: whoever may exchange a directory on the path to here could otherwise
 * put another, trusted project in its place. Names come from these descriptors.
 *
 * The files of the system and the user may be symbolic links; what counts is where they lead: to a
 * regular file of root's or the user's own, writable by nobody else, on a path of which that holds
 * too, and not into the repository. What the sudo caller can replace, root reads with the caller's
 * rights. The repository's file may not be a link; whoever owns it, trust decides what it may say.
 */
#ifndef CRABBOX_CONFIG_SOURCE_H
#define CRABBOX_CONFIG_SOURCE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "config/config.h"
#include "sys/caller.h"
#include "sys/hash.h"
#include "sys/worktree.h"

#define CONFIG_SYSTEM_FILE "/etc/crabbox-fc/config.yaml"
#define CONFIG_REPO_NAME   ".crabbox-fc.yaml"

struct source_file {
    bool found;
    bool foreign; /* owned by another user, or writable by anybody */
    char sha256[SHA256_HEX_SIZE];
    struct strbuf text;
};
#define SOURCE_FILE_INIT                                                                           \
    {                                                                                              \
        .text = STRBUF_INIT                                                                        \
    }

/* The repository around the working directory. The paths are names: only `dir_fd` is sure to be
 * what was found. */
struct source_repo {
    char here[PATH_MAX]; /* real path of the working directory */
    char root[PATH_MAX]; /* real path; "" when there is neither a .git nor a file */
    char file[PATH_MAX]; /* real directory + name of the nearest file; "" when there is none */
    int dir_fd;          /* the directory that has the file, O_PATH; owned; -1: there is none */
};
#define SOURCE_REPO_INIT                                                                           \
    {                                                                                              \
        .dir_fd = -1                                                                               \
    }
void source_repo_free(struct source_repo *r);

/* Value of a variable in an environment block, NULL if absent. */
const char *env_get(const char *const *envp, const char *name);

/* $XDG_CONFIG_HOME/crabbox-fc, else ~/.config/crabbox-fc, into out[PATH_MAX]; "" where the
 * environment names neither. */
int source_user_dir(const char *const *envp, char out[static PATH_MAX], struct error *err);
#define CONFIG_USER_NAME  "config.yaml"
#define CONFIG_TRUST_NAME "trust.json"
/* Refuses a user's directory that leads into what may have come with code around the directory
 * `here` or that of --dir (worktree.h; HOME is the checkout, or an archive) and has a configuration
 * or a trust store, because they came with it; with `make` it is refused even if they are only to
 * be made. A home that the system knows is the user's, a repository or not, and its .config may be
 * a link to a repository with dotfiles. Any other HOME or XDG_CONFIG_HOME may lead into no tree
 * with a .git, wherever `here` is: a CI makes the checkout HOME, and a job need not stand in it. */
int source_check_user_dir(const char *dir, const char *here, bool make, const char *const *envp,
                          struct error *err);

/* worktree_tops, with ERR_TRUST if that can't be told. */
int source_tops(const char *here, struct worktree_tops *out, struct error *err);

/* What "~/" stands for in a file: HOME, or NULL where that leads into such a tree. */
const char *source_home_for_files(const char *here, const char *const *envp);

/* Before root reads or writes a file of the user's: if `path` leads through a directory, a link or
 * a file of the sudo caller's, who could exchange it for a link to a file of root's, this thread
 * has only the caller's rights until caller_back. 1 if it is so, 0 if nothing has changed, -1. */
int source_as_caller(const char *path, struct caller_before *before, struct error *err);

/* Looks upwards from `cwd` for the file, to the directory that has .git; without a repository only
 * in cwd itself. "." is the directory that the process stands in, whatever its path leads to now.
 * `out` is to be freed, after an error too. */
int source_find_repo(const char *cwd, struct source_repo *out, struct error *err);

/* Reads a file. Absent is a success with found false. `repo_root` as in struct source_repo. */
int source_read(enum config_source src, const char *path, const char *repo_root,
                const char *const *envp, struct source_file *out, struct error *err);
/* The same for a repository's file in the directory `dir_fd`; `path` is its name. */
int source_read_repo(int dir_fd, const char *path, const char *const *envp, struct source_file *out,
                     struct error *err);

/* An absolute `path`, as far as it exists, can't be replaced or changed by others (trusted.h). */
int source_check_dir(const char *path, const char *const *envp, struct error *err);

/* True if `uid` may own files that this user relies on: root, the user, and whom sudo came from. */
bool source_owner_ok(uid_t uid, const char *const *envp);

#endif
