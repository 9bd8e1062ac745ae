#include "e2e/provider_suite.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sys/file.h"

const struct suite *suite_of;

int suite_open(void **state)
{
    (void)e2e_open(state);
    (void)str_format(bed.program, sizeof bed.program, "%s/%s", bed.build, suite_of->program);
    return 0;
}

int suite_open_box(void **state)
{
    (void)suite_open(state);
    e2e_warmup("box");
    return 0;
}

int provider_suite(const struct suite *s)
{
    suite_of = s;
    return suite_life() + suite_run() + suite_files();
}

/* ---- a lease's life ---- */

static void test_warmup_says_what_there_is(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "--slug", "first");
    bed_assert_code(w, 0);
    bed_assert_has(w.out.buf, "leased cbx_");
    bed_assert_has(w.out.buf, "slug=first");
    bed_assert_has(w.out.buf, "ready ssh=crabbox@");
    bed_assert_has(w.out.buf, "warmup complete total=");
    _cleanup_bed_result_ struct bed_result n = E2E_RUN_IN("first", "--", "cat", "/etc/hostname");
    bed_assert_code(n, 0);
    bed_assert_has(n.out.buf, "crabbox-first");
    _cleanup_bed_result_ struct bed_result j = BED_RUN(&bed, "warmup", "--json", "--slug",
                                                       "second");
    bed_assert_code(j, 0);
    _cleanup_json_ cJSON *second = e2e_json(&j);
    assert_string_equal(json_opt_string(second, "slug", ""), "second");
    assert_string_equal(json_opt_string(second, "state", ""), "ready");
    assert_true(json_opt_i64(cJSON_GetObjectItem(second, "timing"), "totalUs", 0) > 0);
    e2e_stop("first");
    e2e_stop("second");
}

/* The members that scripts read. */
static void check_row(const cJSON *row)
{
    static const char *const texts[] = {"leaseId", "slug", "name", "workRoot"};
    static const char *const ways[] = {"user", "key", "config", "configHost", "hostKey"};
    const cJSON *ssh = cJSON_GetObjectItem(row, "ssh");
    assert_string_equal(json_opt_string(row, "state", ""), "ready");
    assert_string_equal(json_opt_string(row, "provider", ""), suite_of->provider);
    assert_string_equal(json_opt_string(row, "endedBy", ""), "keeper");
    assert_true(json_opt_i64(row, "expiresAtUnix", 0) > json_opt_i64(row, "createdAtUnix", 0));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_true(*json_opt_string(row, texts[i], ""));
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        assert_true(*json_opt_string(ssh, ways[i], ""));
    assert_true(cJSON_IsObject(cJSON_GetObjectItem(row, "machine")));
    assert_string_equal(json_opt_string(cJSON_GetObjectItem(row, "labels"), "provider", ""),
                        suite_of->provider);
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
    cJSON_ArrayForEach(row, rows) check_row(row);
    _cleanup_bed_result_ struct bed_result t = BED_RUN(&bed, "list");
    bed_assert_code(t, 0);
    bed_assert_has(t.out.buf, "  one   ready  ");
    _cleanup_json_ cJSON *one = e2e_status("one");
    check_row(one);
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "status", "one");
    bed_assert_code(s, 0);
    bed_assert_has(s.out.buf, "state     ready\n");
    _cleanup_bed_result_ struct bed_result near = BED_RUN(&bed, "stop", "tow");
    bed_assert_code(near, 4);
    bed_assert_has(near.err.buf, "did you mean two?");
    e2e_stop("one");
    e2e_stop("two");
    _cleanup_bed_result_ struct bed_result none = BED_RUN(&bed, "list", "--json");
    bed_assert_code(none, 0);
    _cleanup_json_ cJSON *empty = e2e_json(&none);
    assert_int_equal(cJSON_GetArraySize(empty), 0);
}

/* Its record is one that doctor can read, so neither it nor what belongs to it is an orphan. */
static void test_doctor_knows_the_lease(void **state)
{
    (void)state;
    e2e_warmup("known");
    e2e_shell("\"$0\" doctor --json >doctor.json || :\n"
              "jq -e '.checks[] | select(.check == \"orphans\") | .status == \"ok\" and "
              ".details.records == \"1\"' doctor.json >/dev/null || { cat doctor.json; exit 1; }");
    e2e_stop("known");
}

