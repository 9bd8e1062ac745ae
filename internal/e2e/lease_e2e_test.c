/* Whole leases: the program, its firecracker backend, the stand-in VMM, a real SSH server. */
#include <signal.h>
#include <string.h>

#include "e2e/e2e.h"

/* ---- the plain path ---- */

/* One lease with all that it prints. How fast it is, `make bench` says. */
static void test_warmup_run_stop(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "--slug", "first");
    bed_assert_code(w, 0);
    bed_assert_has(w.out.buf, "leased cbx_");
    bed_assert_has(w.out.buf, "slug=first");
    bed_assert_has(w.out.buf, "ready ssh=crabbox@");
    bed_assert_has(w.out.buf, "warmup complete total=");
    bed_assert_has(w.err.buf,
                   "its isolation is degraded: the VMM is not confined (sandbox: false)");
    bed_assert_has(w.err.buf, "it ends after 30m0s without use, and after 1h30m0s even in use");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "first", "--no-sync",
                                                       "--", "cat", "/etc/hostname");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "crabbox-first");
    E2E_OK("stop", "first");
}

static void test_what_is_said_of_the_vmm(void **state)
{
    (void)state;
    e2e_warmup("one");
    e2e_warmup("two");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list", "--json");
    bed_assert_code(r, 0);
    _cleanup_json_ cJSON *rows = e2e_json(&r);
    assert_int_equal(cJSON_GetArraySize(rows), 2);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        assert_string_equal(json_opt_string(row, "provider", ""), "firecracker");
        const cJSON *vmm = cJSON_GetObjectItem(row, "vmm");
        assert_string_equal(json_opt_string(vmm, "backend", ""), "firecracker");
        assert_string_equal(json_opt_string(vmm, "accel", ""), "kvm");
        assert_string_equal(json_opt_string(vmm, "version", ""), "1.14.0");
        assert_string_equal(json_opt_string(vmm, "isolation", ""), "degraded");
        bed_assert_has(json_opt_string(vmm, "lacks", ""),
                       "the VMM is not confined (sandbox: false)");
    }
    _cleanup_bed_result_ struct bed_result t = BED_RUN(&bed, "list");
    bed_assert_code(t, 0);
    bed_assert_has(t.out.buf,
                   "  SLUG  STATE  VMM                         ADDRESS"); /* no wider than needed */
    bed_assert_has(t.out.buf, "  one   ready  firecracker/kvm (degraded)  ");
    e2e_stop("one");
    e2e_stop("two");
}

/* Starts a warmup and holds it while it makes the lease. */
static struct child warmup_held(const char *slug)
{
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", "PUT /actions");
    struct child c = e2e_warmup_stuck(slug);
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", NULL);
    e2e_signal(&c, SIGSTOP);
    return c;
}

/* Who interrupts it wants to know whether something is left. */
static void test_interrupted_warmup_says_what_is_left(void **state)
{
    (void)state;
    static const char script[] = "\"$0\" warmup --slug gone 2>err & w=$!\n"
                                 "until \"$0\" list | grep -q creating; do sleep 0.05; done\n"
                                 "kill -TERM $w; wait $w; code=$?; cat err >&2; exit $code";
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", "PUT /actions");
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program);
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", NULL);
    bed_assert_code(r, 130);
    bed_assert_has(r.err.buf, "the lease is removed");
}

static void test_status_waits(void **state)
{
    (void)state;
    e2e_warmup("ready");
    _cleanup_bed_result_ struct bed_result now = BED_RUN(&bed, "status", "--wait", "ready");
    bed_assert_code(now, 0);
    bed_assert_has(now.out.buf, "ready");
    e2e_stop("ready");
    struct child c = warmup_held("never");
    _cleanup_bed_result_ struct bed_result look = BED_RUN(&bed, "status", "never");
    bed_assert_code(look, 5);
    bed_assert_has(look.out.buf, "creating");
    _cleanup_bed_result_ struct bed_result late = BED_RUN(&bed, "status", "--wait-timeout", "300ms",
                                                          "never");
    bed_assert_code(late, 5);
    bed_assert_has(late.err.buf, "lease never is creating");
    _cleanup_bed_result_ struct bed_result early = BED_RUN(&bed, "run", "--id", "never", "true");
    bed_assert_code(early, 5);
    bed_assert_has(early.err.buf, "next: crabbox-fc status --wait never");
    struct child waits = BED_START(&bed, -1, "status", "--wait", "never");
    e2e_signal(&c, SIGTERM);
    e2e_signal(&c, SIGCONT);
    assert_int_equal(e2e_code(&c, 30000), 130);
    int code = e2e_code(&waits, 30000);
    assert_true(code == 5 || code == 4); /* 4: it began to look when all was over */
    /* One that becomes ready: held by its tap, let go while somebody waits. */
    struct child soon = e2e_warmup_stuck("soon");
    e2e_signal(&soon, SIGSTOP);
    struct child then = BED_START(&bed, -1, "status", "--wait", "soon");
    e2e_signal(&soon, SIGCONT);
    assert_int_equal(e2e_code(&then, 30000), 0);
    assert_int_equal(e2e_code(&soon, 30000), 0);
    e2e_stop("soon");
    E2E_CODE(4, "status", "--wait", "soon");
    E2E_CODE(2, "status", "--wait-timeout", "x", "y");
}

