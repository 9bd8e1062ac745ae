/* A lease ends when its time is over, though nobody types a command and no service runs. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "e2e/chaos.h"
#include "e2e/e2e.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/lock.h"

static struct store store;

static int setup(void **state)
{
    (void)e2e_open(state);
    return store_open(&store, bed.state, local_kinds, NULL);
}

static int teardown(void **state)
{
    store_close(&store);
    return e2e_close(state);
}

static bool there(const char *slug)
{
    char id[LEASE_ID_SIZE];
    return store_resolve(&store, slug, id, NULL) == 0;
}

static void wait_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* Only looks at the directory; the program is not run. Returns how long it took. */
static int64_t wait_until_gone(const char *slug, int64_t ms)
{
    struct deadline d = deadline_in_ms(ms);
    int64_t start = clock_boot_ms();
    while (there(slug)) {
        if (deadline_passed(&d))
            fail_msg("%s is still there", slug);
        wait_ms(10);
    }
    bed_assert_clean(&bed);
    return clock_boot_ms() - start;
}

#define WARMUP(slug, ...) E2E_OK("warmup", "-q", "--slug", slug, __VA_ARGS__)

static void test_idle_timeout_is_over(void **state)
{
    (void)state;
    WARMUP("idle", "--idle-timeout", "3s");
    (void)wait_until_gone("idle", 60000);
}

static void use(const char *slug)
{
    E2E_OK("run", "--id", slug, "--no-sync", "-q", "--", "true");
}

/* Every use moves the idle deadline; without use it comes. */
static void test_use_extends(void **state)
{
    (void)state;
    int64_t start = clock_boot_ms();
    WARMUP("used", "--idle-timeout", "3s");
    while (clock_boot_ms() - start < 6000) {
        use("used");
        wait_ms(500);
    }
    assert_true(there("used"));
    (void)wait_until_gone("used", 60000);
}

static void test_work_does_not_idle_out(void **state)
{
    (void)state;
    WARMUP("busy", "--idle-timeout", "3s");
    E2E_OK("run", "--id", "busy", "--no-sync", "-q", "--", "sleep", "5");
    (void)wait_until_gone("busy", 60000);
}

/* The stock ssh closes what it inherits, a lock too. */
static void test_a_session_does_not_idle_out(void **state)
{
    (void)state;
    WARMUP("session", "--idle-timeout", "3s");
    E2E_CODE(7, "ssh", "session", "sleep 5; exit 7");
    (void)wait_until_gone("session", 60000);
}

/* Runs lines of bash with these: releasing waits until the lease is being released, pipe makes a
 * pipe that nobody reads, fill fills it, interrupt presses Ctrl-C until the process has ended. The
 * code has to be 130. */
static struct bed_result interrupted(const char *script)
{
    static const char functions[] =
        "releasing() { until \"$0\" list --json | jq -e '.[].state == \"releasing\"'; do\n"
        "    sleep 0.05; done; }\n"
        "pipe() { mkfifo $1; exec 3<>$1; }\n"
        "fill() { dd if=/dev/zero bs=4096 count=1000 oflag=nonblock of=$1 2>&1 | grep "
        "unavailable; }\n"
        "interrupt() { for i in {1..100}; do kill -INT $1 2>/dev/null || break; sleep 0.2; done\n"
        "    kill -KILL $1 2>/dev/null; wait $1; }\n";
    _cleanup_free_ char *all = xasprintf("%s%s", functions, script);
    struct bed_result r = BED_EXEC(&bed, "bash", "-c", all, bed.program);
    bed_assert_code(r, 130);
    return r;
}

