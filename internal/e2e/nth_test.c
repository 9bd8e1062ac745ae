/* Faults by count: the Nth allocation, then the Nth system call that can fail, of a whole verb
 * fails. For N = 1, 2, 3 ... until the verb needs no Nth, each time:
 *
 *   - nothing crashes, and no sanitizer has anything to say
 *   - the verb succeeds all the same, or its message names what failed
 *   - every record that is left can be read, and a second stop removes its lease
 *   - then nothing is left on the host
 *
 * NTH_CASES (5) of the N are drawn for each verb and kind of fault, by SEED (1);
 * NTH_CASES=0 takes all, from NTH_FROM (1) on. A line "wrong: ..." begins with the variables that
 * repeat its case.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "e2e/chaos.h"
#include "e2e/e2e.h"
#include "e2e/nth.h"
#include "local/local.h"
#include "ops/ops.h"

struct verb {
    const char *name;
    void (*prepare)(void);
    const char *args[12];
    bool makes_lease;     /* so one that failed leaves none */
    bool leaves_lease;    /* so one that succeeded has left it, ready */
    bool reuses_lease;    /* it changes nothing: the next case takes the same */
    const char *every[3]; /* calls of which there are few, and none is left out */
};

static uint64_t seed, from, cases; /* cases 0: all, beginning with number `from` */
static unsigned wrong;

/* ---- what is there before ---- */
static void nothing(void)
{
}

static void a_lease(void)
{
    if (!e2e_there("n"))
        e2e_warmup("n");
}

static void a_dead_lease(void)
{
    struct store s;
    e2e_warmup("n");
    assert_int_equal(store_open(&s, bed.state, local_kinds, NULL), 0);
    assert_true(chaos_kill_vmm(&s, "n"));
    store_close(&s);
}

/* ---- what holds afterwards ---- */
static void complain(const struct verb *v, const struct nth *what, const struct nth_result *r,
                     const char *why)
{
    wrong++;
    print_error(
        "wrong: NTH_GROUP=\"%s: %s\" NTH_ONLY=%llu SEED=%llu: %s: %s\ncode %d signal %d\n%s%s\n",
        v->name, what->only ? what->only : nth_kind_name[what->kind], (unsigned long long)what->n,
        (unsigned long long)what->seed, r->failed, why, r->run.st.code, r->run.st.signal,
        r->run.err.buf, r->run.out.buf);
}

/* The libraries are not ours to repair. One that has no memory may crash or leak: that is as good
 * as kill -9, and the keeper has to clean up after it. */
static bool is_library_s(const struct nth_result *r)
{
    /* The loader says so and ends with 127. */
    if (strstr(r->failed, " in ld-") && strstr(r->run.err.buf, "cannot allocate memory for"))
        return true;
    return strstr(r->failed, " in lib") &&
           (r->run.st.signalled || strstr(r->run.err.buf, "SEGV on unknown address") ||
            strstr(r->run.err.buf, "LeakSanitizer"));
}

/* NULL, or what is wrong with how it ended. */
static const char *judge_end(const struct nth_result *r)
{
    if (is_library_s(r))
        return NULL;
    if (strstr(r->run.err.buf, "Sanitizer") || strstr(r->run.err.buf, "runtime error:"))
        return "a sanitizer complains";
    if (!r->run.st.exited)
        return "killed by a signal";
    if (r->run.st.code > 7)
        return "an exit code that no verb has";
    /* cleanup has a row for each lease. */
    bool says = strstr(r->run.err.buf, "crabbox-fc: ") ||
                str_has_prefix(r->run.out.buf, "failed ") ||
                str_has_prefix(r->run.out.buf, "broken ");
    if (r->run.st.code != 0 && !says)
        return "it failed and does not say why";
    if (r->run.st.code != 0 && !*r->failed)
        return "it failed without a fault";
    return NULL;
}

