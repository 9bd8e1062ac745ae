/* junit.h: sums up test reports in JUnit's XML format.
 *
 * junit_parse adds one report to the totals; a report that can't be read changes nothing. The text
 * comes from the guest. So document types (and with them entities) are refused, and depth, size and
 * the length of a tag are limited. This module is the only user of expat. Errors: ERR_SSH, and
 * ERR_CANCELLED.
 */
#ifndef CRABBOX_JUNIT_JUNIT_H
#define CRABBOX_JUNIT_JUNIT_H

#include <stddef.h>

#include "base/error.h"

#define JUNIT_MAX_BYTES (16 * 1024 * 1024) /* of one report */
#define JUNIT_NAMES_MAX 10

struct junit {
    size_t n_reports;
    size_t tests, failures, errors, skipped; /* a test counts once, with its worst result */
    size_t n_names;                          /* the first few failed tests, printable */
    char names[JUNIT_NAMES_MAX][160];        /* "class.name" */
};

/* `what` names the report in messages. A document without any test case is an error, because an
 * empty report is not a success. `cancel_fd` (may be -1) turns readable when the user interrupts.
 */
int junit_parse(const char *text, size_t len, const char *what, int cancel_fd, struct junit *sum,
                struct error *err);

/* The same by a process without rights (sys/fenced.h), which reads any number of reports. It is
 * started for the first, and again for the next one if it fails. ERR_ENV, too. */
struct junit_reader;
struct junit_reader *junit_reader_new(void);
void junit_reader_free(struct junit_reader *r); /* NULL is fine */
int junit_read(struct junit_reader *r, char *text, size_t len, const char *what, int cancel_fd,
               struct junit *sum, struct error *err);

#endif
