/* Leases under random violence. LEASES (60) of them, from SEED (of the time; printed), are made by
 * WORKERS at once, while the program, its VMMs and its keepers are killed at any moment, others
 * stop, list and clean up, clocks jump and hosts boot. Then the host is looked at. CHAIN=ptp or
 * CHAIN=bridge connects them by real CNI plugins instead of our own links.
 *
 * The last line is leases=N leaked=L lost=O wrong=W:
 *   leaked  things found on the host that no lease accounts for
 *   lost    leases that nobody harmed and that can't be used any more
 *   wrong   commands that failed or answered otherwise than they should, addresses given twice
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "e2e/chaos.h"
#include "e2e/e2e.h"
#include "local/local.h"
#include "ops/ops.h"

#define ROUND       20 /* leases between two looks at the host */
#define WORKERS     5
#define CLOCK_BACK  (-3600)
#define CLOCK_AHEAD (100 * 24 * 3600)

/* What is known of a lease when its worker is done with it. */
enum fate { GONE, UNHARMED, HARMED };

/* Shared by all processes of the test. */
struct tally {
    atomic_uint next; /* lease of this round that no worker has taken yet */
    atomic_uint lost, wrong, leaked, made, killed;
    atomic_int warmup_ms; /* how long one takes now, to aim the kills */
    atomic_bool round_over;
    struct {
        enum fate fate;
        bool keep;
    } lease[ROUND];
};

static struct store store;
static struct tally *tally;
static uint64_t seed;
static const char *chain; /* of CNI plugins; NULL: our own links */
static unsigned first;    /* number of the round's first lease */

static void slug_of(unsigned i, char out[static 16])
{
    (void)str_format(out, 16, "t%u", first + i);
}

static void wrong(const char *what, const char *slug, const struct chaos_result *r)
{
    atomic_fetch_add(&tally->wrong, 1);
    fprintf(stderr, "wrong: %s %s: code %d signal %d%s after %lld ms: %s%.600s\n", what, slug,
            r->st.code, r->st.signal, r->hung ? " hung" : "", (long long)r->took_ms, r->err,
            r->out);
}

/* It was not disturbed, so it has to succeed. */
static bool must_do(const char *what, const char *slug, const struct chaos_result *r)
{
    if (!r->hung && r->st.exited && r->st.code == 0)
        return true;
    wrong(what, slug, r);
    return false;
}

static void stop_of(const char *slug)
{
    struct chaos_result r;
    CHAOS_RUN(&bed, 0, 0, &r, "stop", "--missing-ok", slug);
    (void)must_do("stop", slug, &r);
}

/* The lease answers, and it is the one that was asked for. */
static bool usable(const char *slug)
{
    struct chaos_result r;
    char name[32];
    (void)str_format(name, sizeof name, "crabbox-%s-", slug);
    CHAOS_RUN(&bed, 0, 0, &r, "run", "--id", slug, "--no-sync", "-q", "--", "cat", "/etc/hostname");
    if (!r.hung && r.st.exited && r.st.code == 0 && str_has_prefix(r.out, name))
        return true;
    fprintf(stderr, "not usable: %s: code %d: %s%s\n", slug, r.st.code, r.err, r.out);
    return false;
}

static void pause_ms(int64_t ms)
{
    (void)poll(NULL, 0, (int)ms);
}

/* ---- what happens to a lease that is ready ---- */
static enum fate use_it(struct chaos_rng *rng, const char *slug)
{
    (void)rng;
    if (!usable(slug))
        atomic_fetch_add(&tally->lost, 1);
    return UNHARMED;
}

static enum fate kill_the_run(struct chaos_rng *rng, const char *slug)
{
    struct chaos_result r;
    CHAOS_RUN(&bed, chaos_below(rng, 200), SIGKILL, &r, "run", "--id", slug, "--no-sync", "-q",
              "--", "sleep", "1");
    return UNHARMED;
}

static enum fate stop_it(struct chaos_rng *rng, const char *slug)
{
    (void)rng;
    stop_of(slug);
    return GONE;
}

static enum fate kill_the_stop(struct chaos_rng *rng, const char *slug)
{
    struct chaos_result r;
    CHAOS_RUN(&bed, chaos_below(rng, 150), SIGKILL, &r, "stop", slug);
    if (chaos_below(rng, 2))
        return HARMED;
    stop_of(slug);
    return GONE;
}

