/* load_test.c: layers, sources, environment, flags and the choice of what to boot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/keys.h"
#include "testutil/config_dir.h"

static const char *source_of(const struct config *cfg, const char *key)
{
    return config_value_source(cfg, config_key_by_name(key));
}

static void test_defaults(void **state)
{
    struct config cfg;
    config_dir_load_ok(*state, NULL, 0, &cfg);
    assert_string_equal(cfg.firecracker.binary, "firecracker");
    assert_string_equal(cfg.firecracker.jailer, "");
    assert_string_equal(cfg.firecracker.kernel, "/var/lib/crabbox/firecracker/vmlinux");
    assert_string_equal(cfg.firecracker.rootfs, "/var/lib/crabbox/firecracker/rootfs.ext4");
    assert_string_equal(cfg.firecracker.user, "crabbox");
    assert_string_equal(cfg.firecracker.work_root, "/work/crabbox");
    assert_int_equal(cfg.firecracker.cpus, 4);
    assert_int_equal(cfg.firecracker.memory_mib, 4096);
    assert_int_equal(cfg.firecracker.disk_mib, 16384);
    assert_string_equal(cfg.firecracker.cni_network, "crabbox-firecracker");
    assert_string_equal(cfg.firecracker.cni_conf_dir, "/etc/cni/conf.d");
    assert_string_equal(cfg.firecracker.cni_bin_dir, "/opt/cni/bin");
    assert_int_equal(cfg.firecracker.launch_timeout_ms, 120000);
    assert_true(cfg.firecracker.delete_on_release);
    assert_string_equal(cfg.vmm, "firecracker");
    assert_string_equal(cfg.qemu.accel, "");
    assert_string_equal(cfg.network.pool, "10.213.0.0/16");
    assert_int_equal(cfg.lease.ttl_ms, 5400000);
    assert_int_equal(cfg.lease.idle_timeout_ms, 1800000);
    assert_int_equal(cfg.lease.stop_timeout_ms, 10000);
    assert_string_equal(cfg.run.allow_env, "CI,NODE_OPTIONS");
    assert_string_equal(cfg.run.exclude, "");
    for (size_t i = 0; i < config_keys_len; i++)
        assert_string_equal(config_value_source(&cfg, &config_keys[i]), "default");
    config_free(&cfg);
}

/* Each layer beats the one before it, and only for the key it sets. */
static void test_precedence(void **state)
{
    struct config_dir *d = *state;
    const struct config_flag flags[] = {{"firecracker.cpus", "7", "--firecracker-cpus"},
                                        {"firecracker.cpus", "8", "--cpus"}};
    struct config cfg;
    config_dir_write(d, SYS_FILE,
                     "firecracker: {cpus: 2, memoryMiB: 1GiB, diskMiB: 2GiB, "
                     "user: sys}\nlease: {ttl: 1h}\n");
    config_dir_write(d, USER_FILE,
                     "firecracker: {cpus: 3, memoryMiB: 2GiB, diskMiB: 3GiB, "
                     "user: usr}\n");
    config_dir_write(d, REPO_FILE, "firecracker:\n  cpus: 1\n  memoryMiB: 1GiB\n  diskMiB: 1GiB\n");
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_CPUS=6");
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_MEMORY_MIB=4GiB");
    config_dir_load_ok(d, flags, 2, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 8);
    assert_int_equal(cfg.firecracker.memory_mib, 4096);
    assert_int_equal(cfg.firecracker.disk_mib, 1024);
    assert_string_equal(cfg.firecracker.user, "usr");
    assert_int_equal(cfg.lease.ttl_ms, 3600000);
    assert_string_equal(source_of(&cfg, "firecracker.cpus"), "flag:--cpus");
    assert_string_equal(source_of(&cfg, "firecracker.memoryMiB"),
                        "env:CRABBOX_FIRECRACKER_MEMORY_MIB");
    char expect[PATH_MAX];
    (void)str_format(expect, sizeof expect, "repo:%s:4", config_dir_path(d, REPO_FILE));
    assert_string_equal(source_of(&cfg, "firecracker.diskMiB"), expect);
    (void)str_format(expect, sizeof expect, "user:%s:1", config_dir_path(d, USER_FILE));
    assert_string_equal(source_of(&cfg, "firecracker.user"), expect);
    (void)str_format(expect, sizeof expect, "system:%s:2", config_dir_path(d, SYS_FILE));
    assert_string_equal(source_of(&cfg, "lease.ttl"), expect);
    config_free(&cfg);
}