/* stop waits a long time for a guest that does not shut down. A second Ctrl-C ends that. */
static void test_the_second_interrupt_ends_at_once(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_IGNORE_SHUTDOWN", "1");
    WARMUP("stuck", "--stop-timeout", "10m");
    _cleanup_bed_result_ struct bed_result r = interrupted(
        "\"$0\" stop stuck 2>err & stop=$!\nreleasing; interrupt $stop; code=$?\n"
        "cat err >&2; exit $code");
    bed_assert_has(r.err.buf, "ended at the second interrupt; a lease may be left");
    bed_assert_has(r.err.buf, "next: crabbox-fc list");
    (void)wait_until_gone("stuck", 60000);
}

/* The same if nobody reads its standard error. */
static void test_the_second_interrupt_with_a_reader_that_sleeps(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_IGNORE_SHUTDOWN", "1");
    WARMUP("unread", "--stop-timeout", "10m");
    _cleanup_bed_result_ struct bed_result r = interrupted(
        "pipe unread; \"$0\" stop unread 2>unread & stop=$!\n"
        "releasing; fill unread; interrupt $stop");
    bed_assert_has(r.out.buf, "unavailable");
    (void)wait_until_gone("unread", 60000);
}

/* The message mentions leases only if the command can leave one half-way. */
static void test_the_second_interrupt_of_a_question(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = interrupted(
        "pipe asked; fill asked >/dev/null; \"$0\" version >asked 2>said & asks=$!\n"
        "until grep -q 'Threads:.*2' /proc/$asks/status; do sleep 0.05; done\n"
        "interrupt $asks; code=$?; cat said; exit $code");
    assert_string_equal(r.out.buf, "crabbox-fc: ended at the second interrupt\n");
}

static void test_ttl_is_hard(void **state)
{
    (void)state;
    WARMUP("hard", "--ttl", "3s");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("hard", "--", "sleep", "1000");
    assert_true(r.st.exited && r.st.code != 0);
    (void)wait_until_gone("hard", 60000);
}

static void test_kept_ones_stay(void **state)
{
    (void)state;
    WARMUP("kept", "--keep", "--ttl", "1s", "--idle-timeout", "1s");
    wait_ms(2500);
    E2E_OK("cleanup");
    use("kept");
    assert_true(chaos_kill_vmm(&store, "kept")); /* not even then */
    E2E_OK("cleanup");
    assert_true(there("kept"));
    e2e_stop("kept");
    bed_assert_clean(&bed);
}

/* Somebody sets the clock: the keeper judges anew and does not sleep on. */
static void test_clock_is_set(void **state)
{
    (void)state;
    WARMUP("jump", "--ttl", "10h", "--idle-timeout", "9h");
    assert_true(chaos_shift_clock(&store, "jump", 36000));
    (void)wait_until_gone("jump", 60000);
}

/* Without its keeper it is at least shown as expired, and cleanup takes it. */
static void test_death_of_the_keeper(void **state)
{
    (void)state;
    WARMUP("unkept", "--ttl", "10h");
    assert_true(chaos_kill_keeper(&store, "unkept"));
    e2e_shell("\"$0\" doctor --json | jq -e '.checks[] | select(.check == \"keepers\") |\n"
              "  .status == \"warning\" and (.message | contains(\"lease unkept\")) and\n"
              "  (.details.fix | contains(\"crabbox-fc stop unkept\"))' >/dev/null");
    _cleanup_bed_result_ struct bed_result before = BED_RUN(&bed, "list");
    bed_assert_has(before.out.buf, "by cleanup"); /* and no countdown to nothing */
    assert_true(chaos_shift_clock(&store, "unkept", 36000));
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "expired");
    e2e_shell("\"$0\" list --json | jq -e '.[0].endedBy == \"cleanup\"' >/dev/null");
    E2E_OK("cleanup");
    bed_assert_clean(&bed);
}

#define IS_SMALL                                                                                   \
    "test $(du -k \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm/console.log | cut -f1) -lt 8192"

