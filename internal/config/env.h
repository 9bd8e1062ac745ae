/* env.h: the environment's own strictness. */
#ifndef CRABBOX_CONFIG_ENV_H
#define CRABBOX_CONFIG_ENV_H

#include "base/error.h"

/* Every variable named CRABBOX_FIRECRACKER_* or CRABBOX_FC_* must be one we know: a misspelt name
 * would be ignored otherwise. ERR_CONFIG names the nearest. */
int env_check_names(const char *const *envp, struct error *err);

#endif
