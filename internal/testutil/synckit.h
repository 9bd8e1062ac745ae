/* synckit.h: a guest to sync into, for the tests of sync.
 *
 * synckit_setup and synckit_teardown are the group's (sandbox and dropbear; `dir` is a fresh
 * directory on the sandbox's tmpfs). The helpers fail the running test by cmocka.
 */
#ifndef CRABBOX_TESTUTIL_SYNCKIT_H
#define CRABBOX_TESTUTIL_SYNCKIT_H

#include <stdbool.h>

#include "base/str.h"
#include "ssh/ssh.h"
#include "sync/sync.h"

/* For scripts: makes the directory a repository in which git can commit. */
#define SYNCKIT_INIT                                                                               \
    "git init -q -b main .; git config user.name t; git config user.email t@example.invalid; "
/* For scripts: a Python function that writes an index of the paths given, all of them gitlinks. */
#define SYNCKIT_WRITE_INDEX                                                                        \
    "import struct, hashlib, sys\n"                                                                \
    "def index(path, links, tail=b''):\n"                                                          \
    "    out = bytearray(b'DIRC' + struct.pack('>II', 2, len(links)))\n"                           \
    "    for p in links:\n"                                                                        \
    "        e = bytes(24) + struct.pack('>I', 0o160000) + bytes(12) + b'1' * 20\n"                \
    "        e += struct.pack('>H', len(p)) + p\n"                                                 \
    "        out += e + bytes(8 - len(e) % 8)\n"                                                   \
    "    out += tail\n"                                                                            \
    "    open(path, 'wb').write(out + hashlib.sha1(out).digest())\n"

struct synckit {
    bool entered; /* false: not root; only what needs no guest can run */
    char dir[64];
};

/* The program's one. */
extern struct synckit kit;

int synckit_setup(void **state);
int synckit_teardown(void **state);

/* A connection to the guest; skips the test without one. */
struct ssh_conn *synckit_connect(const struct synckit *k);
/* A fresh directory below the kit's; the caller frees the path. */
char *synckit_new_dir(const struct synckit *k, const char *name);
/* Runs a script in `dir`; it must succeed. Its output is appended to `out` (may be NULL). */
void synckit_sh(const char *dir, const char *script, struct strbuf *out);
void synckit_scan(const char *dir, const char *exclude, struct sync_list *l);

/* sync_scan of a path. */
int synckit_try(const char *dir, const char *exclude, const struct sync_limits *limits,
                const struct deadline *d, struct sync_list *l, struct error *err);
/* A fresh directory in which a script has run; the caller frees the path. */
char *synckit_make(const struct synckit *k, const char *name, const char *script);
/* Appends what a scan lists, one path a line, at the end "-" and the first of what it left out, "~"
 * and the first that is named otherwise, "?" and the first submodule that is not initialised. */
void synckit_list(const char *dir, struct strbuf *out);
/* Appends what a scan warns of. */
void synckit_warnings(const char *dir, struct strbuf *out);
void synckit_assert_listed(const char *dir, const char *want);
/* A scan lists what `git ls-files` does, of which only what is there and no directory counts. */
void synckit_assert_as_git(const char *dir);
/* The scan fails with ERR_SYNC, and its message has `part` and says what to do. */
void synckit_assert_refused(const char *dir, const char *part);

static inline void cleanup_sync_list(struct sync_list *l)
{
    sync_list_free(l);
}

#endif