/* A console is held down by whatever command comes by. */
static void test_logs_of_a_lease_without_keeper(void **state)
{
    (void)state;
    static const char *const commands[][4] = {
        {"list"}, {"heartbeat", "noisy"}, {"ssh", "noisy", "true"}, {"status", "noisy"}};
    WARMUP("noisy", "--keep");
    assert_true(chaos_kill_keeper(&store, "noisy"));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        e2e_shell("cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm; head -c 12M /dev/urandom "
                  ">>console.log");
        _cleanup_bed_result_ struct bed_result r = bed_run(&bed, commands[i]);
        bed_assert_code(r, 0);
        e2e_shell(IS_SMALL);
    }
    e2e_stop("noisy");
}

/* Not by one that only looks for words, nor by two at once. */
static void test_logs_that_are_left_alone(void **state)
{
    (void)state;
    char id[LEASE_ID_SIZE];
    struct error err = ERROR_INIT;
    WARMUP("noisy", "--keep");
    assert_true(chaos_kill_keeper(&store, "noisy"));
    e2e_shell(
        "cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm; head -c 12M /dev/urandom >>console.log");
    E2E_OK("complete", "--", "stop", "");
    e2e_shell("! " IS_SMALL);
    assert_int_equal(store_resolve(&store, "noisy", id, &err), 0);
    _cleanup_close_ int dir = openat(store.leases_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int lock = lock_try(dir, "logs", true, &err);
    assert_true(dir >= 0 && lock >= 0);
    E2E_OK("list");
    e2e_shell("! " IS_SMALL);
    CLOSE_FD(lock);
    E2E_OK("list");
    e2e_shell(IS_SMALL);
    e2e_stop("noisy");
}

/* Makes two leases with a copy of the program, to which this then happens. */
static void make_by_another(const char *then)
{
    char program[PATH_MAX];
    memcpy(program, bed.program, sizeof program);
    e2e_shell("cp \"$0\" ../old-program");
    (void)str_format(bed.program, sizeof bed.program, "%s/old-program", bed.dir);
    WARMUP("stays", "--ttl", "1h");
    WARMUP("ends", "--ttl", "3s");
    memcpy(bed.program, program, sizeof program);
    E2E_EXEC_OK("sh", "-ec", then);
}

/* An update replaces the program while keepers of the old one run, or somebody removes it. */
static void test_a_keeper_outlives_its_program(void **state)
{
    static const char *const fates[] = {
        "rm ../old-program", "mv ../old-program ../gone; echo >../old-program; rm ../gone",
        "echo '#!/bin/false' >../new; chmod 755 ../new; mv ../new ../old-program"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fates); i++) {
        make_by_another(fates[i]);
        e2e_shell("\"$0\" list --json | jq -e '.[] | select(.slug == \"stays\") | .state == "
                  "\"ready\" and .endedBy == \"keeper\"' >/dev/null\n"
                  "\"$0\" doctor --json | jq -e '.checks[] | select(.check == \"keepers\") | "
                  ".status == \"ok\"' >/dev/null");
        use("stays");
        e2e_stop("stays");
        (void)wait_until_gone("ends", 60000);
        e2e_shell("rm -f ../old-program");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_idle_timeout_is_over),
        E2E_TEST(test_use_extends),
        E2E_TEST(test_work_does_not_idle_out),
        E2E_TEST(test_a_session_does_not_idle_out),
        E2E_TEST(test_the_second_interrupt_ends_at_once),
        E2E_TEST(test_the_second_interrupt_with_a_reader_that_sleeps),
        E2E_TEST(test_the_second_interrupt_of_a_question),
        E2E_TEST(test_ttl_is_hard),
        E2E_TEST(test_kept_ones_stay),
        E2E_TEST(test_clock_is_set),
        E2E_TEST(test_death_of_the_keeper),
        E2E_TEST(test_a_keeper_outlives_its_program),
        E2E_TEST(test_logs_of_a_lease_without_keeper),
        E2E_TEST(test_logs_that_are_left_alone),
    };
    return E2E_GROUP(tests, setup, teardown);
}
