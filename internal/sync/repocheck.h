/* repocheck.h: whether git would take a git directory for a repository, and one that it can read:
 * what is_git_directory() and check_repository_format() in git's setup.c ask. Without git, which
 * would obey what the repository configures.
 */
#ifndef CRABBOX_SYNC_REPOCHECK_H
#define CRABBOX_SYNC_REPOCHECK_H

#include "sync/repo.h"

/* ERR_SYNC with git's words and what to do where git rejects it. Needs git_dir, the descriptors and
 * kind; sets config_bytes. Links of HEAD, objects and refs are not followed. */
int repo_check(struct repo *r, struct error *err);

#endif
