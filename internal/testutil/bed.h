/* bed.h: a host of its own for tests that drive the whole program.
 *
 * bed_open() puts the test process into network and mount namespaces of its own, with lo up,
 * forwarding on, and a veth pair to an "outside" namespace where a tiny world answers: DNS and TCP
 * at BED_OUTSIDE, and TCP at the metadata address, so that a test of its blocking can't pass
 * because nothing is there. It makes a directory with state, home and an image that image_load()
 * accepts, and an environment in which crabbox-fc finds all of it and the stand-in as its
 * Firecracker. Nothing touches the machine's own network.
 *
 *     struct bed bed;
 *     bed_open(&bed);                                   // once a test program
 *     struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "a");
 *     assert_int_equal(r.st.code, 0);
 *     bed_result_free(&r);
 *     assert_int_equal(bed_residue(&bed, &text), 0);
 *     bed_close(&bed);
 *
 * These helpers are for tests: where the machine can't do it, bed_open() skips the test, or fails
 * it under CI=true; any other failure fails the test at once.
 */
#ifndef CRABBOX_TESTUTIL_BED_H
#define CRABBOX_TESTUTIL_BED_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "sys/spawn.h"
#include "testutil/residue.h"

#define BED_HOST     "198.51.100.1" /* this side of the link to the outside */
#define BED_OUTSIDE  "198.51.100.2"
#define BED_METADATA "169.254.169.254"
#define BED_NAME     "outside.test" /* resolves to BED_OUTSIDE, as every name does */
#define BED_ENV_MAX  64

struct bed {
    char dir[64];           /* everything below is in here */
    char build[PATH_MAX];   /* where the programs under test are */
    char state[PATH_MAX];   /* CRABBOX_FC_STATE_DIR */
    char image[PATH_MAX];   /* CRABBOX_FC_IMAGE_DIR */
    char work[PATH_MAX];    /* an empty directory to run in */
    char *env[BED_ENV_MAX]; /* NULL-terminated */
    pid_t outside;          /* the process that is the world */
    struct residue before;  /* what was there when the bed was made */
    int64_t run_timeout_ms; /* of one bed_run; default 60 s */
};

void bed_open(struct bed *b);
void bed_close(struct bed *b);

/* Only the namespaces and the outside, for tests of one module. Returns the outside's pid, which
 * bed_leave_net() ends. */
pid_t bed_enter_net(void);
void bed_leave_net(pid_t outside);

/* Sets a variable for the program under test; NULL takes it away. */
void bed_setenv(struct bed *b, const char *name, const char *value);

struct bed_result {
    struct exit_status st;
    struct strbuf out, err; /* at most 4 MiB of each */
    int64_t took_ms;
};
void bed_result_free(struct bed_result *r);
#define _cleanup_bed_result_ _cleanup_(bed_result_free)

/* Runs crabbox-fc with these arguments in b->work, to its end. */
struct bed_result bed_run(struct bed *b, const char *const *args);
#define BED_RUN(b, ...) bed_run((b), (const char *const[]){__VA_ARGS__, NULL})

/* Runs any program in the bed (argv[0] looked up in PATH). */
struct bed_result bed_exec(struct bed *b, const char *const *argv);
#define BED_EXEC(b, ...) bed_exec((b), (const char *const[]){__VA_ARGS__, NULL})

/* Starts crabbox-fc and returns; stdout goes to `stdout_fd` (-1: /dev/null). */
struct child bed_start(struct bed *b, int stdout_fd, const char *const *args);
#define BED_START(b, fd, ...) bed_start((b), (fd), (const char *const[]){__VA_ARGS__, NULL})

/* What is there beyond bed_open(), after letting processes that are ending end (at most 3 s).
 * Appends the lines and returns their number. */
size_t bed_residue(struct bed *b, struct strbuf *lines);

/* Waits until the file (below b->dir) exists, at most `ms`: by inotify, not by looking again. */
bool bed_wait_file(const struct bed *b, const char *path, int64_t ms);

#endif