static void test_stop_twice(void **state)
{
    (void)state;
    e2e_warmup("twice");
    e2e_stop("twice");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "stop", "twice");
    bed_assert_code(r, 4);
    bed_assert_has(r.err.buf, "twice");
    _cleanup_bed_result_ struct bed_result j = BED_RUN(&bed, "stop", "--json", "twice");
    bed_assert_code(j, 4);
    bed_assert_has(j.out.buf, "\"absent\"");
    _cleanup_bed_result_ struct bed_result ok = BED_RUN(&bed, "stop", "--missing-ok", "twice");
    bed_assert_code(ok, 0);
    bed_assert_has(ok.out.buf, "nothing to stop");
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

static void test_slug_taken(void **state)
{
    (void)state;
    e2e_warmup("mine");
    _cleanup_json_ cJSON *mine = e2e_status("mine");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--json", "--slug", "mine");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "another lease is called mine, so this one is called mine-");
    _cleanup_json_ cJSON *other = e2e_json(&r);
    assert_string_not_equal(json_opt_string(mine, "leaseId", ""),
                            json_opt_string(other, "leaseId", ""));
    const char *slug = json_opt_string(other, "slug", "");
    assert_int_equal(strlen(slug), strlen("mine-0123"));
    assert_true(str_has_prefix(slug, "mine-"));
    e2e_stop(slug);
    e2e_stop("mine");
}

/* run with no lease makes one and takes it away again, whatever the command's code. */
static void test_run_without_a_lease(void **state)
{
    (void)state;
    E2E_CODE(42, "run", "--no-sync", "--", "sh", "-c", "exit 42");
    bed_assert_clean(&bed);
    E2E_OK("run", "--no-sync", "--keep", "--slug", "kept", "--", "true");
    E2E_OK("status", "kept");
    e2e_stop("kept");
}

/* The stock tools work with the lease's own ssh_config. */
static void test_stock_openssh(void **state)
{
    (void)state;
    e2e_warmup("stock");
    _cleanup_json_ cJSON *j = e2e_status("stock");
    const cJSON *ssh = cJSON_GetObjectItem(j, "ssh");
    const char *config = json_opt_string(ssh, "config", "");
    _cleanup_free_ char *rsh = xasprintf("ssh -F %s", config);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "ssh", "-F", config, "crabbox-stock",
                                                        "echo over-ssh; exit 5");
    bed_assert_code(r, 5);
    assert_string_equal(r.out.buf, "over-ssh\n");
    E2E_EXEC_OK("scp", "-q", "-F", config, "/etc/os-release", "crabbox-stock:copied");
    E2E_EXEC_OK("ssh", "-F", config, "crabbox-stock", "cmp copied /etc/os-release");
    E2E_EXEC_OK("rsync", "-qL", "-e", rsh, "/etc/os-release", "crabbox-stock:synced");
    E2E_EXEC_OK("ssh", "-F", config, "crabbox-stock", "cmp synced /etc/os-release");
    _cleanup_bed_result_ struct bed_result p = BED_RUN(&bed, "ssh", "--print", "stock");
    bed_assert_code(p, 0);
    bed_assert_has(p.out.buf, config);
    E2E_CODE(6, "ssh", "stock", "exit", "6");
    e2e_stop("stock");
}

/* ---- time ---- */

static void wait_until_gone(const char *slug)
{
    e2e_wait_until_none();
    assert_false(e2e_there(slug));
}

/* The path of the state stands in ssh's configuration, in a command that the user's shell reads,
 * and in messages. What can't stand there is refused before anything is made. */
