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
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "first", "--no-sync",
                                                       "--", "cat", "/etc/hostname");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "crabbox-first");
    E2E_OK("stop", "first");
}

static void test_exit_codes_and_streams_pass_through(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int code;
    } cases[] = {
        {"exit 0", 0},
        {"exit 1", 1},
        {"exit 3", 3},
        {"exit 255", 255},
        {"kill -TERM $$", 128 + SIGTERM},
        {"kill -KILL $$", 128 + SIGKILL},
    };
    e2e_warmup("codes");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(
            &bed, "run", "--id", "codes", "--no-sync", "--", "sh", "-c", cases[i].script);
        bed_assert_code(r, cases[i].code);
    }
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("codes", "--", "sh", "-c",
                                                          "echo to-out; echo to-err >&2");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "to-out\n");
    bed_assert_has(r.err.buf, "to-err\n");
    e2e_stop("codes");
}

static void test_arguments_arrive_as_they_are(void **state)
{
    (void)state;
    e2e_warmup("args");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN(
        "args", "--", "printf", "<%s>", "a b", "", "$HOME", "it's", "\"q\"", "a\nb", "*", "\\");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "<a b><><$HOME><it's><\"q\"><a\nb><*><\\>");
    e2e_stop("args");
}

static void test_second_run_sees_what_the_first_left(void **state)
{
    (void)state;
    e2e_warmup("again");
    pid_t pid = e2e_vmm_pid("again");
    E2E_OK("run", "--id", "again", "--no-sync", "--", "sh", "-c", "echo kept > ~/file");
    _cleanup_bed_result_ struct bed_result b = E2E_RUN_IN("again", "--", "sh", "-c", "cat ~/file");
    bed_assert_code(b, 0);
    assert_string_equal(b.out.buf, "kept\n");
    assert_int_equal(e2e_vmm_pid("again"), pid);
    e2e_stop("again");
}

/* run with no lease makes one and takes it away again, whatever the command's code. */
static void test_run_without_a_lease(void **state)
{
    (void)state;
    E2E_CODE(42, "run", "--no-sync", "--", "sh", "-c", "exit 42");
    bed_assert_clean(&bed);
    E2E_OK("run", "--no-sync", "--keep", "--slug", "kept", "--", "true");
    (void)e2e_vmm_pid("kept");
    e2e_stop("kept");
}

static void test_stop_twice(void **state)
{
    (void)state;
    e2e_warmup("twice");
    e2e_stop("twice");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "stop", "twice");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "nothing to stop");
}

static void test_unknown_lease_is_4(void **state)
{
    (void)state;
    static const char *const verbs_with_ref[][4] = {
        {"status", "nobody", NULL}, {"ssh", "nobody", NULL}, {"logs", "nobody", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(verbs_with_ref); i++) {
        _cleanup_bed_result_ struct bed_result r = bed_run(&bed, verbs_with_ref[i]);
        bed_assert_code(r, 4);
        bed_assert_has(r.err.buf, "nobody");
    }
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "nobody", "--no-sync",
                                                       "--", "true");
    bed_assert_code(r, 4);
}

static void test_list_and_status(void **state)
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
        assert_string_equal(json_opt_string(row, "state", ""), "ready");
        assert_string_equal(json_opt_string(row, "provider", ""), "firecracker");
        const cJSON *vmm = cJSON_GetObjectItem(row, "vmm");
        assert_string_equal(json_opt_string(vmm, "backend", ""), "firecracker");
        assert_string_equal(json_opt_string(vmm, "accel", ""), "kvm");
        assert_string_equal(json_opt_string(vmm, "version", ""), "1.14.0");
    }
    _cleanup_bed_result_ struct bed_result t = BED_RUN(&bed, "list");
    bed_assert_code(t, 0);
    bed_assert_has(t.out.buf, "  SLUG  STATE  VMM              ADDRESS"); /* no wider than needed */
    bed_assert_has(t.out.buf, "  one   ready  firecracker/kvm  ");
    _cleanup_bed_result_ struct bed_result near = BED_RUN(&bed, "stop", "tow");
    bed_assert_code(near, 0);
    bed_assert_has(near.out.buf, "did you mean two?");
    e2e_stop("one");
    _cleanup_bed_result_ struct bed_result dead = BED_EXEC(
        &bed, "sh", "-c",
        "kill -9 $(\"$0\" status two --json | sed -n 's/.*\"pid\":[^0-9]*//p')\n"
        "while \"$0\" status two >/dev/null; do :; done; exec \"$0\" heartbeat two",
        bed.program);
    bed_assert_code(dead, 5);
    bed_assert_has(dead.err.buf, "lease two is dead");
    e2e_stop("two");
    _cleanup_bed_result_ struct bed_result none = BED_RUN(&bed, "list", "--json");
    bed_assert_code(none, 0);
    _cleanup_json_ cJSON *empty = e2e_json(&none);
    assert_int_equal(cJSON_GetArraySize(empty), 0);
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

