/* collect.h: brings back results of a run: named files, artifacts by pattern, test reports.
 *
 *   collect_check before anything is made → collect_results when the command has ended and the
 *   lease is still there → collect_close
 *
 * collect_check finds the places on the host and holds them open (place.h). Paths and patterns of
 * the guest are relative to the work directory, or to the home directory if they begin with "~/".
 */
#ifndef CRABBOX_RUN_COLLECT_H
#define CRABBOX_RUN_COLLECT_H

#include <limits.h>

#include "junit/junit.h"
#include "ops/session.h"
#include "run/guestrun.h"

struct ops_collect {
    const char *const *downloads;  /* "REMOTE=LOCAL"; each array ends with NULL, or is NULL */
    const char *const *artifacts;  /* patterns */
    const char *const *required;   /* patterns of artifacts that a good run has to leave */
    const char *const *reports;    /* patterns */
    bool strict_reports;           /* none that matches, or one that can't be read, is an error */
    bool auto_reports;             /* and those that the run wrote under the usual names, if any */
    const char *artifact_dir;      /* NULL: artifacts/<run id> below the current directory */
    bool fail_on_test_failures;    /* then a run with failed tests is not a good one */
    struct collect_places *places; /* owned, by collect_check; NULL before it */
};

struct ops_collected {
    size_t n_files; /* downloads and artifacts */
    int64_t bytes;
    int64_t us;
    char artifact_dir[PATH_MAX]; /* "" unless artifacts came */
    struct junit junit;
    bool tests_failed; /* and fail_on_test_failures */
};

bool collect_wanted(const struct ops_collect *c);
int collect_check(struct ops_collect *c, struct error *err);
/* `good`: the command succeeded, so what is required has to be there (ERR_NOT_FOUND).
 * ERR_TIMEOUT: nothing came for the session's stall time. */
int collect_results(struct session *s, const char *work_dir, const struct guest_run *run, bool good,
                    const struct ops_collect *c, struct ops_collected *out, struct error *err);
void collect_close(struct ops_collect *c);

/* For tests: adds up the reports of these names (each with a NUL) below dirfd. Unless `strict`, one
 * that can't be read is only told. */
int collect_read_reports(int dirfd, const struct strbuf *names, bool strict, int cancel_fd,
                         struct junit *sum, struct error *err);

#endif