/* Every key can be set through its own variable and through its own flag. */
static void test_every_env_and_flag(void **state)
{
    struct config_dir *d = *state;
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        struct config cfg;
        const char *value = config_dir_sample(key);
        const struct config_flag flag = {key->name, value, "--x"};
        char assignment[256];
        assert_ptr_equal(config_key_by_flag(key->flag), key);
        config_dir_load_ok(d, &flag, 1, &cfg);
        assert_string_equal(config_value_source(&cfg, key), "flag:--x");
        config_free(&cfg);
        (void)str_format(assignment, sizeof assignment, "%s=%s", key->env, value);
        config_dir_setenv(d, assignment);
        config_dir_load_ok(d, NULL, 0, &cfg);
        (void)str_format(assignment, sizeof assignment, "env:%s", key->env);
        assert_string_equal(config_value_source(&cfg, key), assignment);
        config_free(&cfg);
        free(d->env[--d->n_env]);
        d->env[d->n_env] = NULL;
    }
}

/* The table itself: what the parser, the help and the documents rely on. */
static void test_table(void **state)
{
    (void)state;
    unsigned crabbox = 0;
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *k = &config_keys[i];
        bool theirs = str_has_prefix(k->name, "firecracker.");
        crabbox += theirs;
        assert_true(str_has_prefix(k->env, theirs ? "CRABBOX_FIRECRACKER_" : "CRABBOX_"));
        assert_true(!theirs || str_has_prefix(k->flag, "firecracker-"));
        assert_true(k->help && *k->help);
        assert_true((k->type == CFG_ENUM) == (k->choices != NULL));
        assert_true((k->type == CFG_LIST) == (k->separator != 0));
        assert_true(k->type != CFG_PATH || k->host);
        assert_true(!config_key_is_number(k) || k->host || k->costs);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(k->name, config_keys[j].name);
            assert_string_not_equal(k->env, config_keys[j].env);
            assert_string_not_equal(k->flag, config_keys[j].flag);
            assert_true(k->offset != config_keys[j].offset);
        }
    }
    assert_int_equal(crabbox, 15);
    assert_null(config_key_by_flag("firecracker-cpu"));
}

static void test_env_strict(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_setenv(d, "CRABBOX_FC_STATE_DIR=/x");
    config_dir_setenv(d, "CRABBOX_FC_TEST_ANYTHING=1");
    config_dir_setenv(d, "CRABBOX_BIN=x");
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_CPUS=");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 4);
    config_free(&cfg);
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_CPU=3");
    assert_int_equal(config_dir_refused(d, "unknown variable CRABBOX_FIRECRACKER_CPU; did you mean "
                                           "CRABBOX_FIRECRACKER_CPUS?"),
                     ERR_CONFIG);
}

static void test_env_unknown(void **state)
{
    struct config_dir *d = *state;
    config_dir_setenv(d, "CRABBOX_FC_ABSOLUTELY_UNHEARD_OF=3");
    assert_int_equal(config_dir_refused(d, "docs/CONFIG.md lists the known ones"), ERR_CONFIG);
}

static void test_env_bad_value(void **state)
{
    struct config_dir *d = *state;
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_CPUS=many");
    assert_int_equal(
        config_dir_refused(d, "CRABBOX_FIRECRACKER_CPUS: firecracker.cpus is \"many\""),
        ERR_CONFIG);
}

static void test_env_relative_path(void **state)
{
    struct config_dir *d = *state;
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_KERNEL=vmlinux");
    assert_int_equal(config_dir_refused(d, "a relative path"), ERR_CONFIG);
}