static void test_an_odd_place_for_the_state(void **state)
{
    (void)state;
    e2e_shell("up=$(dirname \"$PWD\"); d=\"$up/it's a #1 100%d \\$HOME *&;(x)\"; P=$0\n"
              "export CRABBOX_FC_STATE_DIR=\"$d\"\n"
              "\"$P\" warmup -q --slug odd\n"
              "[ \"$(\"$P\" run --id odd --no-sync -q -- echo ran)\" = ran ]\n"
              "[ \"$(\"$P\" ssh odd echo by ssh)\" = 'by ssh' ]\n"
              "[ \"$(eval \"$(\"$P\" ssh --print odd)\" echo printed)\" = printed ]\n"
              "echo text >here; \"$P\" cp here odd:there; \"$P\" cp odd:there back; cmp here back\n"
              "scp -q -F \"$d\"/leases/cbx_*/ssh_config crabbox-odd:there again; cmp here again\n"
              "\"$P\" logs odd >/dev/null; \"$P\" stop -q odd\n"
              "rm -r here back again \"$d\"\n"
              "for bad in 'a\"b' 'a\\b' 'a\nb' 'a${HOME}b'; do\n"
              "    bad=$up/$(printf \"${bad%%\\\\b}\"); case $bad in */a) bad=$bad\\\\b ;; esac\n"
              "    code=0; CRABBOX_FC_STATE_DIR=$bad \"$P\" warmup 2>err || code=$?\n"
              "    [ $code = 2 ] && grep -q \"can't be told of\" err && [ ! -e \"$bad\" ]\n"
              "done; rm err");
}

static void test_ttl_is_over(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "short", "--ttl", "4s");
    assert_true(e2e_there("short"));
    wait_until_gone("short");
}

static void test_heartbeat_extends(void **state)
{
    (void)state;
    int64_t start = clock_boot_ms();
    E2E_OK("warmup", "-q", "--slug", "touched", "--idle-timeout", "3s");
    while (clock_boot_ms() - start < 6000) {
        E2E_OK("heartbeat", "touched");
        (void)poll(NULL, 0, 500);
    }
    assert_true(e2e_there("touched"));
    wait_until_gone("touched");
}

/* ---- deaths ---- */

/* A run in a lease of its own, once its command runs. */
static struct child start_run(const char *slug, const char *idle)
{
    int out[2];
    char byte;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct child c = BED_START(&bed, out[1], "run", "--slug", slug, "--idle-timeout", idle,
                               "--no-sync", "-q", "--", "sh", "-c", "echo x; sleep 60");
    (void)close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    (void)close(out[0]);
    return c;
}

/* The program that made the lease and works in it is killed; the lease's time ends all the same. */
static void test_death_of_the_maker(void **state)
{
    (void)state;
    struct child c = start_run("orphan", "3s");
    e2e_signal(&c, SIGKILL);
    assert_true(e2e_wait(&c, 60000).signalled);
    assert_true(e2e_there("orphan"));
    wait_until_gone("orphan");
}

/* Ctrl-C during a run of its own lease releases the lease. */
static void test_interrupt_of_a_run(void **state)
{
    (void)state;
    struct child c = start_run("own", "10m");
    e2e_signal(&c, SIGINT);
    assert_int_equal(e2e_code(&c, 30000), 130);
    bed_assert_clean(&bed);
}

/* Half-way through a warmup: Ctrl-C rolls back, and after a kill -9 the keeper does. */
static void test_end_of_a_warmup(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        bed_setenv(&bed, "CRABBOX_STANDIN_GUEST", "deaf");
        struct child c = e2e_warmup_stuck("stuck");
        e2e_signal(&c, signals[i]);
        struct exit_status st = e2e_wait(&c, 30000);
        bed_clear_faults(&bed);
        if (signals[i] == SIGKILL)
            e2e_wait_until_none();
        else
            assert_true(st.exited && st.code == 130);
        bed_assert_clean(&bed);
        e2e_warmup("stuck"); /* its name is free again */
        e2e_stop("stuck");
    }
}

/* At any moment of it. One that was ready by then ends at its expiry. */
static void test_sudden_death_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", "sudden", "--ttl", "2s");
        struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
        (void)poll(&p, 1, i * 10);
        e2e_signal(&c, SIGKILL);
        (void)e2e_wait(&c, 60000);
        e2e_wait_until_none();
    }
}

/* And at random moments of a removal. */
static void test_sudden_death_of_a_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        e2e_warmup("halfway");
        struct child c = BED_START(&bed, -1, "stop", "halfway");
        struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
        (void)poll(&p, 1, 2 + i * 3);
        e2e_signal(&c, SIGKILL);
        (void)e2e_wait(&c, 60000);
        /* Killed before it had begun, it has changed nothing. */
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "status", "halfway");
        if (r.st.exited && r.st.code == 0)
            e2e_stop("halfway");
        e2e_wait_until_none();
    }
}

