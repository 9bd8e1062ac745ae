/* wholehome.h: a tree that is a home directory, or more than one, goes into no guest by accident.
 *
 * Any directory becomes the top of a repository by a `.git` in it, and an archive without a folder
 * of its own leaves one where it is unpacked: from then on the home around it is the working tree
 * of whoever stands below. So the tree that was found is judged, not where the user stands.
 */
#ifndef CRABBOX_OPS_WHOLEHOME_H
#define CRABBOX_OPS_WHOLEHOME_H

#include <stdbool.h>

#include "base/error.h"

/* `root` is the tree's top, absolute and without links. `meant`: --dir named this very directory.
 * ERR_USAGE for "/", a home directory (of HOME, of our user, of who called sudo), and what holds
 * one of the latter two. */
int whole_home_check(const char *root, bool meant, struct error *err);

#endif