/* A slip in the prefix is no variable of somebody else's. */
static void test_env_near_miss(void **state)
{
    static const char *const names[][2] = {
        {"CRABBOX_FIRECRAKER_CPUS", "CRABBOX_FIRECRACKER_CPUS"},
        {"CRABOX_FC_VMM", "CRABBOX_FC_VMM"},
        {"CRABBOX_FCVMM", "CRABBOX_FC_VMM"},
        {"crabbox_fc_vmm", "CRABBOX_FC_VMM"},
        {"CRABBOX_FIRECRACKERCPUS", "CRABBOX_FIRECRACKER_CPUS"},
        {"Crabbox_Fc_State_Dir", "CRABBOX_FC_STATE_DIR"},
        {"CRABBOX_FC_CPUS", "CRABBOX_FIRECRACKER_CPUS"},
        {"CRABBOX_FC_STATE", "CRABBOX_FC_STATE_DIR"},
    };
    static const char *const far[] = {"CRABBOX_FC_X", "CRABBOX_FC_DEBUG", "CRABBOX_FC_MEM"};
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_setenv(d, "CRABBOX_PROVIDER=firecracker");
    config_dir_setenv(d, "CRABBOX_VMM=x");
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char set[64], expect[160];
        (void)str_format(set, sizeof set, "%s=x", names[i][0]);
        (void)str_format(expect, sizeof expect, "unknown variable %s; did you mean %s?",
                         names[i][0], names[i][1]);
        config_dir_setenv(d, set);
        assert_int_equal(config_dir_refused(d, expect), ERR_CONFIG);
        free(d->env[--d->n_env]);
        d->env[d->n_env] = NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(far); i++) { /* none of ours is like it */
        _cleanup_free_ char *set = xasprintf("%s=x", far[i]);
        _cleanup_free_ char *expect = xasprintf("%s; docs/CONFIG.md lists", far[i]);
        config_dir_setenv(d, set);
        assert_int_equal(config_dir_refused(d, expect), ERR_CONFIG);
        free(d->env[--d->n_env]);
        d->env[d->n_env] = NULL;
    }
}

/* Of a flag that is given again the last counts, but a list grows; and the source is the flag's
 * name, however its value was given. */
static void test_flag_again(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    const struct config_flag flags[] = {{"sync.exclude", "a", "--sync-exclude"},
                                        {"firecracker.cpus", "2", "--cpus"},
                                        {"sync.exclude", "b", "--sync-exclude=b"},
                                        {"firecracker.cpus", "3", "--firecracker-cpus=3"},
                                        {"run.allowEnv", "A", "--allow-env"},
                                        {"run.allowEnv", "", "--allow-env"},
                                        {"run.allowEnv", "B,C", "--allow-env"}};
    const struct config_flag dns[] = {{"network.dns", "1.1.1.1,2.2.2.2,3.3.3.3", "--network-dns"},
                                      {"network.dns", "4.4.4.4", "--network-dns"}};
    config_dir_setenv(d, "CRABBOX_FC_SYNC_EXCLUDE=env");
    config_dir_load_ok(d, flags, ARRAY_LEN(flags), &cfg);
    assert_string_equal(cfg.run.exclude, "a\nb");
    assert_int_equal(cfg.firecracker.cpus, 3);
    assert_string_equal(cfg.run.allow_env, "B,C");
    assert_string_equal(source_of(&cfg, "sync.exclude"), "flag:--sync-exclude");
    assert_string_equal(source_of(&cfg, "firecracker.cpus"), "flag:--firecracker-cpus");
    config_free(&cfg);
    assert_int_equal(config_dir_load(d, dns, 2, &cfg, &err), -1);
    assert_non_null(strstr(err.msg, "at most 3"));
}

