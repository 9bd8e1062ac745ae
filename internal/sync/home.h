/* home.h: whose home directories must not be carried into a guest by accident, and where the user
 * who called sudo has his own settings. */
#ifndef CRABBOX_SYNC_HOME_H
#define CRABBOX_SYNC_HOME_H

#include <stdbool.h>

#include "base/str.h"

/* Whether the directory is or holds the home of who we are or who called sudo, as the system knows
 * it; `by_env`: or $HOME. The top of the host holds all of them. */
bool home_is_within(int dirfd, bool by_env);

/* The home of who called sudo; owned; NULL where nobody did. */
char *home_of_caller(void);

#endif
