/* What scripts and configuration files made for Crabbox rely on: they work here as they are. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "lease/store.h"

#define ROUTED "--provider", "firecracker", "--target", "linux"

static void write_config(const char *text)
{
    e2e_write_file(".crabbox-fc.yaml", text, strlen(text));
}

static void drop_config(void)
{
    e2e_shell("rm .crabbox-fc.yaml");
}

static void test_every_verb_takes_provider_and_target(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "a", ROUTED);
    E2E_OK("run", ROUTED, "--id", "a", "--no-sync", "-q", "--", "true");
    E2E_OK("status", ROUTED, "a");
    E2E_OK("ssh", ROUTED, "--print", "a");
    E2E_OK("cp", ROUTED, "a:/etc/hostname", ".");
    E2E_OK("logs", ROUTED, "a");
    E2E_OK("heartbeat", ROUTED, "a");
    E2E_OK("list", ROUTED);
    E2E_OK("cleanup", ROUTED);
    E2E_OK("config", "show", ROUTED);
    E2E_OK("stop", "--provider", "crabbox-fc", "--target=linux", "a");
    e2e_shell("rm hostname");
    _cleanup_bed_result_ struct bed_result aws = BED_RUN(&bed, "warmup", "--provider", "aws");
    bed_assert_code(aws, 2);
    bed_assert_has(aws.err.buf, "provider is \"aws\", not one of: firecracker|crabbox-fc");
    _cleanup_bed_result_ struct bed_result mac = BED_RUN(&bed, "list", "--target", "macos");
    bed_assert_code(mac, 2);
    bed_assert_has(mac.err.buf, "target is \"macos\"");
    bed_setenv(&bed, "CRABBOX_PROVIDER", "hetzner");
    E2E_CODE(2, "list");
    bed_setenv(&bed, "CRABBOX_PROVIDER", "firecracker");
    E2E_OK("list");
    bed_setenv(&bed, "CRABBOX_PROVIDER", NULL);
}

static void test_its_configuration_is_read(void **state)
{
    (void)state;
    write_config("provider: firecracker\ntarget: linux\nfirecracker:\n  cpus: 2\n");
    E2E_OK("list");
    write_config("provider: aws\n");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "yaml:1:11: \"provider\" is \"aws\", not one of");
    drop_config();
}

static void test_doctor_reports_a_wrong_configuration(void **state)
{
    (void)state;
    write_config("nonsense: 1\n");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "doctor", "--provider", "firecracker",
                                                       "--json");
    bed_assert_code(r, 1);
    _cleanup_json_ cJSON *j = e2e_json(&r);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(j, "ok")));
    const cJSON *check = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "checks"), 0);
    assert_string_equal(json_opt_string(check, "status", ""), "failed");
    assert_string_equal(json_opt_string(check, "check", ""), "config");
    bed_assert_has(json_opt_string(check, "message", ""), "yaml:1:1: unknown key");
    const cJSON *details = cJSON_GetObjectItem(check, "details");
    assert_string_equal(json_opt_string(details, "class", ""), "configuration_incomplete");
    assert_string_equal(json_opt_string(details, "mutation", ""), "false");
    assert_non_null(cJSON_GetObjectItem(details, "fix"));
    E2E_CODE(2, "doctor");
    drop_config();
    E2E_CODE(1, "doctor", "--json", "--firecracker-cpus=0");
}

/* As Go's flags: one dash, and booleans with a word. */
static void test_spellings(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "-slug", "go", "-ttl=20m", "--keep=false");
    _cleanup_json_ cJSON *j = e2e_status("go");
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(j, "keep")));
    E2E_OK("stop", "-id", "go");
    E2E_OK("warmup", "-q", "-slug", "go", "--keep=true");
    _cleanup_json_ cJSON *kept = e2e_status("go");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(kept, "keep")));
    E2E_OK("stop", "go");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--keep=maybe");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "=true or =false");
    E2E_CODE(2, "warmup", "-nosuch");
    E2E_CODE(2, "run", "--no-sync", "--", "");
    E2E_OK("-V");
    _cleanup_bed_result_ struct bed_result v = BED_RUN(&bed, "-v");
    bed_assert_code(v, 2);
    bed_assert_has(v.err.buf, "-v is not a verb, and options come after the verb" BED_NEXT);
    _cleanup_bed_result_ struct bed_result slug = BED_RUN(&bed, "warmup", "--slug", "My Slug!");
    bed_assert_code(slug, 0);
    bed_assert_has(slug.err.buf, "the slug \"My Slug!\" becomes my-slug\n");
    e2e_stop("my-slug");
}