/* Waits until nobody works on any lease: what nobody wants any more is its keeper's to undo. */
static size_t settled(struct lease_entry **all)
{
    struct deadline d = deadline_in_ms(120000);
    for (;;) {
        size_t n = e2e_leases(all);
        bool busy = false;
        for (size_t i = 0; i < n; i++) {
            const struct lease_entry *e = &(*all)[i];
            enum ops_view_state s = ops_view(e);
            busy = busy || e->locked ||
                   (s != VIEW_READY && s != VIEW_DEAD && s != VIEW_BROKEN && !e->broken &&
                    proc_alive(&e->lease.keeper));
        }
        if (!busy || deadline_passed(&d))
            return n;
        free(*all);
        (void)poll(NULL, 0, 5);
    }
}

static const char *judge_leases(const struct verb *v, const struct nth_result *r, size_t n,
                                const struct lease_entry *all)
{
    bool ok = r->run.st.exited && r->run.st.code == 0;
    if (n == 0)
        return v->reuses_lease || (ok && v->leaves_lease) ? "there is no lease" : NULL;
    enum ops_view_state s = ops_view(&all[0]);
    if (v->reuses_lease && s != VIEW_READY)
        return "the lease is not ready any more";
    bool shown = strstr(r->run.out.buf, "ready") || strstr(r->run.out.buf, "unknown");
    if (ok && str_eq(v->name, "list") && !shown)
        return "it succeeded and does not show the lease as it is";
    if (n > 1)
        return "more than one lease";
    if (all[0].broken)
        return "a record that can't be read";
    if (ok && v->leaves_lease)
        return s == VIEW_READY ? NULL : "it succeeded and the lease is not ready";
    /* What it can't tell to be dead, cleanup leaves. */
    if (ok && !strstr(r->run.out.buf, "0 removed, 0 failed"))
        return "it succeeded and a lease is left";
    /* One that ends at once for want of memory is like one that was killed: its lease waits for its
     * expiry. So does that of a run which could not stop it, and says so. */
    static const char *const ready[] = {"out of memory", "has ended this process",
                                        "write to standard output",
                                        "print: ", "next: crabbox-fc stop n"};
    bool known = is_library_s(r);
    for (size_t i = 0; i < ARRAY_LEN(ready); i++)
        known = known || strstr(r->run.err.buf, ready[i]);
    known = known && s == VIEW_READY;
    if (v->makes_lease && !known && (v->leaves_lease || s != VIEW_BROKEN))
        return "it failed and a lease is left";
    return s == VIEW_INTERRUPTED ? "an interrupted lease that nobody undoes" : NULL;
}

/* Runs a verb that has to succeed. */
static bool succeeds(const char *verb, const char *arg)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, verb, arg);
    if (r.st.exited && r.st.code == 0)
        return true;
    print_error("%s: %s%s", verb, r.err.buf, r.out.buf);
    return false;
}

/* What a keeper with a fault leaves, `cleanup` removes. */
static const char *clean_up(void)
{
    struct lease_entry *all = NULL;
    size_t n = settled(&all);
    const char *why = n && all[0].broken ? "a record that can't be read" : NULL;
    free(all);
    if (!why && !succeeds("cleanup", NULL))
        return "cleanup fails";
    n = e2e_leases(&all);
    free(all);
    return why ? why : n ? "cleanup leaves it" : NULL;
}

/* Without memory libnftnl may say that there is no table where there is one. It stays then,
 * and doctor shows it. */
static bool is_hidden_table(const struct nth_result *r, const char *left)
{
    if (!strstr(r->failed, " in libn") || !str_has_prefix(left, "nft-table ") ||
        strchr(left, '\n')[1])
        return false;
    E2E_EXEC_OK("nft", "flush", "ruleset");
    return true;
}

/* Removes what is left, which has to succeed. */
static const char *judge_removal(const struct nth_result *r)
{
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    struct lease_entry *all = NULL;
    size_t n = e2e_leases(&all);
    const char *why = NULL;
    for (size_t i = 0; i < n; i++)
        if (!succeeds("stop", all[i].id))
            why = "a second stop fails";
    free(all);
    if (bed_residue(&bed, &left) == 0 || is_hidden_table(r, left.buf))
        return why;
    print_error("%s", left.buf);
    bed_rebase(&bed); /* or the next cases would be blamed for it */
    return why ? why : "something is left on the host";
}

