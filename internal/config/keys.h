/* keys.h: look-ups in the key table, for this module's own files. The table is in keys.c, its
 * public part in config.h. All return NULL where there is no such key; nothing allocates. */
#ifndef CRABBOX_CONFIG_KEYS_H
#define CRABBOX_CONFIG_KEYS_H

#include <stddef.h>

#include "config/config.h"

#define CONFIG_KEYS_MAX 64

/* By our name, or by Crabbox's where it has another (env.allow). */
const struct config_key *config_key_by_name(const char *name);
/* Whether there is such a block for the sake of Crabbox's names alone. */
bool config_is_block_of_same(const char *block);
const struct config_key *config_key_by_env(const char *env);
size_t config_key_index(const struct config_key *key);

/* It has a value_number() that may be more or less. */
bool config_key_is_number(const struct config_key *key);
/* Whether a repository needs trust to set it, or to set it to more than it would get. */
bool config_key_is_judged(const struct config_key *key);

/* "integer", "duration", … for JSON and docs. */
const char *config_type_name(enum config_type type);

#endif