static enum fate stop_it_twice(struct chaos_rng *rng, const char *slug)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause_ms(chaos_below(rng, 60));
        stop_of(slug);
        _exit(0);
    }
    pause_ms(chaos_below(rng, 60));
    stop_of(slug);
    (void)waitpid(pid, NULL, 0);
    return GONE;
}

static enum fate kill_the_vmm(struct chaos_rng *rng, const char *slug)
{
    (void)chaos_kill_vmm(&store, slug);
    if (chaos_below(rng, 2))
        return HARMED;
    stop_of(slug);
    return GONE;
}

/* The lease itself is well; only nobody watches its time. */
static enum fate kill_the_keeper(struct chaos_rng *rng, const char *slug)
{
    (void)rng;
    (void)chaos_kill_keeper(&store, slug);
    return UNHARMED;
}

/* Its time is over: it goes by itself, unless it is kept. */
static enum fate clock_ahead(struct chaos_rng *rng, const char *slug)
{
    struct deadline d = deadline_in_ms(30000);
    char id[LEASE_ID_SIZE];
    struct chaos_result r = {0};
    struct lease_entry e;
    (void)rng;
    if (store_resolve(&store, slug, id, NULL) < 0 || store_entry(&store, id, &e, NULL) < 0 ||
        !chaos_shift_clock(&store, slug, CLOCK_AHEAD)) {
        wrong("clock ahead: the record is gone", slug, &r);
        return HARMED;
    }
    if (e.lease.keep)
        return UNHARMED;
    while (store_resolve(&store, slug, id, NULL) == 0 && !deadline_passed(&d))
        pause_ms(20);
    if (deadline_passed(&d))
        wrong("expired, but not gone by itself", slug, &r);
    return GONE;
}

static enum fate clock_back(struct chaos_rng *rng, const char *slug)
{
    (void)rng;
    (void)chaos_shift_clock(&store, slug, CLOCK_BACK);
    return UNHARMED;
}

static enum fate leave_it(struct chaos_rng *rng, const char *slug)
{
    (void)rng;
    (void)slug;
    return UNHARMED;
}

static enum fate (*const events[])(struct chaos_rng *rng, const char *slug) = {
    use_it,       kill_the_run, stop_it,    stop_it,  kill_the_stop, kill_the_stop, stop_it_twice,
    kill_the_vmm, clock_ahead,  clock_back, leave_it, leave_it,      kill_the_vmm,  kill_the_keeper,
};

/* ---- making one ---- */
/* Kills the VMM of a lease that is being made, at the planned moment. */
static pid_t plan_vmm_death(const char *slug, int64_t after_ms)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    pause_ms(after_ms);
    _exit(chaos_kill_vmm(&store, slug) ? 0 : 1);
}