static void test_flag_errors(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    const struct config_flag bad = {"firecracker.cpus", "99", "--firecracker-cpus"};
    const struct config_flag unknown = {"firecracker.nope", "99", "--x"};
    assert_int_equal(config_dir_load(d, &bad, 1, &cfg, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    assert_string_equal(err.msg, "--firecracker-cpus: firecracker.cpus is 99, more than 32");
    assert_int_equal(config_dir_load(d, &unknown, 1, &cfg, &err), -1);
    assert_int_equal(err.kind, ERR_INTERNAL);
}

/* A flag's relative path is the user's own, from where they stand. */
static void test_flag_relative(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    const struct config_flag flag = {"firecracker.kernel", "../out/vmlinux", "--x"};
    config_dir_load_ok(d, &flag, 1, &cfg);
    assert_string_equal(cfg.firecracker.kernel, config_dir_path(d, "repo/../out/vmlinux"));
    config_free(&cfg);
    /* Through no link at all, as other relative paths. */
    struct error err = ERROR_INIT;
    config_dir_write(d, "home/disk", "");
    assert_int_equal(symlink("../home/disk", config_dir_path(d, "out/vmlinux")), 0);
    assert_int_equal(config_dir_load(d, &flag, 1, &cfg, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.msg, "vmlinux is a symbolic link"));
    const struct config_flag whole = {"firecracker.kernel", config_dir_path(d, "out/vmlinux"),
                                      "--x"};
    config_dir_load_ok(d, &whole, 1, &cfg);
    config_free(&cfg);
}

static void test_repo_search(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, "repo/.crabbox-fc.yaml", "firecracker: {cpus: 2}\n");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "repo/sub/deep"));
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 2);
    assert_string_equal(config_repo_root(&cfg), config_dir_path(d, "repo"));
    config_free(&cfg);
    config_dir_write(d, "repo/sub/.crabbox-fc.yaml", "firecracker: {cpus: 3}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 3);
    config_free(&cfg);
}

/* Above the repository's root, and without a repository above the working directory, nothing
 * counts. */
static void test_repo_search_ends(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, ".crabbox-fc.yaml", "firecracker: {cpus: 2}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 4);
    config_free(&cfg);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "out"));
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 4);
    assert_string_equal(config_repo_root(&cfg), "");
    config_free(&cfg);
    (void)str_copy(d->cwd, sizeof d->cwd, d->root);
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 2);
    config_free(&cfg);
}

/* What another user puts into a directory above, as into /tmp, is nobody's repository but his. */
static void test_repository_of_another_above(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    enum { OTHER = 4321 };
    if (geteuid() != 0)
        skip();
    config_dir_write(d, ".git/HEAD", "");
    config_dir_write(d, ".crabbox-fc.yaml", "firecracker: {cpus: 2}\n");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "out"));
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 2);
    config_free(&cfg);
    assert_int_equal(lchown(config_dir_path(d, ".crabbox-fc.yaml"), OTHER, OTHER), 0);
    config_dir_expect_cpus(d, 4);
    assert_int_equal(lchown(config_dir_path(d, ".git"), OTHER, OTHER), 0);
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(config_repo_root(&cfg), "");
    config_free(&cfg);
    /* Who stands in his directory has it as before. */
    assert_int_equal(lchown(d->cwd, OTHER, OTHER), 0);
    assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
}

static void test_user_dir(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    char assignment[PATH_MAX + 32];
    config_dir_write(d, USER_FILE, "firecracker: {cpus: 2}\n");
    config_dir_write(d, "xdg/crabbox-fc/config.yaml", "firecracker: {cpus: 3}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 2);
    config_free(&cfg);
    (void)str_format(assignment, sizeof assignment, "XDG_CONFIG_HOME=%s",
                     config_dir_path(d, "xdg"));
    config_dir_setenv(d, assignment);
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 3);
    config_free(&cfg);
}

static void test_xdg_relative(void **state)
{
    config_dir_setenv(*state, "XDG_CONFIG_HOME=repo");
    assert_int_equal(config_dir_refused(*state, "XDG_CONFIG_HOME is not an absolute path"),
                     ERR_CONFIG);
}

/* A bad file of any layer stops everything; nothing is applied or left allocated. */
static void test_bad_files(void **state)
{
    struct config_dir *d = *state;
    static const char *const files[] = {SYS_FILE, USER_FILE, REPO_FILE};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config_dir_write(d, files[i], "firecracker:\n  cpu: 2\n");
        assert_int_equal(config_dir_refused(d, ":2:3: unknown key \"cpu\""), ERR_CONFIG);
        config_dir_write(d, files[i], "");
    }
}

static void test_large_file(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *text = xcalloc(1, (1 << 20) + 2);
    memset(text, '#', (1 << 20) + 1);
    config_dir_write(d, USER_FILE, text);
    assert_int_equal(config_dir_refused(d, "config.yaml is larger than 1 MiB"), ERR_CONFIG);
}

/* ---- what to boot ---- */

