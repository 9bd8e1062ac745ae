/* What scripts and configuration files made for Crabbox rely on: they work here as they are. */
#include <string.h>
#include <unistd.h>

#include "e2e/e2e.h"

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
    };
    return E2E_MAIN(tests);
}
