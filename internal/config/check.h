/* check.h: the checks that need more than one key, or the host, after all layers are merged. */
#ifndef CRABBOX_CONFIG_CHECK_H
#define CRABBOX_CONFIG_CHECK_H

#include "base/error.h"
#include "config/priv.h"

/* Remembers if the system's file both chooses a stock image and locks that choice, so that a later
 * image.dir can't get around the lock. Call it when the system's layer and floor are applied. */
void check_note_locked_boot(struct config_priv *p);

/* image.dir and firecracker.kernel/rootfs both choose what to boot. The stronger source wins; both
 * from the same source is an error. Sets image.dir to "" if the other one wins. */
int check_image_choice(struct config_priv *p, struct error *err);

/* A host path from a file may not lead into the repository, or into anything else that may have
 * come with the code around `cwd` or the directory of --dir (worktree.h), because anybody may have
 * written what is there. The same goes for the directories of PATH, for programs that are given by
 * name. Flags and variables may lead there: the user has set them for this call. ERR_TRUST.
 */
int check_host_paths(const struct config_priv *p, const char *cwd, const char *const *envp,
                     struct error *err);

/* True if `next` allows no more than `current`: a part of the list, a number that is not larger, a
 * switch at its safe value. */
bool check_is_tightening(const struct config_key *key, const char *current, const char *next);

#endif
