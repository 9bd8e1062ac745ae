/* residue.h: what is left on a host, found by looking at the host and never at our records.
 *
 * residue_take() lists processes, network namespaces, links, nft tables, mounts, control groups and
 * files as text lines; residue_diff() gives the lines that are in `after` only. Lines are stable: a
 * thing that did not change has the same line in both.
 *
 * Which processes count: those that a scope's state directory can be read from (command line,
 * environment, working directory, open files); with `ancestor`, all its descendants (the caller is
 * then a child subreaper, so that nobody escapes); without, all in another network namespace than
 * the caller's.
 *
 * Ownership: residue_free() (or _cleanup_residue_). Processes that end while being looked at are
 * left out; no other failure is silent (ERR_IO).
 */
#ifndef CRABBOX_TESTUTIL_RESIDUE_H
#define CRABBOX_TESTUTIL_RESIDUE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

struct residue_scope {
    const char *state_dir;   /* its leases and slugs count as files; NULL: none */
    const char *cgroup;      /* a group whose every sub-group counts; NULL: none */
    const char *const *dirs; /* directories whose every entry counts; NULL-terminated, or NULL */
    pid_t ancestor;          /* 0: none */
};

struct residue {
    char **lines; /* sorted */
    size_t n;
};

int residue_take(const struct residue_scope *scope, struct residue *out, struct error *err);

/* Appends the lines that only `after` has, one each, and returns their number. */
size_t residue_diff(const struct residue *before, const struct residue *after, struct strbuf *out);

/* One text, a line each: to keep a baseline in a file. */
void residue_print(const struct residue *r, struct strbuf *out);
void residue_parse(const char *text, struct residue *out);

void residue_free(struct residue *r);
#define _cleanup_residue_ _cleanup_(residue_free)

#endif
