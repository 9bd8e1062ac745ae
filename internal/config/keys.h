/* keys.h: look-ups in the key table, for this module's own files. The table is in keys.c, its
 * public part in config.h. The functions return NULL if there is no such key, and never
 * allocate. */
#ifndef CRABBOX_CONFIG_KEYS_H
#define CRABBOX_CONFIG_KEYS_H

#include <stddef.h>

#include "config/config.h"

#define CONFIG_KEYS_MAX 64

/* By our name, or by Crabbox's name if that is different (env.allow). */
const struct config_key *config_key_by_name(const char *name);
/* Whether a block of this name exists only because Crabbox has it. */
bool config_is_block_of_same(const char *block);
const struct config_key *config_key_by_env(const char *env);
size_t config_key_index(const struct config_key *key);

/* Whether value_number() gives the value of this key as a number that can be compared. */
bool config_key_is_number(const struct config_key *key);
/* Whether a repository needs trust to set the key, or to raise it. */
bool config_key_is_judged(const struct config_key *key);

/* "integer", "duration", … for JSON and docs. */
const char *config_type_name(enum config_type type);

#endif
