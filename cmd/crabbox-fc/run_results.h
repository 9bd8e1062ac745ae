/* run_results.h: the options of run that say what comes back, and what is printed about it. */
#ifndef CRABBOX_CMD_RUN_RESULTS_H
#define CRABBOX_CMD_RUN_RESULTS_H

#include "cmd.h"
#include "run/collect.h"

/* Fills `c` with what borrows from the options and `reports` (to be freed by words_free), and
 * checks it. */
int results_request(const struct invocation *in, struct option_list *reports, struct ops_collect *c,
                    struct error *err);
void words_free(struct option_list *list);

/* Opens a file to capture a stream in; -1 and no error when `path` is NULL. */
int capture_open(const char *option, const char *path, int *fd, struct error *err);

void results_print(const struct ops_collected *r);
/* The sums of the test reports and the names of the tests that failed, a line each; "" without a
 * report. */
void results_text(const struct junit *t, struct strbuf *out);
void results_json(cJSON *j, const struct ops_collected *r);

#endif
