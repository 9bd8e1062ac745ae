/* floor_test.c: what the system sets and no later source may weaken, directly or round a corner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/keys.h"
#include "testutil/config_dir.h"

static void test_locked(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    const struct config_flag same = {"vmm", "firecracker", "--vmm"};
    const struct config_flag other = {"vmm", "qemu", "--vmm"};
    config_dir_write(d, SYS_FILE,
                     "firecracker: {network: nat}\nfloor:\n"
                     "  locked: [vmm, firecracker.network]\n");
    config_dir_load_ok(d, &same, 1, &cfg);
    config_free(&cfg);
    assert_int_equal(config_dir_load(d, &other, 1, &cfg, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_non_null(strstr(err.msg, "--vmm: vmm is locked to \"firecracker\" by the system"));
    assert_non_null(strstr(err.msg, "etc/config.yaml:3"));
    config_dir_write(d, USER_FILE, "firecracker:\n  network: cni\n");
    assert_int_equal(config_dir_refused(d, "config.yaml:2:3: firecracker.network is locked"),
                     ERR_TRUST);
    config_dir_write(d, USER_FILE, "");
    config_dir_setenv(d, "CRABBOX_FC_VMM=qemu");
    assert_int_equal(config_dir_refused(d, "CRABBOX_FC_VMM: vmm is locked"), ERR_TRUST);
}

static void test_ceiling(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, SYS_FILE, "firecracker: {cpus: 2}\nfloor:\n  max: {firecracker.cpus: 3}\n");
    config_dir_write(d, REPO_FILE, "firecracker:\n  cpus: 3\n");
    config_dir_trust_repo(d);
    config_dir_expect_cpus(d, 3);
    config_dir_write(d, REPO_FILE, "firecracker:\n  cpus: 4\n");
    config_dir_trust_repo(d);
    assert_int_equal(config_dir_refused(d, ":2:3: firecracker.cpus is more than 3, the system's"),
                     ERR_TRUST);
}

/* 0 is no limit, so it is above every ceiling, and also what a repository gets without trust. */
static void test_bounds_of_a_limit(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "limits: {diskOps: 50}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.limits.disk_ops, 50);
    config_free(&cfg);
    config_dir_write(d, USER_FILE, "limits: {diskOps: 49}\n");
    assert_int_equal(config_dir_refused(d, "limits.diskOps is 50, but a repository"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "limits: {diskOps: 0}\n");
    assert_int_equal(config_dir_refused(d, "limits.diskOps is 0, but a repository"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "");
    config_dir_write(d, SYS_FILE, "floor: {max: {limits.diskOps: 60}}\n");
    assert_int_equal(config_dir_refused(d, "limits.diskOps is above its ceiling"), ERR_CONFIG);
    config_dir_write(d, SYS_FILE, "limits: {diskOps: 60}\nfloor: {max: {limits.diskOps: 60}}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.limits.disk_ops, 49);
    config_free(&cfg);
    config_dir_write(d, USER_FILE, "limits: {diskOps: 0}\n");
    assert_int_equal(config_dir_refused(d, "limits.diskOps is more than 60"), ERR_TRUST);
}

static void test_ceiling_below_default(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, SYS_FILE, "floor:\n  max: {firecracker.cpus: 3}\n");
    assert_int_equal(config_dir_refused(d, "firecracker.cpus is above its ceiling"), ERR_CONFIG);
}

static void test_image_locked(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, SYS_FILE, "floor: {locked: [image.dir]}\n");
    config_dir_setenv(d, "CRABBOX_FIRECRACKER_KERNEL=/k");
    assert_int_equal(config_dir_refused(d, "image.dir is locked by the system"), ERR_TRUST);
}

/* What boots can't be exchanged by the other key that says what boots. */
static void test_boot_locked(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    const char *const systems[] = {
        "firecracker: {kernel: /k}\nfloor: {locked: [firecracker.kernel]}\n",
        "firecracker: {rootfs: /r}\nfloor: {locked: [firecracker.rootfs]}\n",
        "image: {dir: \"\"}\nfloor: {locked: [firecracker.kernel, firecracker.rootfs]}\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(systems); i++) {
        config_dir_write(d, SYS_FILE, systems[i]);
        config_dir_write(d, USER_FILE, "image: {dir: /other}\n");
        assert_int_equal(config_dir_refused(d, "what boots is locked by the system"), ERR_TRUST);
        config_dir_write(d, USER_FILE, "image: {dir: \"\"}\n");
        config_dir_load_ok(d, NULL, 0, &cfg);
        assert_string_equal(cfg.image.dir, "");
        config_free(&cfg);
    }
    /* Where the system boots an image of ours, a locked kernel says nothing about it. */
    config_dir_write(d, SYS_FILE, "floor: {locked: [firecracker.kernel]}\n");
    config_dir_write(d, USER_FILE, "image: {dir: /other}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
}

/* A lock whose value hangs on PATH or HOME would be none. */
static void test_lock_needs_whole_path(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, SYS_FILE, "floor:\n  locked: [qemu]\n");
    assert_int_equal(config_dir_refused(d, "etc/config.yaml:2: qemu.binary can't be locked: "
                                           "\"qemu-system-x86_64\" is a name that is looked up"),
                     ERR_CONFIG);
    config_dir_write(d, SYS_FILE, "image: {dir: ~/image}\nfloor:\n  locked: [image.dir]\n");
    assert_int_equal(config_dir_refused(d, "starts from ~, and anybody can set HOME"), ERR_CONFIG);
    config_dir_write(d, SYS_FILE,
                     "qemu: {binary: /usr/bin/qemu}\nimage: {dir: /i}\n"
                     "floor: {locked: [qemu, image, firecracker.jailer]}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
}

/* A kept lease never expires, so a bound of the ttl is also one of keeping. */
static void test_keep_under_bound(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(config_check_keep(&cfg, "--keep", &err), 0);
    config_free(&cfg);
    const char *const floors[] = {"floor: {max: {lease.ttl: 4h}}\n", "floor: {locked: [lease]}\n"};
    for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
        config_dir_write(d, SYS_FILE, floors[i]);
        config_dir_load_ok(d, NULL, 0, &cfg);
        assert_int_equal(config_check_keep(&cfg, "--keep", &err), -1);
        assert_int_equal(err.kind, ERR_TRUST);
        assert_non_null(strstr(err.msg, "--keep: a kept lease never expires"));
        config_free(&cfg);
    }
}

static void test_show_ceiling(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    config_dir_write(d, SYS_FILE, "floor: {max: {firecracker.memoryMiB: 8GiB, lease.ttl: 4h}}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_show_text(&cfg, &text);
    assert_non_null(strstr(text.buf, "default (at most 8GiB)\n"));
    assert_non_null(strstr(text.buf, "default (at most 4h)\n"));
    _cleanup_json_ cJSON *j = config_show_json(&cfg);
    _cleanup_free_ char *json = cJSON_PrintUnformatted(j);
    assert_non_null(strstr(json, "\"ceiling\":8192,\"ceilingBy\":\""));
    assert_non_null(strstr(json, "\"ceiling\":\"4h\",\"ceilingBy\":\""));
    config_free(&cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_DIR_TEST(test_locked),
        CONFIG_DIR_TEST(test_ceiling),
        CONFIG_DIR_TEST(test_bounds_of_a_limit),
        CONFIG_DIR_TEST(test_ceiling_below_default),
        CONFIG_DIR_TEST(test_image_locked),
        CONFIG_DIR_TEST(test_boot_locked),
        CONFIG_DIR_TEST(test_lock_needs_whole_path),
        CONFIG_DIR_TEST(test_keep_under_bound),
        CONFIG_DIR_TEST(test_show_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
