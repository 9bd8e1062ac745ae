/* scratch.h: a directory of the test's own, and what tests of files do in it.
 *
 * scratch_open and scratch_close are the setup and teardown of a group or of a test. Between them
 * scratch_dir is the path and scratch_fd the descriptor of an empty directory (in $TMPDIR), which
 * goes away with all that is in it.
 *
 *     must(image_write_seed(scratch_fd, "seed.img", &spec, &err), &err);
 *     assert_int_equal(run_program((const char *const[]){"/sbin/blkid", path, NULL}, &out), 0);
 *
 * All of it fails the running test by cmocka.
 */
#ifndef CRABBOX_TESTUTIL_SCRATCH_H
#define CRABBOX_TESTUTIL_SCRATCH_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

extern char scratch_dir[PATH_MAX];
extern int scratch_fd;

int scratch_open(void **state);
int scratch_close(void **state);

/* The text with the scratch directory in the place of every %; the caller frees it. */
char *scratch_in(const char *text);

/* This directory counts as that of --dir (worktree.h), until the next call; NULL: none does. */
void set_dir(const char *path);

/* A link, of which link_was_read tells whether anybody has asked since where it leads. It sees
 * nothing on a filesystem without times of access. */
void make_link(const char *target, const char *path);
bool link_was_read(const char *path);

/* What a function returned is not an error. */
void must(int r, const struct error *err);

/* Runs a program to its end, at most a minute; its output is appended to `out` (may be NULL), up to
 * 64 KiB. Its exit code, 128 + number of the signal, or -1 where it can't be run. */
int run_program(const char *const *argv, struct strbuf *out);

#endif