static void wait_until_dead(const char *slug)
{
    struct deadline d = deadline_in_ms(60000);
    for (;;) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "status", slug);
        if (!r.st.exited || r.st.code != 0) {
            bed_assert_code(r, 5);
            bed_assert_has(r.out.buf, "state     dead");
            return;
        }
        if (deadline_passed(&d))
            fail_msg("%s is not called dead", slug);
    }
}

static void in_dead_lease(const char *const *args)
{
    _cleanup_bed_result_ struct bed_result r = bed_run(&bed, args);
    bed_assert_code(r, 5);
    bed_assert_has(r.err.buf, "lease gone is dead");
}
#define IN_DEAD_LEASE(...) in_dead_lease((const char *const[]){__VA_ARGS__, NULL})

static void test_a_machine_that_is_gone(void **state)
{
    (void)state;
    e2e_warmup("gone");
    suite_of->kill_machine("gone");
    wait_until_dead("gone");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "  gone  dead   ");
    IN_DEAD_LEASE("run", "--id", "gone", "--no-sync", "--", "true");
    IN_DEAD_LEASE("heartbeat", "gone");
    IN_DEAD_LEASE("cp", "/etc/os-release", "gone:");
    IN_DEAD_LEASE("ssh", "gone", "true");
    IN_DEAD_LEASE("tunnel", "-L", "8080", "gone");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup");
    bed_assert_code(c, 0);
    bed_assert_has(c.out.buf, "the machine is gone");
    assert_false(e2e_there("gone"));
    bed_assert_clean(&bed);
    /* A kept one stays until somebody stops it. */
    E2E_OK("warmup", "-q", "--slug", "gone", "--keep");
    suite_of->kill_machine("gone");
    wait_until_dead("gone");
    E2E_OK("cleanup");
    E2E_CODE(5, "status", "gone");
    e2e_stop("gone");
}

static void test_a_machine_that_goes_under_a_command(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    struct strbuf said = STRBUF_INIT;
    struct error err = ERROR_INIT;
    e2e_warmup("under");
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const char *const argv[] = {
        "sh", "-c",
        "\"$0\" run --id under --no-sync -q --timing-json -- sh -c 'echo x; sleep 60' 2>&1",
        bed.program, NULL};
    _cleanup_close_ int cwd = open(bed.work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child c;
    spec.argv = argv;
    spec.envp = (const char *const *)bed.env;
    spec.cwd_fd = cwd;
    spec.stdout_fd = fds[1];
    assert_int_equal(spawn(&spec, &c, &err), 0);
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    suite_of->kill_machine("under");
    assert_int_equal(fd_read_all(fds[0], 1 << 20, "its output", &said, &err), 0);
    (void)close(fds[0]);
    assert_int_equal(e2e_code(&c, 30000), 1);
    bed_assert_has(said.buf, "the machine ended");
    bed_assert_has(said.buf, "\"cause\":\"vmm\"");
    strbuf_free(&said);
    e2e_stop("under");
}

int suite_life(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_warmup_says_what_there_is),
        E2E_TEST(test_list_and_status),
        E2E_TEST(test_doctor_knows_the_lease),
        E2E_TEST(test_stop_twice),
        E2E_TEST(test_unknown_lease_is_4),
        E2E_TEST(test_slug_taken),
        E2E_TEST(test_run_without_a_lease),
        E2E_TEST(test_stock_openssh),
        E2E_TEST(test_an_odd_place_for_the_state),
        E2E_TEST(test_ttl_is_over),
        E2E_TEST(test_heartbeat_extends),
        E2E_TEST(test_death_of_the_maker),
        E2E_TEST(test_interrupt_of_a_run),
        E2E_TEST(test_end_of_a_warmup),
        E2E_TEST(test_sudden_death_at_any_moment),
        E2E_TEST(test_sudden_death_of_a_stop),
        E2E_TEST(test_a_machine_that_is_gone),
        E2E_TEST(test_a_machine_that_goes_under_a_command),
    };
    return E2E_GROUP(tests, suite_open, e2e_close);
}