/* Whether the helper did its work. */
static bool helper_did(pid_t pid)
{
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static enum fate after_harm(struct chaos_rng *rng, const char *slug)
{
    atomic_fetch_add(&tally->killed, 1);
    if (chaos_below(rng, 3))
        return HARMED;
    stop_of(slug);
    return GONE;
}

static enum fate one_lease(struct chaos_rng *rng, unsigned i, bool keep)
{
    char slug[16];
    struct chaos_result r;
    int64_t moment = chaos_below(rng, (unsigned)atomic_load(&tally->warmup_ms) * 5 / 4 + 1);
    unsigned way = chaos_below(rng, 10);
    int sig = way < 3 ? SIGKILL : way == 3 ? SIGINT : 0;
    slug_of(i, slug);
    pid_t helper = way == 4 ? plan_vmm_death(slug, moment) : 0;
    CHAOS_RUN(&bed, moment, sig, &r, "warmup", "-q", "--slug", slug, keep ? "--keep" : NULL);
    bool shot = helper_did(helper);
    if (sig || shot)
        return r.st.exited && r.st.code == 0 && !shot ? UNHARMED : after_harm(rng, slug);
    if (!must_do("warmup", slug, &r))
        return HARMED;
    atomic_fetch_add(&tally->made, 1);
    atomic_store(&tally->warmup_ms, (int)(atomic_load(&tally->warmup_ms) * 3 + r.took_ms) / 4 + 1);
    return events[chaos_below(rng, ARRAY_LEN(events))](rng, slug);
}

static void worker(void)
{
    for (unsigned i; (i = atomic_fetch_add(&tally->next, 1)) < ROUND;) {
        struct chaos_rng rng = chaos_seed(seed, first + i + 1);
        bool keep = chaos_below(&rng, 4) == 0;
        tally->lease[i].keep = keep;
        tally->lease[i].fate = one_lease(&rng, i, keep);
    }
    _exit(0);
}

/* ---- a bystander, who only wants to know or to tidy ---- */
static void look(const char *slug)
{
    struct chaos_result r;
    struct error err = ERROR_INIT;
    CHAOS_RUN(&bed, 0, 0, &r, "list", "--json");
    if (!must_do("list", slug, &r))
        return;
    _cleanup_json_ cJSON *rows = json_parse(r.out, strlen(r.out), "list", &err);
    if (!rows || strstr(r.out, "\"broken\""))
        wrong("list shows nonsense", err.msg, &r);
}

static void bystander(unsigned round)
{
    struct chaos_rng rng = chaos_seed(seed, 1000000000u + round);
    while (!atomic_load(&tally->round_over)) {
        char slug[16];
        struct chaos_result r;
        slug_of(chaos_below(&rng, ROUND), slug);
        switch (chaos_below(&rng, 4)) {
        case 0:
            CHAOS_RUN(&bed, 0, 0, &r, "cleanup");
            (void)must_do("cleanup", "", &r);
            break;
        case 1:
            CHAOS_RUN(&bed, 0, 0, &r, "status", "--json", slug);
            if (r.hung || r.st.signalled || r.took_ms > 20000)
                wrong("status", slug, &r);
            break;
        case 2:
            CHAOS_RUN(&bed, chaos_below(&rng, 30), SIGKILL, &r, "cleanup");
            break;
        default:
            look(slug);
        }
        pause_ms(chaos_below(&rng, 300));
    }
    _exit(0);
}

/* ---- a round ---- */
/* Waits for these children; orphans of theirs that come to us are reaped on the way. */
static void wait_all(const pid_t *pids, size_t n)
{
    for (size_t left = n; left;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        for (size_t i = 0; i < n; i++) {
            if (pids[i] != pid)
                continue;
            left--;
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        assert_true(pid > 0);
    }
}

static void violence(unsigned round)
{
    pid_t workers[WORKERS], looker;
    atomic_store(&tally->next, 0);
    atomic_store(&tally->round_over, false);
    if ((looker = fork()) == 0)
        bystander(round);
    for (size_t i = 0; i < WORKERS; i++)
        if ((workers[i] = fork()) == 0)
            worker();
    wait_all(workers, WORKERS);
    atomic_store(&tally->round_over, true);
    wait_all(&looker, 1);
}

static void check_addresses(void)
{
    struct lease_entry *all = NULL;
    size_t n = 0;
    struct chaos_result r = {0};
    assert_int_equal(store_list(&store, &all, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (!all[i].broken && !all[k].broken && all[i].lease.state == LEASE_READY &&
                all[k].lease.state == LEASE_READY &&
                str_eq(all[i].lease.local.net.lease_addr, all[k].lease.local.net.lease_addr))
                wrong("an address given twice", all[i].id, &r);
    free(all);
}

/* Each lease that nobody harmed still answers. */
static void check_unharmed(void)
{
    char slug[16];
    for (unsigned i = 0; i < ROUND; i++) {
        slug_of(i, slug);
        if (tally->lease[i].fate == UNHARMED && !usable(slug))
            atomic_fetch_add(&tally->lost, 1);
    }
}

/* A process of another boot's pid: nobody may touch it. */
static pid_t start_stranger(struct proc_ref *ref)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    assert_int_equal(proc_ref_of(pid, ref, NULL), 0);
    return pid;
}

/* Plugins' answers are of the boot that they were given in. */
static void chain_boots_anew(void)
{
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec",
        "for f in \"$0\"/leases/*/cni.json; do [ ! -e \"$f\" ] || "
        "sed -i 's/\"bootId\":\"[^\"]*\"/\"bootId\":\"00000000-0000-0000-0000-000000000000\"/' "
        "\"$f\"; done",
        bed.state);
    bed_assert_code(r, 0);
}

static void reboot_host(void)
{
    struct proc_ref ref;
    pid_t stranger = start_stranger(&ref);
    const pid_t spare[] = {bed.outside, stranger, 0};
    struct chaos_result r;
    chaos_reboot(&bed, &store, spare, &ref);
    chain_boots_anew();
    CHAOS_RUN(&bed, 0, 0, &r, "cleanup");
    (void)must_do("cleanup after a boot", "", &r);
    for (unsigned i = 0; i < ROUND; i++) {
        char slug[16];
        slug_of(i, slug);
        if (tally->lease[i].keep)
            stop_of(slug);
    }
    if (waitpid(stranger, NULL, WNOHANG) != 0)
        wrong("a stranger with a recorded pid was killed", "", &r);
    (void)kill(stranger, SIGKILL);
    (void)waitpid(stranger, NULL, 0);
}

/* After one cleanup, what was harmed is gone, or it was killed a moment after it became ready: then
 * it is as good as any. Kept ones are not for cleanup. */
static void settle_harmed(unsigned i)
{
    char slug[16], id[LEASE_ID_SIZE];
    struct chaos_result r = {0};
    slug_of(i, slug);
    if (store_resolve(&store, slug, id, NULL) < 0)
        return;
    if (!tally->lease[i].keep && !usable(slug))
        wrong("cleanup left it", slug, &r);
    stop_of(slug);
}

static void remove_all(void)
{
    char slug[16];
    struct chaos_result r;
    for (unsigned i = 0; i < ROUND; i++) {
        slug_of(i, slug);
        if (tally->lease[i].fate == UNHARMED)
            stop_of(slug);
    }
    CHAOS_RUN(&bed, 0, 0, &r, "cleanup");
    (void)must_do("cleanup", "", &r);
    for (unsigned i = 0; i < ROUND; i++)
        if (tally->lease[i].fate == HARMED)
            settle_harmed(i);
}

static bool check_host(void)
{
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    size_t n = bed_residue(&bed, &lines);
    if (chain)
        n += bed_cni_left(&bed, &lines);
    if (!n)
        return true;
    fprintf(stderr, "leaked in the round from lease %u:\n%s", first, lines.buf);
    atomic_fetch_add(&tally->leaked, (unsigned)n);
    return false;
}

static void torture(void **state)
{
    unsigned leases = getenv("LEASES") ? (unsigned)strtoul(getenv("LEASES"), NULL, 10) : 60;
    struct chaos_rng rng;
    (void)state;
    seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL);
    rng = chaos_seed(seed, 0);
    fprintf(stderr, "torture: LEASES=%u SEED=%llu\n", leases, (unsigned long long)seed);
    unsigned rounds = (leases + ROUND - 1) / ROUND;
    for (unsigned k = 0; k < rounds; k++) {
        leases = (k + 1) * ROUND;
        first = k * ROUND;
        violence(k);
        check_addresses();
        check_unharmed();
        if (chaos_below(&rng, 3) == 0)
            reboot_host();
        else
            remove_all();
        if (!check_host())
            break; /* later rounds would only count it again */
    }
    fprintf(stderr, "made=%u killed while being made=%u warmup=%d ms\n", atomic_load(&tally->made),
            atomic_load(&tally->killed), atomic_load(&tally->warmup_ms));
    printf("leases=%u leaked=%u lost=%u wrong=%u\n", leases, atomic_load(&tally->leaked),
           atomic_load(&tally->lost), atomic_load(&tally->wrong));
    assert_int_equal(atomic_load(&tally->leaked), 0);
    assert_int_equal(atomic_load(&tally->lost), 0);
    assert_int_equal(atomic_load(&tally->wrong), 0);
    /* Neither a world where nothing is made nor one where nothing dies proves anything. */
    assert_true(atomic_load(&tally->made) > 0 && atomic_load(&tally->killed) > 0);
}

/* What plugins keep by design is there from the start. */
static void use_chain(const char *name)
{
    if (!name)
        return;
    const char *dir = bed_cni_dir();
    if (!dir)
        fail_msg("CHAIN=%s: no CNI plugins here", name);
    chain = str_eq(name, "bridge") ? BED_CNI_BRIDGE : BED_CNI_PTP;
    bed_use_cni(&bed, dir, chain);
    E2E_EXEC_OK("ip", "link", "add", "boxbr", "type", "bridge");
    bed_ready_for_cni(&bed);
}

static int setup(void **state)
{
    (void)e2e_open(state);
    bed.settle_ms = 20000;
    use_chain(getenv("CHAIN"));
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(tally != MAP_FAILED);
    atomic_store(&tally->warmup_ms, 200);
    assert_int_equal(store_open(&store, bed.state, local_kinds, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    store_close(&store);
    (void)munmap(tally, sizeof *tally);
    return e2e_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(torture)};
    return E2E_GROUP(tests, setup, teardown);
}
