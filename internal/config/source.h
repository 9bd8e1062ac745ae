/* source.h: finds the three configuration files, checks who owns them, and reads them.
 *
 * A file is opened once, checked through that descriptor and read once. Hash, parser and trust all
 * work on the bytes that were read then, so replacing the file meanwhile has no effect. The
 * repository is found by descriptors from the working directory upwards, and its file is opened in
 * the directory where it was seen. Otherwise somebody who can replace a directory on the path could
 * put another, trusted project in its place. The names of the files also come from these
 * descriptors.
 *
 * The files of the system and the user may be symbolic links. A link has to lead to a regular file
 * that root or the user owns and nobody else can write; the same must be true of every directory on
 * the path, and it may not lead into the repository. Root reads a file that the sudo caller could
 * replace with the caller's rights. The repository's file may not be a link. Whoever owns it, trust
 * decides what it may set.
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

/* The repository around the working directory. The paths are for messages: only `dir_fd` is certain
 * to be the directory that was found. */
struct source_repo {
    char here[PATH_MAX]; /* real path of the working directory */
    char root[PATH_MAX]; /* real path; "" if there is neither a .git nor a file */
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

/* $XDG_CONFIG_HOME/crabbox-fc, else ~/.config/crabbox-fc, into out[PATH_MAX]; "" if neither
 * variable is set. */
int source_user_dir(const char *const *envp, char out[static PATH_MAX], struct error *err);
#define CONFIG_USER_NAME  "config.yaml"
#define CONFIG_TRUST_NAME "trust.json"
/* Refuses the user's configuration directory if it lies in something that may have come with the
 * code around `here` or the directory of --dir (worktree.h), as when HOME is the checkout or an
 * unpacked archive. It is refused if it has a configuration or a trust store, because these came
 * with the code; with `make`, also if they are still to be made. The home that the system has on
 * record is the user's even if it is a repository, and its .config may be a link to a repository
 * with dotfiles. Any other HOME or XDG_CONFIG_HOME may not lead into a tree with a .git, wherever
 * `here` is: a CI may set HOME to the checkout, and a job may run outside of it. */
int source_check_user_dir(const char *dir, const char *here, bool make, const char *const *envp,
                          struct error *err);

/* worktree_tops, with ERR_TRUST if it fails. */
int source_tops(const char *here, struct worktree_tops *out, struct error *err);

/* What "~/" stands for in a file: HOME, or NULL if HOME leads into such a tree. */
const char *source_home_for_files(const char *here, const char *const *envp);

/* For root, before it reads or writes a file of the user. If `path` leads through a directory, a
 * link or a file of the sudo caller, the caller could replace it with a link to one of root's
 * files. This thread then has only the caller's rights until caller_back. 1 if it has them, 0 if
 * nothing has changed, -1. */
int source_as_caller(const char *path, struct caller_before *before, struct error *err);

/* Looks for the file from `cwd` upwards to the directory that has .git; without a repository only
 * in cwd itself. "." is the directory that the process is in, whatever its path leads to now. Free
 * `out`, also after an error. */
int source_find_repo(const char *cwd, struct source_repo *out, struct error *err);

/* Reads a file. A missing file is a success with `found` false. `repo_root` as in struct
 * source_repo. */
int source_read(enum config_source src, const char *path, const char *repo_root,
                const char *const *envp, struct source_file *out, struct error *err);
/* The same for a repository's file in the directory `dir_fd`; `path` is its name. */
int source_read_repo(int dir_fd, const char *path, const char *const *envp, struct source_file *out,
                     struct error *err);

/* Checks that others can't replace or change any existing part of the absolute `path`
 * (trusted.h). */
int source_check_dir(const char *path, const char *const *envp, struct error *err);

/* True if `uid` may own files that this user relies on: root, the user, or the sudo caller. */
bool source_owner_ok(uid_t uid, const char *const *envp);

#endif