static void check_removal(const struct verb *v, const struct nth *what, const struct nth_result *r)
{
    struct lease_entry *all = NULL;
    const char *why = judge_removal(r);
    size_t n = e2e_leases(&all);
    free(all);
    if (why)
        complain(v, what, r, why);
    if (n)
        fail_msg("all further cases would meet the lease that is left");
}

static void check(const struct verb *v, const struct nth *what, struct nth_result *r)
{
    _cleanup_free_ struct lease_entry *all = NULL;
    const char *end = judge_end(r);
    size_t n = settled(&all);
    const char *leases = judge_leases(v, r, n, all);
    if (getenv("NTH_VERBOSE"))
        print_message("%s %d %llu: %s: %d %s%s\n", v->name, (int)what->kind,
                      (unsigned long long)what->n, r->failed, r->run.st.code,
                      n && *all[0].lease.failure ? "BROKEN "
                      : n                        ? "LEASE "
                                                 : "",
                      r->run.err.buf);
    if (end)
        complain(v, what, r, end);
    if (leases)
        complain(v, what, r, leases);
    if (v->reuses_lease && n == 1 && !leases)
        return;
    check_removal(v, what, r);
}

/* ---- one case ---- */
/* The keeper gets its fault while the lease is made, while it waits, or while it removes it: its
 * time is over as soon as it is there. NULL, or what is wrong with how the keeper ended. */
static const char *expire(struct nth_result *r)
{
    struct store s;
    struct lease_entry *all = NULL;
    size_t n = e2e_leases(&all);
    _cleanup_close_ int keeper = n ? proc_open(&all[0].lease.keeper, NULL) : -1;
    struct pollfd p = {.fd = keeper, .events = POLLIN};
    siginfo_t info = {0};
    free(all);
    if (store_open(&s, bed.state, local_kinds, NULL) < 0)
        return NULL;
    bool shifted = chaos_shift_clock(&s, "n", 100 * 24 * 3600);
    store_close(&s);
    if (keeper < 0)
        return NULL;
    int ended = poll(&p, 1, shifted ? 60000 : 5000);
    nth_look(&bed, r);
    if (ended == 0)
        return "its keeper waits on";
    /* crabbox-fc is gone: it is our child now. */
    if (waitid(P_PIDFD, (id_t)keeper, &info, WEXITED) < 0)
        return "its keeper is not ours to wait for";
    if (info.si_code != CLD_EXITED)
        return strstr(r->failed, " in lib") ? NULL : "its keeper was killed by a signal";
    bool leaked = info.si_status == 23 && strstr(r->failed, " in lib"); /* LeakSanitizer */
    return info.si_status > 7 && !leaked ? "its keeper has an exit code that no verb has" : NULL;
}

static void check_kept(const struct verb *v, const struct nth *what, struct nth_result *r)
{
    const char *end = judge_end(r), *keeper = expire(r), *cleanup = clean_up();
    if (getenv("NTH_VERBOSE"))
        print_message("%s %d %llu: %s: %d %s\n", v->name, (int)what->kind,
                      (unsigned long long)what->n, r->failed, r->run.st.code, r->run.err.buf);
    if (end)
        complain(v, what, r, end);
    if (keeper)
        complain(v, what, r, keeper);
    if (cleanup)
        complain(v, what, r, cleanup);
    check_removal(v, what, r);
}

/* Returns how many calls there were; *there tells whether there was an Nth. */
static uint64_t run_case(const struct verb *v, const struct nth *what, bool *there)
{
    struct nth_result r;
    v->prepare();
    nth_run(&bed, what, &r, v->args);
    if (what->kind == NTH_KEEPER_MALLOC || what->kind == NTH_KEEPER_CALL)
        check_kept(v, what, &r);
    else
        check(v, what, &r);
    uint64_t calls = r.calls;
    *there = *r.failed;
    nth_result_free(&r);
    return calls;
}

/* ---- all cases of a verb ---- */
static void run_all(const struct verb *v, enum nth_kind kind, const char *only)
{
    struct nth what = {kind, from - 1, seed, only};
    bool there = true;
    while (there) {
        what.n++;
        (void)run_case(v, &what, &there);
    }
    print_message("%s: %s: all from %llu to %llu\n", v->name, only ? only : nth_kind_name[kind],
                  (unsigned long long)from, (unsigned long long)what.n - 1);
}