static const char *text_of(const cJSON *j, const char *key)
{
    const char *text = json_opt_string(j, key, NULL);
    if (!text)
        fail_msg("no text \"%s\"", key);
    return text;
}

/* "2026-11-22T05:40:00Z" */
static void assert_utc(const cJSON *j, const char *key)
{
    const char *t = text_of(j, key);
    assert_int_equal(strlen(t), 20);
    assert_true(t[4] == '-' && t[10] == 'T' && t[19] == 'Z');
}

static void test_json_that_scripts_read(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "--slug", "j",
                                                       "--timing-json", "--idle-timeout", "20m");
    bed_assert_code(w, 0);
    bed_assert_has(w.out.buf, " slug=j provider=firecracker server=crabbox-j-");
    bed_assert_has(w.out.buf, " idle_timeout=20m0s expires=2");
    bed_assert_has(w.out.buf, " network=public workroot=/work/crabbox");
    _cleanup_json_ cJSON *t = e2e_timing(&w);
    assert_string_equal(text_of(t, "runStatus"), "succeeded");
    assert_int_equal(json_opt_i64(t, "exitCode", -1), 0);
    assert_true(json_opt_i64(t, "endToEndMs", -1) >= 0);

    _cleanup_json_ cJSON *s = e2e_status("j");
    assert_string_equal(text_of(s, "id"), text_of(s, "leaseId"));
    assert_string_equal(text_of(s, "state"), "ready");
    assert_string_equal(text_of(s, "sshHost"), text_of(s, "host"));
    assert_string_equal(text_of(s, "sshPort"), "22");
    assert_string_equal(text_of(s, "sshUser"), "crabbox");
    assert_int_equal(access(text_of(s, "sshKey"), R_OK), 0);
    assert_string_equal(text_of(s, "network"), "public");
    assert_string_equal(text_of(s, "idleTimeout"), "20m0s");
    assert_utc(s, "lastTouchedAt");
    assert_utc(s, "expiresAt");
    assert_true(json_opt_i64(s, "expiresAtUnix", 0) > json_opt_i64(s, "lastTouchedAtUnix", 0));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(s, "hasHost")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(s, "ready")));

    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list", "--json");
    _cleanup_json_ cJSON *rows = e2e_json(&l);
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    assert_string_equal(text_of(row, "status"), "ready");
    assert_string_equal(text_of(row, "CloudID"), text_of(row, "name"));
    const cJSON *v4 = cJSON_GetObjectItem(cJSON_GetObjectItem(row, "public_net"), "ipv4");
    assert_string_equal(text_of(v4, "ip"), text_of(s, "host"));

    _cleanup_bed_result_ struct bed_result h = BED_RUN(&bed, "heartbeat", "--json", "j");
    _cleanup_json_ cJSON *beat = e2e_json(&h);
    assert_string_equal(text_of(beat, "id"), text_of(s, "id"));
    assert_string_equal(text_of(beat, "slug"), "j");
    assert_string_equal(text_of(beat, "state"), "ready");
    assert_utc(beat, "expiresAt");
    e2e_stop("j");
}

/* The line of --timing-json of a run in "t". */
static cJSON *timing_of(int code, const char *script)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "t", "-q",
                                                       "--timing-json", "--", "sh", "-c", script);
    bed_assert_code(r, code);
    return e2e_timing(&r);
}

