/* trust.h: which repository-local files may set keys that concern the host.
 *
 * The store is <user's configuration directory>/trust.json: it is a decision of the user's like the
 * configuration beside it, not state of a lease. An entry is the real path of a file and the
 * SHA-256 of the content that was trusted; one entry a path, so that trusting a new content forgets
 * the old. Any other content of the same file is not trusted. A store that is broken, somebody
 * else's or writable by others is an error where it is asked, never an empty one.
 *
 * The verb: trust_find (which file is meant) → trust_add, trust_list, trust_revoke. None of them
 * loads the configuration, so they work when config_load refuses.
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

/* ---- the store's text, apart from files: what the fuzzer works on ---- */
int trust_store_parse(const char *text, size_t len, const char *what, struct trust_store *out,
                      struct error *err);
char *trust_store_print(const struct trust_store *s); /* caller frees */
void trust_store_free(struct trust_store *s);

/* ---- for config_load ---- */
/* Whether this content of `path` is trusted. Reads the store. */
int trust_check(const char *const *envp, const char *path, const char *sha256, bool *trusted,
                struct error *err);

/* ---- for the verb ---- */
/* What was trusted, to be shown: `keys` has a line "key = value (line N)" for each key that needed
 * it, with the user's patterns that it replaces, or is empty. */
struct trust_report {
    char path[PATH_MAX];
    char sha256[SHA256_HEX_SIZE];
    struct strbuf keys;
};
#define TRUST_REPORT_INIT                                                                          \
    {                                                                                              \
        .keys = STRBUF_INIT                                                                        \
    }

/* The file that the verb means: `arg` (a file or its directory) or, when NULL, the one that
 * config_load would find from `cwd`. The real path goes to out. ERR_NOT_FOUND if there is none. */
int trust_find(const char *cwd, const char *arg, char out[static PATH_MAX], struct error *err);

/* Reads the file once, checks that it is a valid configuration, and records the hash of the bytes
 * that were read. With `expected` (64 hex digits), only that content is accepted: ERR_TRUST, and
 * the report has the file's own. */
int trust_add(const char *const *envp, const char *path, const char *expected,
              struct trust_report *out, struct error *err);

/* The report for people. */
void trust_report_text(const struct trust_report *r, struct strbuf *out);

/* Forgets a path; *removed tells whether it was there. The file itself need not exist. */
int trust_revoke(const char *const *envp, const char *path, bool *removed, struct error *err);

/* The store, with each file's present state: "trusted", "changed", "missing" or "unreadable". */
int trust_list(const char *const *envp, struct trust_store *out, struct error *err);
const char *trust_entry_state(const struct trust_entry *e);
void trust_list_text(const struct trust_store *s, struct strbuf *out);
cJSON *trust_list_json(const struct trust_store *s);

#endif
