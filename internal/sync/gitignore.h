/* gitignore.h: the files that git would ignore, exactly by git's own rules.
 *
 * A struct gitignore holds the patterns of one file. gitignore_parse fills it. The caller sets
 * `base` and `above`. `base` is the number of bytes at the start of each path that lead to the
 * directory of the patterns (with its slash). `above` (borrowed) is the file that decides if no
 * pattern here matches. Call gitignore_free at the end.
 *
 * ignore.h has similar rules, but its `!` reaches further. This module exists because no one
 * expects a file to be sent that git ignores, even if only by a detail of its syntax.
 */
#ifndef CRABBOX_SYNC_GITIGNORE_H
#define CRABBOX_SYNC_GITIGNORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/effort.h"

struct gitignore_token;
struct gitignore_set;

/* Its parts are in the arrays of its file, because a file may have a million patterns. */
struct gitignore_pattern {
    uint32_t text;     /* where its text begins, without "!" and a last slash */
    uint32_t tokens;   /* the first token */
    uint32_t sets;     /* the first set */
    uint16_t len;      /* of the text */
    uint16_t literal;  /* bytes at its start without a wildcard */
    uint16_t n_tokens; /* for what comes after those */
    bool negated : 1, dir_only : 1, base_name : 1, suffix : 1;
};

struct gitignore {
    struct gitignore_pattern *patterns; /* owned */
    size_t n, alloc;
    char *text; /* owned; of all patterns, each with its NUL */
    size_t text_len;
    struct gitignore_token *tokens; /* owned */
    size_t n_tokens, tokens_alloc;
    struct gitignore_set *sets; /* owned */
    size_t n_sets, sets_alloc;
    size_t bytes; /* of text that it was made from */
    size_t base;
    const struct gitignore *above;
};

/* Adds the patterns of a file. -1 where a line is longer than GITIGNORE_LINE_MAX, or all of it than
 * GITIGNORE_MAX. */
#define GITIGNORE_LINE_MAX 4096
#define GITIGNORE_MAX      (1024 * 1024 * 1024)
int gitignore_parse(struct gitignore *g, const char *text, size_t len, struct effort *e);
void gitignore_free(struct gitignore *g);

/* Whether the patterns of `g` and those above leave `path` out, which begins with each `base` and
 * has no directory on its way that is left out itself. False once `e` has ended. */
bool gitignore_match(const struct gitignore *g, const char *path, bool is_dir, struct effort *e);

#endif