static void test_words_of_a_run(void **state)
{
    (void)state;
    e2e_write_file("file", "x", 1);
    e2e_warmup("t");
    _cleanup_json_ cJSON *good = timing_of(0, "true");
    assert_string_equal(text_of(good, "runStatus"), "succeeded");
    assert_string_equal(text_of(good, "errorKind"), "");
    assert_string_equal(text_of(good, "outcome"), "exited");
    assert_string_equal(text_of(good, "stopCommand"), "crabbox-fc stop --id t");
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(good, "syncSkipped")));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(good, "leaseStopped")));
    assert_true(json_opt_i64(good, "endToEndMs", -1) >= json_opt_i64(good, "commandMs", -1));
    _cleanup_json_ cJSON *bad = timing_of(3, "exit 3");
    assert_string_equal(text_of(bad, "runStatus"), "failed");
    assert_string_equal(text_of(bad, "errorKind"), "command-exit");
    assert_int_equal(json_opt_i64(bad, "exitCode", 0), 3);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(bad, "syncSkipped")));
    _cleanup_free_ char *end = xasprintf("/work/crabbox/%s/", text_of(bad, "leaseId"));
    bed_assert_has(text_of(bad, "workdir"), end);
    e2e_stop("t");
    e2e_shell("rm file");
    _cleanup_bed_result_ struct bed_result gone = BED_RUN(&bed, "run", "--id", "t", "-q",
                                                          "--no-sync", "--timing-json", "--", "x");
    bed_assert_code(gone, 4);
    _cleanup_json_ cJSON *j = e2e_timing(&gone);
    assert_string_equal(text_of(j, "errorKind"), "provider-error");
    assert_string_equal(text_of(j, "cause"), "not_found");
}

/* What a lease of this slug remembers. */
#define MARK  "touch /tmp/mark"
#define FRESH "! test -e /tmp/mark"

static void test_a_slug_shares_no_machine_unless_asked(void **state)
{
    (void)state;
    E2E_OK("run", "-q", "--no-sync", "--keep", "--slug", "ci", "--shell", MARK);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "-q", "--no-sync", "--slug",
                                                       "ci", "--shell", FRESH);
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "another lease is called ci, so this one is called ci-");
    E2E_OK("run", "-q", "--no-sync", "--slug", "ci", "--reuse", "--shell", "test -e /tmp/mark");
    E2E_OK("run", "-q", "--no-sync", "--id", "ci", "--shell", "test -e /tmp/mark");
    e2e_stop("ci");
    E2E_OK("run", "-q", "--no-sync", "--slug", "ci", "--reuse", "--shell", FRESH);
    E2E_CODE(2, "run", "--no-sync", "--reuse", "--", "true");
    E2E_CODE(2, "run", "--no-sync", "--id", "a", "--slug", "b", "--", "true");
}

static void test_heartbeat_sets_the_idle_time(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "beat", "--idle-timeout", "10m");
    _cleanup_json_ cJSON *before = e2e_status("beat");
    E2E_OK("heartbeat", "--idle-timeout", "60m", "beat");
    _cleanup_json_ cJSON *after = e2e_status("beat");
    assert_string_equal(text_of(after, "idleTimeout"), "1h0m0s");
    assert_true(json_opt_i64(after, "expiresAtUnix", 0) -
                    json_opt_i64(before, "expiresAtUnix", 0) >=
                50 * 60);
    E2E_OK("heartbeat", "beat");
    _cleanup_json_ cJSON *then = e2e_status("beat");
    assert_string_equal(text_of(then, "idleTimeout"), "1h0m0s");
    _cleanup_bed_result_ struct bed_result idle = BED_RUN(&bed, "heartbeat", "beat");
    assert_null(strstr(idle.out.buf, "lease.ttl"));
    _cleanup_bed_result_ struct bed_result ttl = BED_RUN(&bed, "heartbeat", "--idle-timeout", "5h",
                                                         "beat");
    bed_assert_has(ttl.out.buf, "m, when its lifetime (lease.ttl) is over\n");
    e2e_stop("beat");
}

