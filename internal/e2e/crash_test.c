/* The crash matrix: every step of making and removing a lease, times every way to fail there.
 *
 * The cases are generated from the table of steps: a new step is covered without a new test. They
 * run with links of our own, then with a chain of real CNI plugins. Each case runs a whole acquire
 * (or release) through the stand-in VMM in a child process in which one fault is armed. Then comes
 * the rescue: nobody (only the lease's keeper is there), or, with the keeper killed as well, one
 * `cleanup`, or a `warmup` that wants the same slug. Nothing may be left on the host.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "e2e/e2e.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/proc.h"

enum operation { ACQUIRE, RELEASE };

enum fault {
    APPLY_FAILS,
    KILLED_BEFORE_APPLY,
    KILLED_AFTER_APPLY,
    KILLED_BEFORE_DONE,
    UNDO_FAILS,
    JOURNAL_ENOSPC,
    JOURNAL_FSYNC,
    KILLED_BEFORE_UNDO,
    KILLED_AFTER_UNDO,
    FAULTS,
};

static const struct {
    const char *name;
    bool acquire, release; /* where it makes sense */
    bool kills;
} faults[FAULTS] = {
    [APPLY_FAILS] = {"apply fails", true, false, false},
    [KILLED_BEFORE_APPLY] = {"killed before apply", true, false, true},
    [KILLED_AFTER_APPLY] = {"killed after apply", true, false, true},
    [KILLED_BEFORE_DONE] = {"killed before the done mark", true, false, true},
    [UNDO_FAILS] = {"undo fails", true, true, false},
    [JOURNAL_ENOSPC] = {"ENOSPC in the journal", true, false, false},
    [JOURNAL_FSYNC] = {"fsync error", true, false, false},
    [KILLED_BEFORE_UNDO] = {"killed before undo", true, true, true},
    [KILLED_AFTER_UNDO] = {"killed after undo", true, true, true},
};

enum rescue { NOBODY_COMES, STOP, CLEANUP, SAME_SLUG, RESCUES };

static const struct {
    const char *name;
    bool keeper_dies;
} rescues[RESCUES] = {
    [NOBODY_COMES] = {"nobody comes", false},
    [STOP] = {"stop", false},
    [CLEANUP] = {"keeper killed too, cleanup", true},
    [SAME_SLUG] = {"keeper killed too, warmup of that slug", true},
};

struct crash_case {
    enum operation op;
    enum fault fault;
    size_t step;
    enum rescue rescue;
    char name[160];
};

static const struct provider *const providers[] = {&provider_local, NULL};

static const char *plugins; /* where they are, for leases on a chain; NULL: our own links */

/* ---- the fault, armed in the child only ---- */
static const struct crash_case *armed;

static int act(struct error *err, const char *what, int code)
{
    if (faults[armed->fault].kills)
        (void)kill(getpid(), SIGKILL);
    return error_set(err, ERR_IO, code, "injected: %s", what);
}

static bool is_last_step(const char *step)
{
    return str_eq(step, provider_local.steps[provider_local.kind.n_steps - 1].name);
}

/* What must happen at this point of this step for the armed fault. */
static int plan_hook(enum plan_point point, const char *step, struct error *err)
{
    static const enum plan_point at[FAULTS] = {
        [APPLY_FAILS] = POINT_BEFORE_APPLY,       [KILLED_BEFORE_APPLY] = POINT_BEFORE_APPLY,
        [KILLED_AFTER_APPLY] = POINT_AFTER_APPLY, [KILLED_BEFORE_DONE] = POINT_BEFORE_DONE,
        [UNDO_FAILS] = POINT_BEFORE_UNDO,         [KILLED_BEFORE_UNDO] = POINT_BEFORE_UNDO,
        [KILLED_AFTER_UNDO] = POINT_AFTER_UNDO,
    };
    bool undo_fault = armed->fault == UNDO_FAILS || armed->fault == KILLED_BEFORE_UNDO ||
                      armed->fault == KILLED_AFTER_UNDO;
    /* To see an undo within an acquire, its last step has to fail first. */
    if (armed->op == ACQUIRE && undo_fault && point == POINT_AFTER_APPLY && is_last_step(step))
        return error_set(err, ERR_IO, 0, "injected: the last step fails");
    if (armed->fault == JOURNAL_ENOSPC || armed->fault == JOURNAL_FSYNC)
        return 0;
    if (point != at[armed->fault] || !str_eq(step, provider_local.steps[armed->step].name))
        return 0;
    return act(err, faults[armed->fault].name, 0);
}

/* The journal's faults strike when the step's mark is to be written. */
static int save_hook(const struct lease *l, bool durable, struct error *err)
{
    bool at_step = durable && l->marks[armed->step] == MARK_STARTED &&
                   (armed->step + 1 == provider_local.kind.n_steps ||
                    l->marks[armed->step + 1] == MARK_NONE);
    if (!at_step || l->state != LEASE_CREATING)
        return 0;
    if (armed->fault == JOURNAL_ENOSPC)
        return act(err, "journal", ENOSPC);
    if (armed->fault == JOURNAL_FSYNC)
        return act(err, "journal", EIO);
    return 0;
}

/* ---- the child ---- */
static void enter_bed_environment(void)
{
    (void)clearenv();
    for (char **e = bed.env; *e; e++)
        (void)putenv(*e);
    if (chdir(bed.work) < 0)
        _exit(99);
}

