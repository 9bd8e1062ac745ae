/* plan.h: runs a table of steps so that it can always be undone.
 *
 * A step has a stable name, an optional `prepare` (choose names, touch nothing), an `apply` and an
 * `undo`. For each step: prepare, journal "started", apply, journal "done". Undo walks the table
 * backwards over every step whose mark is not "none", needs nothing but the saved record, and
 * treats what is absent as undone: a failed acquire, a stop and a cleanup after a crash are this
 * one path.
 *
 * The engine knows no resource: `ctx` belongs to the steps, and `journal` is told after each change
 * of a mark (durable asks for fsync; a "done" that is lost only makes undo look once more).
 */
#ifndef CRABBOX_PLAN_PLAN_H
#define CRABBOX_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PLAN_STEPS_MAX 16

enum plan_mark { MARK_NONE, MARK_STARTED, MARK_DONE };

struct plan_step {
    const char *name;
    int (*prepare)(void *ctx, struct error *err); /* may be NULL */
    int (*apply)(void *ctx, struct error *err);
    int (*undo)(void *ctx, struct error *err); /* may be NULL: nothing outlives the others */
};

struct plan {
    const struct plan_step *steps;
    size_t n_steps;
    enum plan_mark *marks; /* one a step, part of the saved record */
    int64_t *took_us;      /* one a step, may be NULL: how long prepare and apply took */
    int (*journal)(void *ctx, bool durable, struct error *err);
    void (*on_step)(void *ctx, size_t step); /* may be NULL: a step begins */
    void *ctx;
};

/* Where a fault can be injected by a test. */
enum plan_point {
    POINT_BEFORE_APPLY,
    POINT_AFTER_APPLY,
    POINT_BEFORE_DONE,
    POINT_BEFORE_UNDO,
    POINT_AFTER_UNDO,
};

/* Tests only (NULL in the product): called at each point; -1 with err set makes the step fail
 * there. */
extern int (*plan_test_hook)(enum plan_point point, const char *step, struct error *err);

/* Runs the steps in order; stops at the first error and leaves the marks for plan_undo. */
int plan_run(const struct plan *p, struct error *err);

/* Undoes everything marked, in reverse, past failures: all that can be undone is. Returns -1 with
 * the first failure; its step keeps its mark, so that a later attempt tries again. */
int plan_undo(const struct plan *p, struct error *err);

const char *plan_mark_name(enum plan_mark m);
int plan_mark_from_name(const char *name, enum plan_mark *out);

#endif
