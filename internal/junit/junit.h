/* junit.h: what a report of tests in JUnit's XML says.
 *
 * junit_parse adds one report to the totals; a report that can't be read changes nothing. The text
 * comes from the guest: no document type, so no entities; depth, size and the length of a tag are
 * capped. This module is the only user of expat. Errors: ERR_SSH, and ERR_CANCELLED.
 */
#ifndef CRABBOX_JUNIT_JUNIT_H
#define CRABBOX_JUNIT_JUNIT_H

#include <stddef.h>

#include "base/error.h"

#define JUNIT_MAX_BYTES (16 * 1024 * 1024) /* of one report */
#define JUNIT_NAMES_MAX 10

struct junit {
    size_t n_reports;
    size_t tests, failures, errors, skipped; /* a test counts once, as the worst it had */
    size_t n_names;                          /* of failed tests, the first few, printable */
    char names[JUNIT_NAMES_MAX][160];        /* "class.name" */
};

/* `what` names the report in messages. A document without any test case is an error: a report that
 * says nothing is not a success. `cancel_fd` (may be -1) turns readable when the user interrupts.
 */
int junit_parse(const char *text, size_t len, const char *what, int cancel_fd, struct junit *sum,
                struct error *err);

#endif
