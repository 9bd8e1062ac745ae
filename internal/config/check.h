/* check.h: what holds between keys, and between values and the host, once all layers are merged. */
#ifndef CRABBOX_CONFIG_CHECK_H
#define CRABBOX_CONFIG_CHECK_H

#include "base/error.h"
#include "config/priv.h"

/* Notes that the system both says what stock image boots and locks it, so that no later image.dir
 * gets round the lock. Call it when the system's layer and floor stand. */
void check_note_locked_boot(struct config_priv *p);

/* image.dir and firecracker.kernel/rootfs both choose what to boot: the stronger source wins; both
 * from the same one is an error. Sets image.dir to "" where it gives way. */
int check_image_choice(struct config_priv *p, struct error *err);

/* Host paths from files may not lead into the repository, nor into what else may have come with the
 * code around `cwd` or the directory of --dir (worktree.h): nobody vouches for what is there. Nor
 * may PATH, for programs given by name. Flags and environment are the user's own words for this
 * call and may. ERR_TRUST.
 */
int check_host_paths(const struct config_priv *p, const char *cwd, const char *const *envp,
                     struct error *err);

/* True if `next` only takes away from `current`: a part of the list, no larger a number, a switch
 * on its safe side. */
bool check_is_tightening(const struct config_key *key, const char *current, const char *next);

#endif
