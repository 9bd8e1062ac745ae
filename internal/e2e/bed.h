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
 * A test that drives the program through it begins with e2e.h, which has the frame around this.
 *
 * These helpers are for tests: a failure of the bed fails the test at once. A machine that can't do
 * it (no root, no namespaces) makes bed_run_group() report every test as skipped; under CI=true
 * that is a failure.
 */
#ifndef CRABBOX_E2E_BED_H
#define CRABBOX_E2E_BED_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "sys/caller.h"
#include "sys/spawn.h"
#include "testutil/residue.h"

/* Between an error and its advice on stderr. */
#define BED_NEXT "\ncrabbox-fc: next: "

#define BED_HOST     "198.51.100.1" /* this side of the link to the outside */
#define BED_OUTSIDE  "198.51.100.2"
#define BED_METADATA "169.254.169.254"
#define BED_NAME     "outside.test" /* resolves to BED_OUTSIDE, as every name does */
#define BED_ENV_MAX  64

struct bed {
    char dir[64];           /* everything below is in here */
    char build[PATH_MAX];   /* where the programs under test are */
    char program[PATH_MAX]; /* crabbox-fc */
    char state[PATH_MAX];   /* CRABBOX_FC_STATE_DIR */
    char image[PATH_MAX];   /* CRABBOX_FC_IMAGE_DIR */
    char cgroup[64];        /* CRABBOX_FC_CGROUP */
    char work[PATH_MAX];    /* an empty directory to run in */
    char home[PATH_MAX];
    char *env[BED_ENV_MAX]; /* NULL-terminated */
    pid_t outside;          /* the process that is the world */
    struct residue before;  /* what was there when the bed was made */
    int64_t run_timeout_ms; /* of one bed_run; default 60 s */
    struct caller user;     /* who runs what is started in the bed; uid 0: root */
    int64_t settle_ms;      /* how long bed_residue() lets things end; default 3 s */
};

/* cmocka_run_group_tests() where a bed can be made; the program's exit code. */
#define bed_run_group(tests, setup, teardown)                                                      \
    (bed_supported() ? cmocka_run_group_tests((tests), (setup), (teardown))                        \
                     : bed_skip_group(sizeof(tests) / sizeof((tests)[0])))
bool bed_supported(void);
int bed_skip_group(size_t n_tests);

void bed_open(struct bed *b);
void bed_close(struct bed *b);

/* From now on everything in the bed is started by a user who is not root and has no capability, and
 * the program makes its leases without root. Once, after bed_open(). */
void bed_be_user(struct bed *b);
#define BED_SUBIDS 100000u /* the first of that user's subordinate ids */

/* Takes what is there now for the baseline: for what a test's own preparations leave on purpose. */
void bed_rebase(struct bed *b);

/* Only the namespaces and the outside, for tests of one module. Returns the outside's pid, which
 * bed_leave_net() ends. */
pid_t bed_enter_net(void);
void bed_leave_net(pid_t outside);

/* ---- bed_cni.c: leases on a chain of the host's own CNI plugins ---- */

/* Lists for the network "box", DATA_DIR being where address plugins keep their files. */
#define BED_CNI_SUBNET "10.88.0.0/24"
#define BED_CNI_IPAM                                                                               \
    "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"DATA_DIR\","                                  \
    "\"ranges\":[[{\"subnet\":\"" BED_CNI_SUBNET "\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}"
#define BED_CNI_LIST(plugins)                                                                      \
    "{\"cniVersion\":\"1.0.0\",\"name\":\"box\",\"plugins\":[" plugins "]}"
#define BED_CNI_BRIDGE                                                                             \
    BED_CNI_LIST("{\"type\":\"bridge\",\"bridge\":\"boxbr\",\"isGateway\":true,\"ipMasq\":"        \
                 "true," BED_CNI_IPAM "}")
#define BED_CNI_PTP BED_CNI_LIST("{\"type\":\"ptp\",\"ipMasq\":true," BED_CNI_IPAM "}")

/* Where the plugins are; NULL where they are not installed (fails the test under CI=true). */
const char *bed_cni_dir(void);
/* Leases are connected through this list from now on, until bed_clear_faults(). */
void bed_use_cni(struct bed *b, const char *bin_dir, const char *list);
/* Lets iptables make its tables now, as it keeps them, and takes that for the baseline. */
void bed_ready_for_cni(struct bed *b);
/* What chains have not given back, a line each; returns their number. */
size_t bed_cni_left(struct bed *b, struct strbuf *lines);
/* Fails the test unless chains have given everything back: addresses, and iptables chains of
 * plugins. */
#define bed_assert_cni_clean(b) bed_check_cni_clean((b), __FILE__, __LINE__)
void bed_check_cni_clean(struct bed *b, const char *file, int line);

/* Sets a variable for the program under test; NULL takes it away. */
void bed_setenv(struct bed *b, const char *name, const char *value);

/* Takes every CRABBOX_STANDIN_* away and sets the rest of the environment as bed_open() made it. */
void bed_clear_faults(struct bed *b);

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

/* Starts crabbox-fc and returns; stdout goes to `stdout_fd` (-1: /dev/null), stderr to the test's.
 */
struct child bed_start(struct bed *b, int stdout_fd, const char *const *args);
#define BED_START(b, fd, ...) bed_start((b), (fd), (const char *const[]){__VA_ARGS__, NULL})

/* What is there beyond bed_open(), after letting what is ending end (settle_ms).
 * Appends the lines and returns their number. */
size_t bed_residue(struct bed *b, struct strbuf *lines);

/* Fails the test, with what the program said, unless it ended with this exit code. */
#define bed_assert_code(r, want) bed_check_code(&(r), (want), __FILE__, __LINE__)
void bed_check_code(const struct bed_result *r, int want, const char *file, int line);
/* Fails the test unless the text is in it. */
#define bed_assert_has(text, part) bed_check_has((text), (part), __FILE__, __LINE__)
void bed_check_has(const char *text, const char *part, const char *file, int line);
/* Fails the test with the list if anything is left. */
#define bed_assert_clean(b) bed_check_clean((b), __FILE__, __LINE__)
void bed_check_clean(struct bed *b, const char *file, int line);

/* For the teardown of every test: takes faults away and fails if anything is left, but removes it
 * first, so that one failure does not become many. */
void bed_after_each(struct bed *b);

/* Waits until the file (below b->dir) exists, at most `ms`: by inotify, not by looking again. */
bool bed_wait_file(const struct bed *b, const char *path, int64_t ms);

#endif
