/* The record as other versions of the program wrote it, and as nobody should have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/lease.h"
#include "sys/file.h"

#define GOLDEN_1 "testdata/state/schema1.json"
#define GOLDEN_2 "testdata/state/schema2.json"

static const char *const names[] = {"slug",   "disk", "net",  "seed",
                                    "keeper", "vmm",  "boot", "ready"};
static const struct lease_kind kind = {LEASE_PROVIDER_LOCAL, names, ARRAY_LEN(names), true};
static const struct lease_kind *const kinds[] = {&kind, NULL};

static const char *const goldens[] = {GOLDEN_1, GOLDEN_2};

static cJSON *golden(const char *path, struct strbuf *text)
{
    struct error e = ERROR_INIT;
    if (file_read_at(AT_FDCWD, path, 65536, text, &e) < 0)
        fail_msg("%s: run the tests from the top of the tree", e.msg);
    cJSON *j = json_parse(text->buf, text->len, path, &e);
    if (!j)
        fail_msg("%s", e.msg);
    return j;
}

static void has_the_values_of_the_goldens(const char *path)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(path, &text);
    struct error e = ERROR_INIT;
    struct lease l;
    if (lease_from_json(j, kinds, &l, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(l.kind->provider, LEASE_PROVIDER_LOCAL);
    assert_string_equal(l.id, "cbx_a52279edbb4b");
    assert_string_equal(l.slug, "whole");
    assert_string_equal(l.name, "crabbox-whole-a52279ed");
    assert_int_equal(l.state, LEASE_READY);
    assert_true(l.keep);
    assert_int_equal(l.created_at, 1795331082);
    assert_int_equal(l.ttl_s, 5400);
    assert_int_equal(l.stop_timeout_ms, 5000);
    assert_int_equal(l.memory_mib, 128);
    assert_string_equal(l.user, "crabbox");
    assert_string_equal(l.local.rootfs, "/var/lib/crabbox-fc/image/rootfs.ext4");
    assert_string_equal(l.local.disk_how, "overlay");
    assert_string_equal(l.local.net.veth, "cbx3402");
    assert_string_equal(l.local.net.lease_addr, "10.213.26.149");
    assert_string_equal(l.local.vmm.backend, "firecracker");
    assert_int_equal(l.local.vmm.proc.pid, 4212);
    assert_int_equal(l.keeper.pid, 4211);
    for (size_t i = 0; i < kind.n_steps; i++)
        assert_int_equal(l.marks[i], MARK_DONE);
}

/* The files are not to be changed: records like them are on people's disks. */
static void each_schema_is_read_for_ever(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++)
        has_the_values_of_the_goldens(goldens[i]);
}

/* What is written is the newest schema, whatever was read. */
static void what_is_written_is_what_was_read(void **state)
{
    _cleanup_strbuf_ struct strbuf newest = STRBUF_INIT;
    _cleanup_json_ cJSON *unused = golden(GOLDEN_2, &newest);
    (void)state;
    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_json_ cJSON *j = golden(goldens[i], &text);
        struct lease l;
        assert_int_equal(lease_from_json(j, kinds, &l, NULL), 0);
        _cleanup_json_ cJSON *again = lease_to_json(&l);
        _cleanup_free_ char *written = json_print(again, true);
        assert_string_equal(written, newest.buf);
    }
}

static void read_fails(const cJSON *j, const char *why)
{
    struct error e = ERROR_INIT;
    struct lease l;
    assert_int_equal(lease_from_json(j, kinds, &l, &e), -1);
    assert_int_equal(e.kind, ERR_STATE);
    if (!strstr(e.msg, why))
        fail_msg("\"%s\" is not in: %s", why, e.msg);
}