/* ---- sync ---- */

/* The plan names exactly what a sync would take, and makes no lease. */
static void test_sync_plan(void **state)
{
    (void)state;
    e2e_shell("rm -rf * .git; git init -q .; printf 'out\\n' > .gitignore; mkdir out\n"
              "echo no > out/ignored; printf 'abc' > three; printf x > \"$(printf 'bell\\007')\"");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--sync-plan");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "           4 .gitignore\n");
    bed_assert_has(r.out.buf, "           3 three\n");
    bed_assert_has(r.out.buf, "           1 bell\\x07\n");
    assert_null(strstr(r.out.buf, "ignored\n"));
    bed_assert_has(r.err.buf, "3 files, 8 bytes");
    e2e_shell("git add three; git -c user.name=x -c user.email=x@x commit -qm c");
    _cleanup_bed_result_ struct bed_result g = BED_RUN(&bed, "run", "--sync-plan");
    bed_assert_has(g.err.buf, "its repository would go too (--git shallow): ");
    _cleanup_bed_result_ struct bed_result n = BED_RUN(&bed, "run", "--sync-plan", "--git", "none");
    assert_null(strstr(n.err.buf, "its repository"));
    /* What can't be sent is told in any form of the plan. */
    e2e_shell("git init -q n");
    static const char *const forms[] = {"-q", "--json"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "run", "--sync-plan", forms[i]);
        bed_assert_code(w, 0);
        bed_assert_has(w.err.buf, "not synced: the repository n, which is not a submodule");
    }
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_has(l.out.buf, "no leases");
    e2e_shell("rm -rf .git * .gitignore");
}

/* ---- many ---- */

static void test_twenty_leases_leave_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        E2E_OK("run", "--no-sync", "-q", "--", "true");
    }
    bed_assert_clean(&bed);
}

/* Eight at once: addresses, links and slugs are decided by the kernel, nobody loses. */
static void test_eight_at_once(void **state)
{
    (void)state;
    enum { N = 8 };
    struct child c[N];
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    struct exit_status st;
    for (int i = 0; i < N; i++)
        c[i] = BED_START(&bed, -1, "warmup", "-q");
    for (int i = 0; i < N; i++) {
        assert_int_equal(child_wait(&c[i], &d, &st, &err), 0);
        assert_true(st.exited);
        assert_int_equal(st.code, 0);
    }
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list", "--json");
    _cleanup_json_ cJSON *rows = e2e_json(&r);
    assert_int_equal(cJSON_GetArraySize(rows), N);
    for (int i = 0; i < N; i++) {
        const cJSON *row = cJSON_GetArrayItem(rows, i);
        const char *host = json_opt_string(cJSON_GetObjectItem(row, "ssh"), "host", "");
        /* Without root all have one address, each in a namespace of its own. */
        for (int k = 0; k < i && bed.user.uid == 0; k++)
            assert_string_not_equal(
                json_opt_string(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, k), "ssh"), "host",
                                ""),
                host);
        c[i] = BED_START(&bed, -1, "stop", json_opt_string(row, "leaseId", ""));
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(child_wait(&c[i], &d, &st, &err), 0);
        assert_int_equal(st.code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_warmup_run_stop),
        E2E_TEST(test_what_is_said_of_the_vmm),
        E2E_TEST(test_interrupted_warmup_says_what_is_left),
        E2E_TEST(test_status_waits),
        E2E_TEST(test_sync_plan),
        E2E_TEST(test_twenty_leases_leave_nothing),
        E2E_TEST(test_eight_at_once),
    };
    return E2E_MAIN(tests);
}
