/* bench.h: measuring crabbox-fc from outside, as `make bench` does.
 *
 * Each section is a function of (bench, error) that runs the built program, takes times on the
 * boottime clock and prints rows: figure, median, 95th percentile, number of samples, substrate.
 * Nothing here judges a figure: a section fails only when something could not be measured.
 *
 * scripts/bench.sh makes the namespaces, the directory and the environment, and runs
 * `bench --build DIR --work DIR [--quick] SECTION`, one process a section.
 */
#ifndef CRABBOX_BENCH_BENCH_H
#define CRABBOX_BENCH_BENCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

#define BENCH_STANDIN "stand-in"
#define BENCH_HOST    "this host"

struct bench {
    const char *build; /* absolute: where crabbox-fc and the stand-in are */
    const char *work;  /* absolute: a directory that the caller removes */
    const char *arg;   /* of the section, or NULL */
    bool quick;
    char program[PATH_MAX];
    char state[PATH_MAX];
};

/* ---- samples and rows ---- */
#define SAMPLES_MAX 2048
struct samples {
    double v[SAMPLES_MAX];
    size_t n;
};
void samples_add(struct samples *s, double v); /* beyond SAMPLES_MAX they are dropped */
/* By nearest rank; 0 when there are none. Sorts. */
double samples_at(struct samples *s, double percent);
double samples_median(struct samples *s);

void bench_row(const char *figure, struct samples *s, const char *unit, const char *substrate);
/* A single value in the column of medians. */
void bench_row_one(const char *figure, double v, const char *unit, const char *substrate);
/* What could not be measured, and why. */
void bench_row_skip(const char *figure, const char *why);

/* ---- programs ---- */
struct bench_result {
    double ms;       /* from before fork to its end */
    long maxrss_kib; /* ru_maxrss: at least what this process had when it forked */
    struct strbuf out, err;
};
void bench_result_free(struct bench_result *r);
#define _cleanup_bench_result_ _cleanup_(bench_result_free)

/* Runs a program to its end in the directory `cwd` (NULL: here/ in the work directory). A non-zero
 * exit is an error (with the last of stderr): a figure of something that failed is none. */
int bench_exec(const struct bench *b, const char *cwd, const char *const *argv,
               struct bench_result *r, struct error *err);
#define BENCH_EXEC(b, cwd, r, err, ...)                                                            \
    bench_exec((b), (cwd), (const char *const[]){__VA_ARGS__, NULL}, (r), (err))

/* The environment of leases through the stand-in: image, binary, a small machine. */
int bench_use_standin(struct bench *b, struct error *err);

/* ---- sections ---- */
int bench_start(struct bench *b, struct error *err);
int bench_list(struct bench *b, struct error *err);
int bench_leases(struct bench *b, struct error *err);
int bench_crowd(struct bench *b, struct error *err);
int bench_sync(struct bench *b, struct error *err);
int bench_network(struct bench *b, struct error *err);
int bench_sandbox(struct bench *b, struct error *err);
int bench_clone(struct bench *b, struct error *err); /* arg: DIRECTORY=LABEL */
int bench_emulated(struct bench *b, struct error *err);

#endif
