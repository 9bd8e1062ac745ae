/* env.h: the environment's own strictness. */
#ifndef CRABBOX_CONFIG_ENV_H
#define CRABBOX_CONFIG_ENV_H

#include "base/error.h"
#include "config/config.h"

/* Every variable named CRABBOX_FIRECRACKER_* or CRABBOX_FC_* must be one we know: a misspelt name
 * would be ignored otherwise. ERR_CONFIG names the nearest. */
int env_check_names(const char *const *envp, struct error *err);

/* The value that the environment has for a key, under our name or Crabbox's, and that name; NULL if
 * it has none. An empty variable is one that is not set, as scripts made for Crabbox expect. */
const char *env_find(const struct config_key *key, const char *const *envp, const char **name);

/* Names in one warning the variables of Crabbox's that have no effect here. */
void env_note_unused(const char *const *envp);

#endif
