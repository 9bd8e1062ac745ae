/* doc_test.c: docs/CONFIG.md and config.example.yaml say what the key table says, and the example
 * is a file that loads. Runs in the root of the source tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>

#include "config/keys.h"
#include "config/yaml.h"
#include "sys/file.h"
#include "testutil/config_dir.h"
#include "testutil/config_doc.h"

static void read_file(const char *name, struct strbuf *out)
{
    struct error err = ERROR_INIT;
    if (file_read_at(AT_FDCWD, name, 1 << 20, out, &err) < 0)
        fail_msg("%s", err.msg);
}

static void test_config_md(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf doc = STRBUF_INIT, keys = STRBUF_INIT;
    read_file("docs/CONFIG.md", &doc);
    config_doc_keys(&keys);
    const char *begin = strstr(doc.buf, CONFIG_DOC_BEGIN);
    assert_non_null(begin);
    const char *end = strstr(begin, CONFIG_DOC_END);
    assert_non_null(end);
    size_t len = (size_t)(end - begin) + strlen(CONFIG_DOC_END);
    if (len != keys.len || memcmp(begin, keys.buf, len) != 0)
        fail_msg("docs/CONFIG.md is not what `build/tools/config_doc keys` prints");
}

static void test_example_is_generated(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf file = STRBUF_INIT, made = STRBUF_INIT;
    read_file("config.example.yaml", &file);
    config_doc_example(&made);
    if (!str_eq(file.buf, made.buf))
        fail_msg("config.example.yaml is not what `build/tools/config_doc example` prints");
}

/* As it is, it sets nothing. */
static void test_example_loads(void **state)
{
    (void)state;
    struct config_dir d;
    struct config cfg;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf file = STRBUF_INIT;
    read_file("config.example.yaml", &file);
    config_dir_make(&d);
    config_dir_write(&d, USER_FILE, file.buf);
    int rc = config_dir_load(&d, NULL, 0, &cfg, &err);
    for (size_t i = 0; rc == 0 && i < config_keys_len; i++)
        assert_string_equal(config_value_source(&cfg, &config_keys[i]), "default");
    config_free(&cfg);
    config_dir_remove(&d);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

/* With every # removed it sets every key to its default. */
static void test_example_uncommented(void **state)
{
    (void)state;
    const struct value_ctx ctx = {.home = "/h", .cwd = NULL};
    struct config_doc doc;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf file = STRBUF_INIT, bare = STRBUF_INIT;
    read_file("config.example.yaml", &file);
    config_doc_uncomment(file.buf, NULL, &bare);
    if (config_parse_yaml("example", bare.buf, bare.len, false, &ctx, &doc, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(doc.n_entries, config_keys_len);
    for (size_t i = 0; i < doc.n_entries; i++) {
        char why[VALUE_WHY_MAX];
        _cleanup_strbuf_ struct strbuf fallback = STRBUF_INIT;
        const struct config_key *key = doc.entries[i].key;
        assert_int_equal(value_normalise(key, key->fallback, &ctx, &fallback, why), 0);
        assert_string_equal(doc.entries[i].value, fallback.buf);
    }
    config_doc_free(&doc);
}

/* The same through a whole load; kernel and rootfs stay out, as they and image.dir exclude each
 * other. */
static void test_example_uncommented_loads(void **state)
{
    (void)state;
    static const char *const except[] = {"firecracker.kernel", "firecracker.rootfs", NULL};
    struct config_dir d;
    struct config cfg;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf file = STRBUF_INIT, bare = STRBUF_INIT;
    read_file("config.example.yaml", &file);
    config_doc_uncomment(file.buf, except, &bare);
    config_dir_make(&d);
    config_dir_write(&d, USER_FILE, bare.buf);
    int rc = config_dir_load(&d, NULL, 0, &cfg, &err);
    size_t set = 0;
    for (size_t i = 0; rc == 0 && i < config_keys_len; i++)
        set += str_has_prefix(config_value_source(&cfg, &config_keys[i]), "user:");
    config_free(&cfg);
    config_dir_remove(&d);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    assert_int_equal(set, config_keys_len - 2);
}

/* Every block of YAML in the document is a system's file that loads. */
static void test_blocks_load(void **state)
{
    (void)state;
    static const char begin[] = "\n```yaml\n", end[] = "\n```\n";
    struct config_dir d;
    _cleanup_strbuf_ struct strbuf doc = STRBUF_INIT;
    unsigned n = 0;
    read_file("docs/CONFIG.md", &doc);
    config_dir_make(&d);
    for (char *p = doc.buf; (p = strstr(p, begin)); n++) {
        struct config cfg;
        struct error err = ERROR_INIT;
        p += strlen(begin);
        char *stop = strstr(p, end);
        assert_non_null(stop);
        stop[1] = '\0';
        config_dir_write(&d, SYS_FILE, p);
        if (config_dir_load(&d, NULL, 0, &cfg, &err) < 0)
            fail_msg("%s", err.msg);
        config_free(&cfg);
        p = stop + 2;
    }
    config_dir_remove(&d);
    assert_true(n >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_md),
        cmocka_unit_test(test_example_is_generated),
        cmocka_unit_test(test_example_loads),
        cmocka_unit_test(test_example_uncommented),
        cmocka_unit_test(test_example_uncommented_loads),
        cmocka_unit_test(test_blocks_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