static void run_some(const struct verb *v, enum nth_kind kind)
{
    struct chaos_rng rng = chaos_seed(seed, (uint64_t)kind);
    struct nth what = {kind, 0, seed, NULL};
    bool there;
    uint64_t calls = run_case(v, &what, &there);
    print_message("%s: %s: %llu of %llu\n", v->name, nth_kind_name[kind], (unsigned long long)cases,
                  (unsigned long long)calls);
    assert_true(calls > 0);
    for (uint64_t i = 0; i < cases; i++) {
        what.n = 1 + chaos_next(&rng) % calls;
        what.seed = chaos_next(&rng) % 1000;
        (void)run_case(v, &what, &there);
    }
}

/* libssh may lose what came in for want of memory: then nothing moves any more. */
static const struct verb verbs[] = {
    {"warmup", nothing, {"warmup", "-q", "--slug", "n"}, true, true, false, {"fsync"}},
    {"run",
     nothing,
     {"run", "-q", "--slug", "n", "--stall-timeout", "30s", "--", "true"},
     true,
     false,
     false,
     {NULL}},
    {"list", a_lease, {"list"}, false, true, true, {NULL}},
    {"stop", a_lease, {"stop", "n"}, false, false, false, {"faccessat2", "readlinkat"}},
    {"cleanup", a_dead_lease, {"cleanup"}, false, false, false, {NULL}},
    /* Of a lease that is in use: it stays. */
    {"no cleanup", a_lease, {"cleanup"}, false, true, true, {NULL}},
};

/* ---- the tests ---- */
struct group {
    const struct verb *verb;
    enum nth_kind kind;
    const char *only; /* as in nth.h; then all of them, in each run */
    char name[64];
};

static uint64_t number(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    uint64_t n;
    return text && str_to_u64(text, &n) == 0 ? n : fallback;
}

static void run_group(void **state)
{
    const struct group *g = *state;
    struct nth one = {g->kind, number("NTH_ONLY", 0), seed, g->only};
    bool there;
    wrong = 0;
    if (one.n)
        (void)run_case(g->verb, &one, &there);
    else if (cases && !g->only)
        run_some(g->verb, g->kind);
    else
        run_all(g->verb, g->kind, g->only);
    if (g->verb->reuses_lease)
        e2e_stop("n");
    assert_int_equal(wrong, 0);
}

static bool has_kind(const struct verb *v, enum nth_kind kind)
{
    if (kind == NTH_MALLOC || kind == NTH_CALL)
        return true;
    return v->makes_lease && (kind == NTH_FORK_CALL || v->leaves_lease);
}

static void add_group(struct group *g, const struct verb *v, enum nth_kind kind, const char *only)
{
    *g = (struct group){v, kind, only, ""};
    (void)str_format(g->name, sizeof g->name, "%s: %s", v->name, only ? only : nth_kind_name[kind]);
}

static size_t make_groups(struct group *out)
{
    size_t n = 0;
    for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
        for (int k = 0; k < NTH_KINDS; k++)
            if (has_kind(&verbs[v], k))
                add_group(&out[n++], &verbs[v], k, NULL);
        for (const char *const *call = verbs[v].every; *call; call++)
            add_group(&out[n++], &verbs[v], NTH_CALL, *call);
    }
    return n;
}

int main(void)
{
    static struct group groups[ARRAY_LEN(verbs) * (NTH_KINDS + 2)];
    static struct CMUnitTest tests[ARRAY_LEN(groups)];
    size_t n = make_groups(groups);
    seed = number("SEED", 1);
    cases = number("NTH_CASES", 5);
    from = number("NTH_FROM", 1);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){.name = groups[i].name,
                                       .test_func = run_group,
                                       .teardown_func = e2e_after_each,
                                       .initial_state = &groups[i]};
    if (getenv("NTH_GROUP"))
        cmocka_set_test_filter(getenv("NTH_GROUP"));
    if (!bed_supported())
        return bed_skip_group(n);
    return e2e_end(_cmocka_run_group_tests("faults by count", tests, n, e2e_open, e2e_close));
}
