/* home.h: the home directories that must not be sent into a guest by accident. */
#ifndef CRABBOX_SYNC_HOME_H
#define CRABBOX_SYNC_HOME_H

#include <stdbool.h>

/* Whether the directory is or contains our home, that of the user who called sudo or that of its
 * owner, by the system's own records; with `by_env` $HOME as well. The root directory contains all
 * of them. */
bool home_is_within(int dirfd, bool by_env);

/* HOME; NULL also where a link of a tree would choose where it leads. */
const char *home_by_env(void);

#endif
