/* e2e.h: the frame of a test that drives the whole program, and the lines that such tests share.
 *
 * The test program has one bed (bed.h), named `bed`. It is made before the first test and taken
 * away after the last; a test leaves no fault, no lease and nothing else to the next. All of a new
 * file, ops/name_e2e_test.c:
 *
 *     #include "e2e/e2e.h"
 *
 *     static void test_a_guest_knows_its_name(void **state)
 *     {
 *         (void)state;
 *         e2e_warmup("a");
 *         _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("a", "--", "hostname");
 *         bed_assert_code(r, 0);
 *         bed_assert_has(r.out.buf, "crabbox-a");
 *         e2e_stop("a");
 *     }
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {
 *             E2E_TEST(test_a_guest_knows_its_name),
 *         };
 *         return E2E_MAIN(tests);
 *     }
 *
 * Whatever does not go as its name says fails the running test; so nothing here returns an error.
 */
#ifndef CRABBOX_E2E_E2E_H
#define CRABBOX_E2E_E2E_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "e2e/bed.h"

extern struct bed bed;

/* ---- the frame ---- */

/* A test, and behind it the look at what it left. */
#define E2E_TEST(f) cmocka_unit_test_teardown(f, e2e_after_each)
/* All tests in one bed; the program's exit code. bed.run_timeout_ms may be set before. */
#define E2E_MAIN(tests) E2E_GROUP(tests, e2e_open, e2e_close)

/* For a group that prepares more: its setup begins with e2e_open, its teardown ends with e2e_close,
 * which fails if anything is left. */
#define E2E_GROUP(tests, setup, teardown) e2e_end(bed_run_group(tests, setup, teardown))
/* With CRABBOX_BED_ROOTLESS in the environment, in a bed of a user who is not root (bed_be_user).
 */
int e2e_open(void **state);
int e2e_close(void **state);
int e2e_after_each(void **state);
/* The same two with a lease "box" that all tests of the group use. */
int e2e_open_box(void **state);
int e2e_close_box(void **state);
/* The setup of a group on CNI chains: e2e_open, then the script prepares the host, with the
 * directory of the host's plugins as "$0" and that of the bed as "$1". What it makes may stay. -1
 * if there are no plugins. */
int e2e_open_cni(void **state, const char *script);
/* Adds to the number of failures what cmocka does not: a teardown of the group that failed. */
int e2e_end(int failed);

/* ---- commands ---- */

/* crabbox-fc with these arguments has to end with this code; for what it prints there is BED_RUN().
 */
#define E2E_CODE(want, ...)                                                                        \
    e2e_check_run((want), (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
#define E2E_OK(...) E2E_CODE(0, __VA_ARGS__)
void e2e_check_run(int want, const char *const *args, const char *file, int line);

/* Any program, looked up in PATH, has to end with 0. */
#define E2E_EXEC_OK(...)                                                                           \
    e2e_check_exec((const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
void e2e_check_exec(const char *const *argv, const char *file, int line);

#define e2e_warmup(slug) E2E_OK("warmup", "-q", "--slug", slug)
#define e2e_stop(slug)   E2E_OK("stop", slug)
/* Also checks that nothing is left of it, on the host and at its chain. */
void e2e_stop_cni(const char *slug);
/* A line of shell in the guest. */
#define e2e_guest(slug, script) E2E_OK("ssh", slug, script)

/* "run" in a lease that is there, and what follows that. */
#define E2E_RUN_IN(slug, ...) BED_RUN(&bed, "run", "--id", slug, "--no-sync", "-q", __VA_ARGS__)

/* Lines of shell in the bed's work directory, "$0" being crabbox-fc; the first that fails ends
 * them and the test. */
#define e2e_shell(script) E2E_EXEC_OK("sh", "-ec", script, bed.program)

/* Makes a file in the bed's work directory. */
void e2e_write_file(const char *name, const void *text, size_t len);

/* ---- what a command said; the caller frees the value ---- */

/* All of its stdout. */
cJSON *e2e_json(const struct bed_result *r);
/* The line of --timing-json. */
cJSON *e2e_timing(const struct bed_result *r);
/* `status --json` of a lease that is ready. */
cJSON *e2e_status(const char *slug);

/* ---- leases ---- */

/* Whether status knows it. */
bool e2e_there(const char *slug);
pid_t e2e_vmm_pid(const char *slug);

struct lease_entry;
/* All entries of the state directory, through the module that reads it; the caller frees them. */
size_t e2e_leases(struct lease_entry **all);
/* Waits until no lease is left and nothing of one; runs nothing itself. */
void e2e_wait_until_none(void);

/* Starts a warmup and returns when the stand-in makes its mark: at the fault that was set before,
 * or when its guest starts. */
struct child e2e_warmup_stuck(const char *slug);

/* ---- programs that run meanwhile ---- */

void e2e_signal(const struct child *c, int sig);
/* Waits for its end, at most `ms`. */
struct exit_status e2e_wait(struct child *c, int64_t ms);
/* The same, of one that no signal may have killed: its exit code. */
int e2e_code(struct child *c, int64_t ms);

/* How many processes have this word as an argument: those of the guests are visible here. */
size_t e2e_processes(const char *word);
/* Waits until there are so many, at most 10 s. */
void e2e_wait_processes(const char *word, size_t n);

#endif