static int open_ops(struct config *cfg, struct ops *o)
{
    struct error err = ERROR_INIT;
    struct config_args args = {.cwd = bed.work, .envp = (const char *const *)environ};
    if (config_load(&args, cfg, &err) < 0 ||
        ops_open(o, providers, cfg, NULL, true, -1, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    o->self_exe = bed.program;
    return 0;
}

/* Exit codes: 0 the operation succeeded, 1 it failed as a whole, 99 the test itself is broken. */
static void child_main(const struct crash_case *c)
{
    struct config cfg;
    struct ops o;
    struct error err = ERROR_INIT;
    enter_bed_environment();
    if (open_ops(&cfg, &o) < 0)
        _exit(99);
    armed = c;
    plan_test_hook = plan_hook;
    store_test_hook = save_hook;
    int r;
    if (c->op == ACQUIRE) {
        struct ops_acquire req = {.slug = "crash"};
        struct lease l;
        r = ops_acquire(&o, &req, &l, NULL, NULL, &err);
    } else {
        struct ops_released released;
        r = ops_release(&o, "crash", &released, &err);
    }
    /* What was injected is what came out: another failure would hide a weakness of this test. */
    if (r < 0 && !strstr(err.msg, "injected")) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(99);
    }
    _exit(r < 0 ? 1 : 0);
}

static int run_child(const struct crash_case *c)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_main(c);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- around it ---- */
static void rescue(const struct crash_case *c)
{
    switch (c->rescue) {
    case NOBODY_COMES:
        e2e_wait_until_none();
        break;
    case STOP:
        E2E_OK("stop", "--missing-ok", "crash"); /* its keeper may have been there first */
        break;
    case CLEANUP:
        E2E_OK("cleanup");
        break;
    default:
        e2e_warmup("crash");
        e2e_stop("crash");
        break;
    }
}

static void kill_keeper(void)
{
    struct lease_entry *all = NULL;
    size_t n = e2e_leases(&all);
    for (size_t i = 0; i < n; i++) {
        int fd = all[i].broken ? -1 : proc_open(&all[i].lease.keeper, NULL);
        struct deadline d = deadline_in_ms(60000);
        if (fd < 0)
            continue;
        assert_int_equal(pidfd_signal(fd, SIGKILL, NULL), 0);
        assert_int_equal(pidfd_wait(fd, &d, NULL), 0);
        (void)close(fd);
    }
    free(all);
}

static void check_child(const struct crash_case *c, int status)
{
    if (faults[c->fault].kills) {
        /* An undo that is no function, or a point that is never reached, would pass unseen. */
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        return;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

/* An undo that failed is on record as broken, with what is left and what to do. */
static void check_broken(void)
{
    struct lease_entry *all = NULL;
    size_t n = e2e_leases(&all);
    assert_int_equal(n, 1);
    assert_int_equal(ops_view(&all[0]), VIEW_BROKEN);
    bed_assert_has(all[0].lease.failure, "injected: undo fails");
    free(all);
}

static void run_case(void **state)
{
    const struct crash_case *c = *state;
    if (plugins)
        bed_use_cni(&bed, plugins, BED_CNI_PTP);
    if (c->op == RELEASE)
        e2e_warmup("crash");
    if (c->op == RELEASE && rescues[c->rescue].keeper_dies)
        kill_keeper();
    check_child(c, run_child(c));
    if (rescues[c->rescue].keeper_dies)
        kill_keeper();
    if (c->fault == UNDO_FAILS)
        check_broken();
    rescue(c);
    struct lease_entry *all = NULL;
    size_t n = e2e_leases(&all);
    free(all);
    assert_int_equal(n, 0);
    bed_assert_clean(&bed);
    if (plugins)
        bed_assert_cni_clean(&bed);
}

/* ---- the matrix ---- */
/* Steps without an undo have nothing that could fail there: the engine's points still exist. */
static bool applies(enum operation op, enum fault f)
{
    return op == ACQUIRE ? faults[f].acquire : faults[f].release;
}

/* A lease that could not be undone waits for a person; one whose maker lives, for nobody. */
static bool helps(enum fault f, enum rescue r)
{
    if (f == UNDO_FAILS)
        return r == STOP || r == CLEANUP;
    return r == NOBODY_COMES || (faults[f].kills && r != STOP);
}

static size_t make_cases(struct crash_case *out)
{
    size_t n = 0;
    for (int op = ACQUIRE; op <= RELEASE; op++)
        for (int f = 0; f < FAULTS; f++)
            for (size_t step = 0; step < provider_local.kind.n_steps && applies(op, f); step++)
                for (int r = 0; r < RESCUES; r++)
                    if (helps(f, r))
                        out[n++] = (struct crash_case){op, f, step, r, ""};
    for (size_t i = 0; i < n; i++)
        (void)str_format(out[i].name, sizeof out[i].name, "%s: step %s: %s: %s",
                         out[i].op == ACQUIRE ? "acquire" : "release",
                         provider_local.steps[out[i].step].name, faults[out[i].fault].name,
                         rescues[out[i].rescue].name);
    return n;
}

static int setup_cni(void **state)
{
    plugins = bed_cni_dir();
    if (!plugins)
        return -1;
    (void)e2e_open(state);
    bed_ready_for_cni(&bed);
    return 0;
}

int main(void)
{
    static struct crash_case cases[2 * FAULTS * PLAN_STEPS_MAX * RESCUES];
    static struct CMUnitTest tests[ARRAY_LEN(cases)];
    size_t n = make_cases(cases);
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = run_case,
                                       .teardown_func = e2e_after_each,
                                       .initial_state = &cases[i]};
    if (!bed_supported())
        return bed_skip_group(n);
    int failed = e2e_end(_cmocka_run_group_tests("crash matrix", tests, n, e2e_open, e2e_close));
    return failed +
           e2e_end(_cmocka_run_group_tests("crash matrix, CNI", tests, n, setup_cni, e2e_close));
}
