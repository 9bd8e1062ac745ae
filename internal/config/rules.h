/* rules.h: rules for the text of a value, in addition to its type (enum config_rule). */
#ifndef CRABBOX_CONFIG_RULES_H
#define CRABBOX_CONFIG_RULES_H

#include "config/config.h"

/* Checks one value, or item number `index` of a list. NULL if it is fine, else the end of a
 * sentence such as "not an IP address". */
const char *rule_check(enum config_rule rule, const char *text, unsigned index);

#endif