static void test_image_choice(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    const struct config_flag dir = {"image.dir", "/i", "--image-dir"};
    const struct config_flag none = {"image.dir", "", "--image-dir"};
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.image.dir, "/var/lib/crabbox-fc/images/default");
    config_free(&cfg);
    config_dir_write(d, USER_FILE, "image: {dir: /u}\n");
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_ROOTFS=/r");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.image.dir, "");
    assert_non_null(strstr(source_of(&cfg, "image.dir"), "overridden by env:"));
    config_free(&cfg);
    config_dir_load_ok(d, &dir, 1, &cfg);
    assert_string_equal(cfg.image.dir, "/i");
    config_free(&cfg);
    config_dir_load_ok(d, &none, 1, &cfg);
    assert_string_equal(cfg.image.dir, "");
    config_free(&cfg);
    config_dir_setenv(d, "CRABBOX_FC_IMAGE_DIR=/e");
    assert_int_equal(config_dir_refused(d, "both choose what to boot"), ERR_CONFIG);
}

/* ---- show ---- */

static void test_show(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\nsync: {exclude: [a, \"b,c\"]}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    config_show_text(&cfg, &text);
    for (size_t i = 0; i < config_keys_len; i++)
        assert_non_null(strstr(text.buf, config_keys[i].name));
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *shown = config_show_json(&cfg);
    _cleanup_free_ char *printed = json_print(shown, true);
    _cleanup_json_ cJSON *j = json_parse(printed, strlen(printed), "show", &err);
    assert_non_null(j);
    const cJSON *keys = cJSON_GetObjectItem(j, "keys");
    assert_int_equal(cJSON_GetArraySize(keys), config_keys_len);
    const cJSON *item;
    cJSON_ArrayForEach(item, keys)
    {
        const char *name = json_opt_string(item, "key", "");
        const cJSON *value = cJSON_GetObjectItem(item, "value");
        if (str_eq(name, "firecracker.cpus"))
            assert_int_equal(value->valueint, 2);
        if (str_eq(name, "firecracker.deleteOnRelease"))
            assert_true(cJSON_IsTrue(value));
        if (str_eq(name, "sync.exclude"))
            assert_string_equal(cJSON_GetArrayItem(value, 1)->valuestring, "b,c");
        if (str_eq(name, "lease.ttl"))
            assert_string_equal(value->valuestring, "1h30m");
        assert_true(*json_opt_string(item, "source", ""));
        assert_true(*json_opt_string(item, "type", ""));
    }
    _cleanup_strbuf_ struct strbuf text_paths = STRBUF_INIT;
    config_paths_text(&cfg, &text_paths);
    assert_non_null(strstr(text_paths.buf, "repo     read             /"));
    _cleanup_json_ cJSON *paths = config_paths_json(&cfg);
    const cJSON *files = cJSON_GetObjectItem(paths, "files");
    assert_int_equal(cJSON_GetArraySize(files), 3);
    const cJSON *repo = cJSON_GetArrayItem(files, 2);
    assert_true(json_opt_bool(repo, "read", false));
    assert_false(json_opt_bool(repo, "trusted", true));
    assert_int_equal(strlen(json_opt_string(repo, "sha256", "")), 64);
    config_free(&cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_DIR_TEST(test_defaults),
        CONFIG_DIR_TEST(test_precedence),
        CONFIG_DIR_TEST(test_every_env_and_flag),
        CONFIG_DIR_TEST(test_table),
        CONFIG_DIR_TEST(test_env_strict),
        CONFIG_DIR_TEST(test_env_unknown),
        CONFIG_DIR_TEST(test_env_near_miss),
        CONFIG_DIR_TEST(test_env_bad_value),
        CONFIG_DIR_TEST(test_env_relative_path),
        CONFIG_DIR_TEST(test_flag_again),
        CONFIG_DIR_TEST(test_flag_errors),
        CONFIG_DIR_TEST(test_flag_relative),
        CONFIG_DIR_TEST(test_repo_search),
        CONFIG_DIR_TEST(test_repo_search_ends),
        CONFIG_DIR_TEST(test_repository_of_another_above),
        CONFIG_DIR_TEST(test_user_dir),
        CONFIG_DIR_TEST(test_xdg_relative),
        CONFIG_DIR_TEST(test_bad_files),
        CONFIG_DIR_TEST(test_large_file),
        CONFIG_DIR_TEST(test_image_choice),
        CONFIG_DIR_TEST(test_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
