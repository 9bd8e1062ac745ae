/* trust.h: which repository-local files may set keys that concern the host.
 *
 * The store is <user's configuration directory>/trust.json. It is a decision of the user, like the
 * configuration beside it, and not state of a lease. An entry has the real path of a file and the
 * SHA-256 of the content that was trusted. There is one entry for each path, so trusting new
 * content replaces the old entry. Any other content of the file is not trusted. If the store is
 * broken, belongs to somebody else or is writable by others, reading it is an error; it never
 * counts as empty.
 *
 * The verb calls trust_find (which file is meant), then trust_add or trust_revoke; or trust_list.
 * None of them loads the configuration, so they work when config_load refuses.
 */
#ifndef CRABBOX_CONFIG_TRUST_H
#define CRABBOX_CONFIG_TRUST_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "sys/hash.h"

struct trust_entry {
    char *path; /* absolute, real */
    char sha256[SHA256_HEX_SIZE];
    int64_t added; /* unix seconds */
};

struct trust_store {
    struct trust_entry *entries;
    size_t n;
};
#define TRUST_STORE_INIT                                                                           \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
#define TRUST_ENTRIES_MAX 4096
#define TRUST_FILE_MAX    (1 << 20)

/* ---- the text of the store, without files: this is what the fuzzer tests ---- */
int trust_store_parse(const char *text, size_t len, const char *what, struct trust_store *out,
                      struct error *err);
char *trust_store_print(const struct trust_store *s); /* caller frees */
void trust_store_free(struct trust_store *s);

/* ---- for config_load ---- */
/* Whether this content of `path` is trusted; if another content is, *other_at is since when (unix
 * seconds), and else -1. Reads the store. */
int trust_check(const char *const *envp, const char *path, const char *sha256, bool *trusted,
                int64_t *other_at, struct error *err);

/* ---- for the verb ---- */
/* What was trusted, to show it: `keys` has a line "key = value (line N)" for each key that needed
 * trust, with the user's patterns that it replaces. It may be empty. */
struct trust_report {
    char path[PATH_MAX];
    char sha256[SHA256_HEX_SIZE];
    struct strbuf keys;
};
#define TRUST_REPORT_INIT                                                                          \
    {                                                                                              \
        .keys = STRBUF_INIT                                                                        \
    }

/* The file that the user means: `arg` (a file or its directory) or, if that is NULL, the one that
 * config_load would find from `cwd`. `out` gets its real path. ERR_NOT_FOUND if there is none. */
int trust_find(const char *cwd, const char *arg, char out[static PATH_MAX], struct error *err);

/* Reads the file once, checks that it is a valid configuration, and records the hash of the bytes
 * that were read. With `expected` (64 hex digits), only content with that hash is accepted.
 * Otherwise ERR_TRUST, and the report has the hash of the file. */
int trust_add(const char *const *envp, const char *path, const char *expected,
              struct trust_report *out, struct error *err);

/* The report for people. */
void trust_report_text(const struct trust_report *r, struct strbuf *out);

/* Removes a path from the store; *removed is whether it was there. The file itself need not
 * exist. */
int trust_revoke(const char *const *envp, const char *path, bool *removed, struct error *err);

/* The store. The current state of an entry's file is "trusted", "changed", "missing" or
 * "unreadable". */
int trust_list(const char *const *envp, struct trust_store *out, struct error *err);
const char *trust_entry_state(const struct trust_entry *e);
void trust_list_text(const struct trust_store *s, struct strbuf *out);
cJSON *trust_list_json(const struct trust_store *s);

#endif
