/* What scripts and configuration files made for Crabbox rely on: they work here as they are. */
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_every_verb_takes_provider_and_target),
        E2E_TEST(test_its_configuration_is_read),
        E2E_TEST(test_doctor_reports_a_wrong_configuration),
        E2E_TEST(test_spellings),
    };
    return E2E_MAIN(tests);
}