static void test_its_variables(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_TTL", "40m");
    bed_setenv(&bed, "CRABBOX_IDLE_TIMEOUT", "7m");
    bed_setenv(&bed, "CRABBOX_ENV_ALLOW", "HELLO,CI");
    bed_setenv(&bed, "CRABBOX_WORK_ROOT", "/work/there");
    bed_setenv(&bed, "CRABBOX_PROFILE", "x");
    bed_setenv(&bed, "CRABBOX_SYNC_CHECKSUM", "1");
    bed_setenv(&bed, "HELLO", "world");
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "-q", "--slug", "v");
    bed_assert_code(w, 0);
    bed_assert_has(w.err.buf, "have no effect here: ");
    bed_assert_has(w.err.buf, "CRABBOX_PROFILE");
    bed_assert_has(w.err.buf, "CRABBOX_SYNC_CHECKSUM");
    bed_assert_has(w.out.buf, " workroot=/work/there ");
    _cleanup_json_ cJSON *j = e2e_status("v");
    assert_string_equal(text_of(j, "idleTimeout"), "7m0s");
    assert_string_equal(text_of(cJSON_GetObjectItem(j, "labels"), "ttl_secs"), "2400");
    E2E_OK("run", "-q", "--no-sync", "--id", "v", "--shell", "test \"$HELLO\" = world");
    /* Ours are stronger. */
    bed_setenv(&bed, "CRABBOX_FC_LEASE_TTL", "50m");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "config", "show");
    bed_assert_has(c.out.buf, "env:CRABBOX_FC_LEASE_TTL");
    bed_assert_has(c.out.buf, "env:CRABBOX_IDLE_TIMEOUT");
    _cleanup_bed_result_ struct bed_result wordless = BED_RUN(&bed, "config");
    bed_assert_code(wordless, 0);
    assert_string_equal(wordless.out.buf, c.out.buf);
    e2e_stop("v");
    static const char *const set[] = {"CRABBOX_TTL",
                                      "CRABBOX_IDLE_TIMEOUT",
                                      "CRABBOX_ENV_ALLOW",
                                      "CRABBOX_WORK_ROOT",
                                      "CRABBOX_PROFILE",
                                      "CRABBOX_SYNC_CHECKSUM",
                                      "HELLO",
                                      "CRABBOX_FC_LEASE_TTL"};
    for (size_t i = 0; i < ARRAY_LEN(set); i++)
        bed_setenv(&bed, set[i], NULL);
}

static void test_a_lease_id_is_made_once(void **state)
{
    (void)state;
#define ID "cbx_0123456789ab"
    E2E_CODE(2, "warmup", "--lease-id", "cbx_short");
    struct child c[3];
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = BED_START(&bed, -1, "warmup", "-q", "--lease-id", ID, "--slug", "once");
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        assert_int_equal(e2e_code(&c[i], 60000), 0);
    _cleanup_bed_result_ struct bed_result again = BED_RUN(&bed, "warmup", "--json", "--lease-id",
                                                           ID);
    bed_assert_code(again, 0);
    _cleanup_json_ cJSON *j = e2e_json(&again);
    assert_string_equal(text_of(j, "id"), ID);
    assert_string_equal(text_of(j, "slug"), "once");
    struct lease_entry *all = NULL;
    assert_int_equal(e2e_leases(&all), 1);
    /* What a killed one has left is made anew. */
    e2e_stop(ID);
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", "PUT /actions");
    struct child held = e2e_warmup_stuck("half");
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", NULL);
    free(all);
    assert_int_equal(e2e_leases(&all), 1);
    e2e_signal(&held, SIGKILL);
    (void)e2e_wait(&held, 60000);
    E2E_OK("warmup", "-q", "--lease-id", all[0].id);
    e2e_stop(all[0].id);
    free(all);
}

#define REPORT(verdict) "<testsuite><testcase name=\"a\">" verdict "</testcase></testsuite>"

static void test_results(void **state)
{
    (void)state;
    /* One that an earlier run left here, and the sync takes there. */
    static const char old[] = REPORT("<failure/>");
    e2e_write_file("junit-old.xml", old, strlen(old));
    e2e_warmup("res");
#define IN_RES "run", "--id", "res", "--timing-json"
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, IN_RES, "--results-auto", "--fail-on-test-failures", "--", "sh", "-c",
        "mkdir -p out node_modules/x; echo '" REPORT(
            "") "' | tee out/TEST-1.xml >junit.xml; cp "
                "junit-old.xml node_modules/x/junit.xml; echo '<not' >out/results.xml");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "tests: 2 run, 0 failed");
    bed_assert_has(r.err.buf, "results.xml");
    /* The marker of the start is gone again. */
    E2E_OK("run", "--id", "res", "-q", "--no-sync", "--shell", "! ls -d ../.crabbox-run_*/");
    E2E_CODE(1, IN_RES, "-q", "--results-auto", "--results-fail-on-failures", "--", "cp",
             "junit-old.xml", "junit.xml");
    static const char keys[] = "results:\n  junit: [out/*.xml]\n  failOnFailures: true\n"
                               "env:\n  allow: [CI]\n";
    write_config(keys);
    _cleanup_bed_result_ struct bed_result none = BED_RUN(&bed, IN_RES, "--", "rm", "-r", "out");
    bed_assert_code(none, 0); /* what the configuration names need not be there */
    _cleanup_bed_result_ struct bed_result k = BED_RUN(&bed, IN_RES, "--label", "nightly", "--",
                                                       "sh", "-c",
                                                       "mkdir out; cp junit-old.xml out/1.xml");
    bed_assert_code(k, 1);
    bed_assert_has(k.err.buf, "run complete exit=0 label=nightly ");
    assert_null(strstr(k.err.buf, "the command failed"));
    _cleanup_json_ cJSON *j = e2e_timing(&k);
    assert_string_equal(text_of(j, "label"), "nightly");
    E2E_CODE(4, IN_RES, "--junit", "nothing.xml", "--", "true");
    drop_config();
    E2E_CODE(2, "run", "--fail-on-test-failures", "--", "true");
    e2e_stop("res");
    e2e_shell("rm junit-old.xml");
}

