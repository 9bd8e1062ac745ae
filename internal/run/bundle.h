/* bundle.h: keeps files about a run that failed, to look into it later.
 *
 *   BUNDLE_INIT → ops_run fills it → bundle_write, if the run failed → bundle_free
 *
 * While the command runs, the end of its two streams is kept in memory. The end of the lease's logs
 * is added before the lease may be released. Nothing is written for a run that succeeds. The files
 * are in a directory of their own in the state directory (lease/store.h), which keeps only the
 * newest bundles. They contain no argument vector and no value of a variable (redact.h).
 */
#ifndef CRABBOX_RUN_BUNDLE_H
#define CRABBOX_RUN_BUNDLE_H

#include "base/json.h"
#include "lease/store.h"
#include "run/envset.h"

/* The end of a text. */
struct tail {
    struct strbuf text;
    bool cut; /* it is not all of it */
};
#define TAIL_INIT                                                                                  \
    {                                                                                              \
        STRBUF_INIT, false                                                                         \
    }

struct bundle {
    struct tail out, errout;  /* of the command */
    struct tail console, vmm; /* of its machine */
    bool begun;               /* the run had its lease */
};
#define BUNDLE_INIT                                                                                \
    {                                                                                              \
        TAIL_INIT, TAIL_INIT, TAIL_INIT, TAIL_INIT, false                                          \
    }

#define BUNDLE_STREAM_MAX (256 * 1024)
#define BUNDLE_LOG_MAX    (64 * 1024)

void bundle_free(struct bundle *b);

/* For struct ssh_io: a piece of the command's output; `ctx` is the bundle. */
void bundle_hear(void *ctx, bool is_stderr, const void *data, size_t len);
/* Takes the logs of the lease, as far as there are any. */
void bundle_take_logs(struct bundle *b, const struct lease_handle *h);

/* What a run comes to, as text. */
struct bundle_words {
    const char *reason, *results; /* NULL: there is none */
    const cJSON *json;
};
/* `path` gets the directory. Nothing is left of it on error: ERR_IO, also if the disk is nearly
 * full, or ERR_CANCELLED by `d`. */
int bundle_write(struct bundle *b, struct store *s, const struct lease *l, const char *run_id,
                 const struct env_set *env, const struct bundle_words *words,
                 const struct deadline *d, char path[static PATH_MAX], struct error *err);

#endif
