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

#define GOLDEN "testdata/state/schema1.json"

static const char *const names[] = {"slug",   "disk", "net",  "seed",
                                    "keeper", "vmm",  "boot", "ready"};
static const struct lease_step_names steps = {names, ARRAY_LEN(names)};

static cJSON *golden(struct strbuf *text)
{
    struct error e = ERROR_INIT;
    if (file_read_at(AT_FDCWD, GOLDEN, 65536, text, &e) < 0)
        fail_msg("%s: run the tests from the top of the tree", e.msg);
    cJSON *j = json_parse(text->buf, text->len, GOLDEN, &e);
    if (!j)
        fail_msg("%s", e.msg);
    return j;
}

/* The file is not to be changed: records like it are on people's disks. */
static void schema_1_is_read_for_ever(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(&text);
    struct error e = ERROR_INIT;
    struct lease l;
    (void)state;
    if (lease_from_json(j, &steps, &l, &e) < 0)
        fail_msg("%s", e.msg);
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
    assert_string_equal(l.rootfs, "/var/lib/crabbox-fc/image/rootfs.ext4");
    assert_string_equal(l.disk_how, "overlay");
    assert_string_equal(l.net.veth, "cbx3402");
    assert_string_equal(l.net.lease_addr, "10.213.26.149");
    assert_string_equal(l.vmm.backend, "firecracker");
    assert_int_equal(l.vmm.proc.pid, 4212);
    assert_int_equal(l.keeper.pid, 4211);
    for (size_t i = 0; i < steps.n; i++)
        assert_int_equal(l.marks[i], MARK_DONE);
}

static void what_is_written_is_what_was_read(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(&text);
    struct lease l;
    (void)state;
    assert_int_equal(lease_from_json(j, &steps, &l, NULL), 0);
    _cleanup_json_ cJSON *again = lease_to_json(&l, &steps);
    _cleanup_free_ char *written = json_print(again, true);
    assert_string_equal(written, text.buf);
}

static void other_schemas_are_refused_by_number(void **state)
{
    static const int64_t others[] = {0, 2, 99, -1, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_json_ cJSON *j = golden(&text);
        struct error e = ERROR_INIT;
        struct lease l;
        cJSON_DeleteItemFromObject(j, "schema");
        json_add_i64(j, "schema", others[i]);
        assert_int_equal(lease_from_json(j, &steps, &l, &e), -1);
        assert_int_equal(e.kind, ERR_STATE);
        assert_non_null(strstr(e.msg, "schema"));
    }
}

/* Without any one of its members, or with one of another kind, it is no record. */
static void every_member_counts(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *whole = golden(&text);
    int members = cJSON_GetArraySize(whole);
    (void)state;
    assert_true(members > 25);
    for (int i = 0; i < members; i++)
        for (int kind = 0; kind < 3; kind++) {
            _cleanup_json_ cJSON *j = cJSON_Duplicate(whole, true);
            const char *key = cJSON_GetArrayItem(whole, i)->string;
            struct error e = ERROR_INIT;
            struct lease l;
            cJSON_DeleteItemFromObjectCaseSensitive(j, key);
            if (kind == 1)
                (void)cJSON_AddNullToObject(j, key);
            if (kind == 2)
                (void)cJSON_AddArrayToObject(j, key);
            if (lease_from_json(j, &steps, &l, &e) == 0)
                fail_msg("accepted without a proper \"%s\"", key);
            assert_int_equal(e.kind, ERR_STATE);
        }
}

/* A member that a later minor version adds does not make the record unreadable. */
static void unknown_members_are_passed_over(void **state)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = golden(&text);
    struct lease l;
    (void)state;
    (void)cJSON_AddStringToObject(j, "colour", "red");
    assert_int_equal(lease_from_json(j, &steps, &l, NULL), 0);
    /* But a step that this program can't undo is one too many. */
    (void)cJSON_AddStringToObject(cJSON_GetObjectItem(j, "steps"), "cgroup", "done");
    assert_int_equal(lease_from_json(j, &steps, &l, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_1_is_read_for_ever),
        cmocka_unit_test(what_is_written_is_what_was_read),
        cmocka_unit_test(other_schemas_are_refused_by_number),
        cmocka_unit_test(every_member_counts),
        cmocka_unit_test(unknown_members_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
