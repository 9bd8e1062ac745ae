/* plan.c: how the steps of a lease are run, recorded and undone.
 *
 * A plan is a table of steps with one mark for each step: none, started or done. The marks are a
 * part of the lease's record on disk. The engine calls the functions of the steps, moves the marks
 * and saves the record. It knows nothing about disks, networks or VMMs.
 *
 * plan_run takes the steps in order. For each step it does this:
 * 1. prepare chooses the names of what the step will make, and touches nothing.
 * 2. The mark becomes "started", and the record is saved with fsync.
 * 3. apply makes the resource under that name.
 * 4. The mark becomes "done", and the record is saved without fsync.
 *
 * Because of 2., the disk has the name of a resource before the resource exists. So whenever the
 * process dies, the record covers everything that may be left. "started" means "may exist", so a
 * "done" that is lost does no harm.
 *
 * plan_run stops at the first error and undoes nothing itself. plan_undo does that: in the same
 * process after an error, or in another process much later, after a crash or for `stop`. It goes
 * backwards through the table, because later steps use the resources of earlier ones. It calls undo
 * for each step whose mark is not "none". undo knows only the record, and succeeds if the resource
 * is already gone. Then the mark becomes "none". If an undo fails, its mark stays, the other steps
 * are still undone, and the caller gets the first error. A later plan_undo tries again.
 *
 * plan_test_hook is called between these actions. Tests use it to let a step fail or a process die
 * at every point.
 */
#include "plan/plan.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"

int (*plan_test_hook)(enum plan_point point, const char *step, struct error *err);

static int hook(enum plan_point point, const struct plan_step *step, struct error *err)
{
    return plan_test_hook ? plan_test_hook(point, step->name, err) : 0;
}

static int run_step(const struct plan *p, size_t i, struct error *err)
{
    const struct plan_step *step = &p->steps[i];
    if (step->prepare && step->prepare(p->ctx, err) < 0)
        return -1;
    p->marks[i] = MARK_STARTED;
    if (p->journal(p->ctx, true, err) < 0)
        return -1;
    if (hook(POINT_BEFORE_APPLY, step, err) < 0 || step->apply(p->ctx, err) < 0 ||
        hook(POINT_AFTER_APPLY, step, err) < 0)
        return -1;
    p->marks[i] = MARK_DONE;
    if (hook(POINT_BEFORE_DONE, step, err) < 0)
        return -1;
    return p->journal(p->ctx, false, err);
}

int plan_run(const struct plan *p, struct error *err)
{
    for (size_t i = 0; i < p->n_steps; i++) {
        int64_t t0 = clock_boot_us();
        if (p->on_step)
            p->on_step(p->ctx, i);
        int r = run_step(p, i, err);
        if (p->took_us)
            p->took_us[i] = clock_boot_us() - t0;
        if (r < 0)
            return -1;
    }
    return 0;
}

static int undo_step(const struct plan *p, size_t i, struct error *err)
{
    const struct plan_step *step = &p->steps[i];
    if (hook(POINT_BEFORE_UNDO, step, err) < 0)
        return -1;
    if (step->undo && step->undo(p->ctx, err) < 0)
        return error_prefix(err, "undo %s", step->name);
    if (hook(POINT_AFTER_UNDO, step, err) < 0)
        return -1;
    p->marks[i] = MARK_NONE;
    return 0;
}

int plan_undo(const struct plan *p, struct error *err)
{
    struct error first = ERROR_INIT;
    for (size_t i = p->n_steps; i-- > 0;) {
        struct error e = ERROR_INIT;
        if (p->marks[i] == MARK_NONE)
            continue;
        if (undo_step(p, i, &e) < 0 && !error_is_set(&first))
            first = e;
    }
    /* One save at the end: a mark that is still there only makes undo look again. A journal that
     * can't be written (a full disk) must not stop the undoing of what holds the disk. */
    struct error e = ERROR_INIT;
    if (p->journal(p->ctx, false, &e) < 0 && !error_is_set(&first) && e.sys != ENOSPC)
        first = e;
    if (!error_is_set(&first))
        return 0;
    if (err)
        *err = first;
    return -1;
}

static const char *const mark_names[] = {"none", "started", "done"};

const char *plan_mark_name(enum plan_mark m)
{
    return mark_names[m];
}

int plan_mark_from_name(const char *name, enum plan_mark *out)
{
    for (size_t i = 0; i < ARRAY_LEN(mark_names); i++) {
        if (str_eq(name, mark_names[i])) {
            *out = (enum plan_mark)i;
            return 0;
        }
    }
    return -1;
}