static void test_required_artifacts(void **state)
{
    (void)state;
    e2e_warmup("art");
#define IN_ART "run", "--id", "art", "--no-sync", "-q"
    E2E_OK(IN_ART, "--require-artifact", "proof/*.txt", "--", "sh", "-c",
           "mkdir -p proof; echo yes >proof/a.txt");
    e2e_shell("test \"$(cat artifacts/*/proof/a.txt)\" = yes; rm -r artifacts");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, IN_ART, "--require-artifact", "proof/*", "--require-artifact", "no/*", "--", "true");
    bed_assert_code(r, 4);
    bed_assert_has(r.err.buf, "matches --require-artifact no/*");
    e2e_shell("test -e artifacts/*/proof/a.txt; rm -r artifacts");
    E2E_CODE(9, IN_ART, "--require-artifact", "no/*", "--", "sh", "-c", "exit 9");
    e2e_shell("! test -e artifacts");
    /* What a run brought back is not sent again, and needs no word. */
    e2e_shell("git init -q; mkdir -p artifacts/run_1; touch artifacts/run_1/a");
    _cleanup_bed_result_ struct bed_result own = BED_RUN(&bed, "run", "--id", "art", "--sync-only");
    bed_assert_code(own, 0);
    assert_null(strstr(own.err.buf, "left out"));
    e2e_shell("mkdir dist; touch dist/a");
    _cleanup_bed_result_ struct bed_result dist = BED_RUN(&bed, "run", "--id", "art",
                                                          "--sync-only");
    bed_assert_has(dist.err.buf, "left out by built-in patterns: 1 untracked entry, first dist/");
    e2e_shell("rm -r .git artifacts dist");
    e2e_stop("art");
}

/* After a failure the next commands are told; they fit what is left. */
static void test_a_failure_says_where_to_look(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result gone = BED_RUN(&bed, "run", "--no-sync", "--", "false");
    bed_assert_code(gone, 1);
    bed_assert_has(gone.err.buf, ", run --keep-on-failure");
    e2e_warmup("dig");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "dig", "--no-sync",
                                                       "--", "sh", "-c", "exit 3");
    bed_assert_code(r, 3);
    bed_assert_has(r.err.buf, "the command failed in /work/crabbox/cbx_");
    bed_assert_has(r.err.buf, ", crabbox-fc ssh dig, crabbox-fc logs dig");
    _cleanup_bed_result_ struct bed_result q = E2E_RUN_IN("dig", "--", "false");
    bed_assert_code(q, 1);
    assert_null(strstr(q.err.buf, "the command failed"));
    e2e_stop("dig");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_every_verb_takes_provider_and_target),
        E2E_TEST(test_its_configuration_is_read),
        E2E_TEST(test_doctor_reports_a_wrong_configuration),
        E2E_TEST(test_spellings),
        E2E_TEST(test_json_that_scripts_read),
        E2E_TEST(test_words_of_a_run),
        E2E_TEST(test_a_slug_shares_no_machine_unless_asked),
        E2E_TEST(test_heartbeat_sets_the_idle_time),
        E2E_TEST(test_its_variables),
        E2E_TEST(test_a_lease_id_is_made_once),
        E2E_TEST(test_results),
        E2E_TEST(test_required_artifacts),
        E2E_TEST(test_a_failure_says_where_to_look),
    };
    return E2E_MAIN(tests);
}