/* Never half of one schema and half of another. */
static void a_record_that_is_half_upgraded_is_refused(void **state)
{
    _cleanup_strbuf_ struct strbuf text1 = STRBUF_INIT, text2 = STRBUF_INIT;
    _cleanup_json_ cJSON *old = golden(GOLDEN_1, &text1);
    _cleanup_json_ cJSON *new = golden(GOLDEN_2, &text2);
    (void)state;
    (void)cJSON_SetNumberHelper(cJSON_GetObjectItem(old, "schema"), 2);
    read_fails(old, "\"provider\"");
    (void)cJSON_AddStringToObject(old, "provider", LEASE_PROVIDER_LOCAL);
    read_fails(old, "\"local\"");
    (void)cJSON_SetNumberHelper(cJSON_GetObjectItem(new, "schema"), 1);
    read_fails(new, "\"imageKind\"");
}

static void a_provider_that_is_not_known_is_named(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(GOLDEN_2, &text);
    (void)state;
    cJSON_DeleteItemFromObject(j, "provider");
    (void)cJSON_AddStringToObject(j, "provider", "cloud");
    read_fails(j, "provider \"cloud\"");
}

static void other_schemas_are_refused_by_number(void **state)
{
    static const int64_t others[] = {0, LEASE_SCHEMA + 1, 99, -1, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_json_ cJSON *j = golden(GOLDEN_2, &text);
        cJSON_DeleteItemFromObject(j, "schema");
        json_add_i64(j, "schema", others[i]);
        read_fails(j, "schema");
    }
}

/* `part` names the object whose members are tried; NULL: the record itself. */
static void every_member_of(const cJSON *whole, const char *part)
{
    const cJSON *model = part ? cJSON_GetObjectItem(whole, part) : whole;
    for (int i = 0; i < cJSON_GetArraySize(model); i++)
        for (int type = 0; type < 3; type++) {
            _cleanup_json_ cJSON *j = cJSON_Duplicate(whole, true);
            cJSON *obj = part ? cJSON_GetObjectItem(j, part) : j;
            const char *key = cJSON_GetArrayItem(model, i)->string;
            struct lease l;
            cJSON_DeleteItemFromObjectCaseSensitive(obj, key);
            if (type == 1)
                (void)cJSON_AddNullToObject(obj, key);
            if (type == 2)
                (void)cJSON_AddArrayToObject(obj, key);
            if (lease_from_json(j, kinds, &l, NULL) == 0)
                fail_msg("accepted without a proper \"%s\"", key);
        }
}

/* Without any one of its members, or with one of another type, it is no record. */
static void every_member_counts(void **state)
{
    _cleanup_strbuf_ struct strbuf text1 = STRBUF_INIT, text2 = STRBUF_INIT;
    _cleanup_json_ cJSON *old = golden(GOLDEN_1, &text1);
    _cleanup_json_ cJSON *new = golden(GOLDEN_2, &text2);
    (void)state;
    assert_int_equal(cJSON_GetArraySize(old), 29);
    every_member_of(old, NULL);
    assert_int_equal(cJSON_GetArraySize(new), 24);
    every_member_of(new, NULL);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(new, "local")), 7);
    every_member_of(new, "local");
}

/* A member that a later minor version adds does not make the record unreadable. */
static void unknown_members_are_passed_over(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(GOLDEN_2, &text);
    struct lease l;
    (void)state;
    (void)cJSON_AddStringToObject(j, "colour", "red");
    assert_int_equal(lease_from_json(j, kinds, &l, NULL), 0);
    /* But a step that this program can't undo is one too many. */
    (void)cJSON_AddStringToObject(cJSON_GetObjectItem(j, "steps"), "cgroup", "done");
    assert_int_equal(lease_from_json(j, kinds, &l, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_schema_is_read_for_ever),
        cmocka_unit_test(what_is_written_is_what_was_read),
        cmocka_unit_test(other_schemas_are_refused_by_number),
        cmocka_unit_test(a_record_that_is_half_upgraded_is_refused),
        cmocka_unit_test(a_provider_that_is_not_known_is_named),
        cmocka_unit_test(every_member_counts),
        cmocka_unit_test(unknown_members_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
