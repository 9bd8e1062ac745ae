/* Many at once: claims are decided by the kernel, nobody waits for another's lease. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "lease/words.h"
#include "ops/ops.h"

#define MANY 64

/* Waits for all; each has to succeed.. */
static void all_succeed(struct child *c, size_t n)
{
    struct deadline d = deadline_in_ms(200000);
    struct error err = ERROR_INIT;
    struct exit_status st;
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (child_wait(&c[i], &d, &st, &err) < 0)
            fail_msg("%s", err.msg);
        failed += !st.exited || st.code != 0;
    }
    assert_int_equal(failed, 0);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_distinct(const char **texts, size_t n)
{
    qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 1; i < n; i++)
        if (str_eq(texts[i - 1], texts[i]))
            fail_msg("%s was given twice", texts[i]);
}

static void check_claims(const struct lease_entry *all, size_t n)
{
    const char *slugs[MANY], *addrs[MANY], *links[MANY];
    assert_int_equal(n, MANY);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ops_view(&all[i]), VIEW_READY);
        /* A keeper that finds no room to watch its lease would have ended in silence. */
        assert_true(proc_alive(&all[i].lease.keeper));
        slugs[i] = all[i].lease.slug;
        addrs[i] = all[i].lease.local.net.lease_addr;
        links[i] = all[i].lease.local.net.veth;
    }
    assert_distinct(slugs, n);
    assert_distinct(addrs, n);
    assert_distinct(links, n);
}

static void test_sixty_four_at_once(void **state)
{
    struct child c[MANY];
    struct lease_entry *all = NULL;
    int64_t slowest = 0, start = clock_boot_ms();
    (void)state;
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "180s");
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_MEMORY_MIB", "64"); /* 64 of them fit small hosts */
    for (size_t i = 0; i < MANY; i++)
        c[i] = BED_START(&bed, -1, "warmup", "-q");
    for (int i = 0; i < 5; i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list", "--json");
        bed_assert_code(r, 0);
        assert_null(strstr(r.out.buf, "\"broken\""));
        slowest = r.took_ms > slowest ? r.took_ms : slowest;
    }
    all_succeed(c, MANY);
    print_message("%d warmups in %lld ms; list meanwhile at most %lld ms\n", MANY,
                  (long long)(clock_boot_ms() - start), (long long)slowest);
    size_t n = e2e_leases(&all);
    check_claims(all, n);
    for (size_t i = 0; i < n; i++)
        c[i] = BED_START(&bed, -1, "stop", all[i].id);
    all_succeed(c, n);
    free(all);
    bed_assert_clean(&bed);
}

/* Many that want one slug: one gets it, the others get digits. */
static void test_one_slug_has_one_winner(void **state)
{
    enum { N = 16 };
    struct child c[N];
    struct deadline d = deadline_in_ms(100000);
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct lease_entry *all = NULL;
    size_t won = 0;
    (void)state;
    for (int i = 0; i < N; i++)
        c[i] = BED_START(&bed, -1, "warmup", "-q", "--slug", "wanted");
    for (int i = 0; i < N; i++) {
        assert_int_equal(child_wait(&c[i], &d, &st, &err), 0);
        assert_true(st.exited && st.code == 0);
    }
    size_t n = e2e_leases(&all);
    assert_int_equal(n, N);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_has_prefix(all[i].lease.slug, "wanted"));
        won += str_eq(all[i].lease.slug, "wanted");
        e2e_stop(all[i].id);
    }
    free(all);
    assert_int_equal(won, 1);
    bed_assert_clean(&bed);
}

/* All pairs of words are taken: a made-up slug gets digits, nobody is bothered with the clash. */
static void test_made_up_slugs_never_clash(void **state)
{
    struct lease_entry *all = NULL;
    (void)state;
    E2E_OK("warmup", "-q");
    _cleanup_free_ char *dir = xasprintf("%s/slugs", bed.state);
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(e2e_leases(&all), 1);
    for (size_t i = 0; i < lease_adjectives_len; i++)
        for (size_t k = 0; k < lease_nouns_len; k++) {
            char slug[LEASE_SLUG_SIZE];
            (void)str_format(slug, sizeof slug, "%s-%s", lease_adjectives[i], lease_nouns[k]);
            (void)!symlinkat(all[0].id, fd, slug);
        }
    E2E_OK("warmup", "-q");
    free(all);
    for (size_t n = e2e_leases(&all), i = 0; i < n; i++) {
        E2E_OK("stop", all[i].id);
    }
    free(all);
    _cleanup_bed_result_ struct bed_result t = BED_RUN(&bed, "cleanup"); /* the claims are stale */
    bed_assert_code(t, 0);
    bed_assert_clean(&bed);
}

/* A warmup that hangs holds its lease's lock; those who only look do not wait for it. */
static void test_looking_waits_for_nobody(void **state)
{
    static const char *const looks[][4] = {
        {"list", NULL}, {"list", "--json", NULL}, {"status", "hangs", NULL}, {"logs", "hangs"}};
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", "PUT /actions");
    struct child c = e2e_warmup_stuck("hangs");
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        _cleanup_bed_result_ struct bed_result r = bed_run(&bed, looks[i]);
        print_message("%s: %lld ms\n", looks[i][0], (long long)r.took_ms);
        bed_assert_code(r, str_eq(looks[i][0], "status") ? 5 : 0);
        if (i < 2)
            bed_assert_has(r.out.buf, "creating");
    }
    e2e_signal(&c, SIGTERM);
    assert_int_equal(e2e_code(&c, 30000), 130);
    bed_assert_clean(&bed);
}

/* A guest that goes at once: the whole of `stop`, its process included. The best of up to twelve,
 * since a test machine has other things to do. */
static void test_stop_waits_no_longer_than_the_guest(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_FC_LEASE_STOP_TIMEOUT", "10m");
    e2e_warmup("quick");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "quick");
    bed_assert_code(s, 0);
    assert_null(strstr(s.out.buf, "killed"));
    bed_setenv(&bed, "CRABBOX_FC_LEASE_STOP_TIMEOUT", NULL);
}

/* More than the host has: refused with figures before a record or anything else is made. */
static void test_refused_before_anything_is_touched(void **state)
{
    static const char *const scripts[] = {
        "exec \"$0\" warmup -q --memory 1048576",
        "ulimit -n 36; exec \"$0\" warmup -q",
    };
    static const char *const words[] = {"1048624 MiB", "ulimit -n"};
    static const int codes[] = {2, 1}; /* no host of this size can; this one can't now */
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", scripts[i],
                                                            bed.program);
        bed_assert_code(r, codes[i]);
        bed_assert_has(r.err.buf, words[i]);
        bed_assert_has(r.err.buf, "next: ");
        bed_assert_clean(&bed);
        _cleanup_free_ char *logs = xasprintf("%s/logs", bed.state);
        assert_int_equal(rmdir(logs), 0); /* empty: there never was a lease */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_sixty_four_at_once),
        E2E_TEST(test_one_slug_has_one_winner),
        E2E_TEST(test_made_up_slugs_never_clash),
        E2E_TEST(test_stop_waits_no_longer_than_the_guest),
        E2E_TEST(test_refused_before_anything_is_touched),
        E2E_TEST(test_looking_waits_for_nobody),
    };
    return E2E_MAIN(tests);
}
