/* words.h: the words that slugs are made of. */
#ifndef CRABBOX_LEASE_WORDS_H
#define CRABBOX_LEASE_WORDS_H

#include <stddef.h>

extern const char *const lease_adjectives[];
extern const size_t lease_adjectives_len;
extern const char *const lease_nouns[];
extern const size_t lease_nouns_len;

#endif
