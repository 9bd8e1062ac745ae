/* env.h: reads and checks environment variables. */
#ifndef CRABBOX_CONFIG_ENV_H
#define CRABBOX_CONFIG_ENV_H

#include "base/error.h"
#include "config/config.h"

/* Every variable named CRABBOX_FIRECRACKER_* or CRABBOX_FC_* must be one we know: a misspelt name
 * would be ignored otherwise. ERR_CONFIG names the nearest. */
int env_check_names(const char *const *envp, struct error *err);

/* The value of a key's variable, and the variable's name: ours, or Crabbox's if ours is not set.
 * NULL if neither is. An empty variable counts as not set, as scripts written for Crabbox
 * expect. */
const char *env_find(const struct config_key *key, const char *const *envp, const char **name);

/* Prints one warning that names all variables of Crabbox that have no effect here. */
void env_note_unused(const char *const *envp);

#endif