static void test_slug_taken(void **state)
{
    (void)state;
    e2e_warmup("mine");
    pid_t pid = e2e_vmm_pid("mine");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "mine");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "mine");
    assert_int_equal(e2e_vmm_pid("mine"), pid);
    e2e_stop("mine");
}

/* The stock tools work with the lease's own ssh_config. */
static void test_stock_openssh(void **state)
{
    (void)state;
    e2e_warmup("stock");
    _cleanup_json_ cJSON *j = e2e_status("stock");
    const cJSON *ssh = cJSON_GetObjectItem(j, "ssh");
    const char *config = json_opt_string(ssh, "config", "");
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "ssh", "-F", config, "crabbox-stock",
                                                        "echo over-ssh; exit 5");
    bed_assert_code(r, 5);
    assert_string_equal(r.out.buf, "over-ssh\n");
    E2E_EXEC_OK("scp", "-q", "-F", config, "/etc/os-release", "crabbox-stock:copied");
    E2E_EXEC_OK("ssh", "-F", config, "crabbox-stock", "cmp copied /etc/os-release");
    _cleanup_bed_result_ struct bed_result p = BED_RUN(&bed, "ssh", "--print", "stock");
    bed_assert_code(p, 0);
    bed_assert_has(p.out.buf, config);
    E2E_CODE(6, "ssh", "stock", "exit", "6");
    e2e_stop("stock");
}

/* ---- sync ---- */

static void test_sync_of_a_git_tree(void **state)
{
    (void)state;
    e2e_shell("rm -rf * .git; git init -q .; printf 'out\\n' > .gitignore; mkdir -p sub out\n"
              "printf 'int main(void){return 7;}\\n' > sub/seven.c; echo no > out/ignored\n"
              "printf 'x' > 'a name with spaces'; ln -s sub/seven.c link; chmod +x sub/seven.c\n"
              "git add . && git -c user.name=t -c user.email=t@t commit -qm t\n"
              "echo new > untracked");
    e2e_warmup("sync");
    E2E_CODE(7, "run", "--id", "sync", "-q", "--", "sh", "-ec",
             "test -f untracked; test ! -e out/ignored; test -f 'a name with spaces'\n"
             "test -L link; test -x sub/seven.c; cc -o /tmp/seven sub/seven.c; exec /tmp/seven");
    e2e_shell("rm untracked; echo changed > 'a name with spaces'");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "run", "--id", "sync", "-q", "--",
                                                       "cat", "a name with spaces");
    bed_assert_code(s, 0);
    assert_string_equal(s.out.buf, "changed\n");
    e2e_stop("sync");
    e2e_shell("rm -rf .git * .gitignore");
}

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
        for (int k = 0; k < i; k++)
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
        E2E_TEST(test_exit_codes_and_streams_pass_through),
        E2E_TEST(test_arguments_arrive_as_they_are),
        E2E_TEST(test_second_run_sees_what_the_first_left),
        E2E_TEST(test_run_without_a_lease),
        E2E_TEST(test_stop_twice),
        E2E_TEST(test_unknown_lease_is_4),
        E2E_TEST(test_list_and_status),
        E2E_TEST(test_status_waits),
        E2E_TEST(test_slug_taken),
        E2E_TEST(test_stock_openssh),
        E2E_TEST(test_sync_of_a_git_tree),
        E2E_TEST(test_sync_plan),
        E2E_TEST(test_twenty_leases_leave_nothing),
        E2E_TEST(test_eight_at_once),
    };
    return E2E_MAIN(tests);
}
