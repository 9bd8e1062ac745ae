/* doctor tells the truth: the JSON that scripts read, and for each check the ways it can fail, with
 * the class and the fix that go with them. doctor_net_test.c has the network and what is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "e2e/doctorkit.h"
#include "image/image.h"
#include "image/probe.h"
#include "sys/file.h"
#include "sys/spawn.h"

/* ---- the contract ---- */

static void json_has_the_shape_that_scripts_read(void **state)
{
    static const char *const first[] = {"host",   "kvm",    "binary", "jailer",
                                        "kernel", "rootfs", "network"};
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG, "firecracker");
    _cleanup_json_ cJSON *j = doctor_json(&r);
    assert_int_equal(cJSON_GetArraySize(j), 3);
    assert_true(cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(j, "ok")));
    assert_string_equal(json_opt_string(j, "provider", ""), "firecracker");
    const cJSON *checks = cJSON_GetObjectItemCaseSensitive(j, "checks");
    assert_int_equal(cJSON_GetArraySize(checks), (int)r.n);
    bool ok = true;
    int i = 0;
    const cJSON *c, *d;
    cJSON_ArrayForEach(c, checks)
    {
        const char *name = json_opt_string(c, "check", "");
        const char *status = json_opt_string(c, "status", "");
        const cJSON *details = cJSON_GetObjectItemCaseSensitive(c, "details");
        assert_int_equal(cJSON_GetArraySize(c), 5);
        assert_string_equal(name, doctor_check_name((size_t)i));
        if ((size_t)i < ARRAY_LEN(first))
            assert_string_equal(name, first[i]);
        assert_string_equal(json_opt_string(c, "provider", ""),
                            (size_t)i < ARRAY_LEN(first) ? "firecracker" : "crabbox-fc");
        assert_true(*json_opt_string(c, "message", "") != '\0');
        assert_string_equal(json_opt_string(details, "mutation", ""), "false");
        cJSON_ArrayForEach(d, details)
        {
            assert_true(cJSON_IsString(d));
        }
        assert_int_equal(str_eq(status, "failed"), cJSON_HasObjectItem(details, "class"));
        if (str_eq(status, "failed")) {
            ok = false;
            assert_true(*json_opt_string(details, "fix", "") != '\0');
        }
        i++;
    }
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "ok")), ok);
    assert_null(doctor_check_name(r.n));
}

static void sound_emulated_host_is_ready(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG QEMU, NULL);
    for (size_t i = 0; i < r.n; i++)
        if (r.checks[i].status == DOCTOR_FAILED)
            fail_msg("%s: %s", r.checks[i].check, r.checks[i].message);
    assert_true(r.ok);
    assert_int_equal(doctorkit_find(&r, "kvm")->status, DOCTOR_SKIP);
    assert_int_equal(doctorkit_find(&r, "binary")->status, DOCTOR_SKIP);
    assert_int_equal(doctorkit_find(&r, "jailer")->status, DOCTOR_SKIP);
    assert_non_null(strstr(doctorkit_find(&r, "qemu")->message, "emulation"));
}

static void provider_asks_about_firecracker_whatever_vmm_says(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG QEMU, "firecracker");
    assert_int_equal(doctorkit_find(&r, "binary")->status, DOCTOR_OK);
    assert_int_not_equal(doctorkit_find(&r, "kvm")->status, DOCTOR_SKIP);
    assert_int_equal(doctorkit_find(&r, "qemu")->status, DOCTOR_SKIP);
}

static void unknown_provider_is_a_usage_error(void **state)
{
    (void)state;
    struct config cfg;
    struct doctor_report r;
    struct error err = ERROR_INIT;
    config_dir_write(&doctorkit_dir, USER_FILE, "vmm: firecracker\n");
    assert_int_equal(config_dir_load(&doctorkit_dir, NULL, 0, &cfg, &err), 0);
    assert_int_equal(
        doctor_run(&cfg, doctorkit_providers, doctorkit_path("state"), "aws", &r, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    config_free(&cfg);
}

static void text_shows_each_fix(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(
        "firecracker:\n  binary: /nonexistent/fc\n" IMG, NULL);
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT, coloured = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf narrow = STRBUF_INIT, quiet = STRBUF_INIT;
    doctor_text(&r, false, false, 0, &plain);
    doctor_text(&r, true, false, 0, &coloured);
    doctor_text(&r, false, false, 50, &narrow);
    doctor_text(&r, false, true, 0, &quiet);
    assert_null(strchr(plain.buf, '\033'));
    assert_non_null(strchr(coloured.buf, '\033'));
    assert_non_null(strstr(plain.buf, "fix: install Firecracker"));
    assert_non_null(strstr(plain.buf, "\nnot ready: "));
    assert_non_null(strstr(plain.buf, "firecracker.binary: there is no program"));
    assert_non_null(strstr(quiet.buf, "fix: install Firecracker"));
    assert_non_null(strstr(plain.buf, "ok       "));
    assert_null(strstr(quiet.buf, "ok       "));
    assert_null(strstr(quiet.buf, "not ready: "));
    assert_non_null(strstr(narrow.buf, "binary      firecracker.binary: there is\n          "
                                       "           no program"));
}

/* ---- programs ---- */

static void programs_are_run_not_just_found(void **state)
{
    (void)state;
    doctorkit_program("bin/old", "#!/bin/sh\necho Firecracker v1.7.0\n");
    doctorkit_program("bin/other", "#!/bin/sh\necho hello\n");
    doctorkit_program("bin/fails", "#!/bin/sh\nexit 3\n");
    config_dir_write(&doctorkit_dir, "bin/data", "not a program\n");
    doctorkit_expect(SOUND IMG, "binary", DOCTOR_OK, "", "Firecracker 1.16.1");
    doctorkit_expect("firecracker:\n  binary: %/bin/absent\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "absent");
    doctorkit_expect("firecracker:\n  binary: %/bin/data\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "data");
    doctorkit_expect("firecracker:\n  binary: %/bin/old\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "too old");
    doctorkit_expect("firecracker:\n  binary: %/bin/other\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "--version");
    doctorkit_expect("firecracker:\n  binary: %/bin/fails\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "3");
    doctorkit_expect(SOUND "  jailer: %/bin/absent\n" IMG, "jailer", DOCTOR_FAILED, ENV,
                     "there is no program");
    doctorkit_expect("vmm: qemu\nqemu:\n  binary: %/bin/qemu\n" IMG, "qemu", DOCTOR_FAILED, CONFIG,
                     "qemu.accel");
    doctorkit_expect("vmm: qemu\nqemu:\n  binary: %/bin/firecracker\n  accel: tcg\n" IMG, "qemu",
                     DOCTOR_FAILED, ENV, "--version");
}

static void hanging_program_meets_its_deadline(void **state)
{
    (void)state;
    doctorkit_program("bin/hangs", "#!/bin/sh\nexec tail -f /dev/null\n");
    doctorkit_expect("firecracker:\n  binary: %/bin/hangs\n" IMG, "binary", DOCTOR_FAILED, ENV,
                     "timed out");
}

/* ---- files ---- */

static void image_files_are_read(void **state)
{
    (void)state;
    config_dir_write(&doctorkit_dir, "empty/image.json", "{}");
    config_dir_write(&doctorkit_dir, "script", "#!/bin/sh\n");
    config_dir_write(&doctorkit_dir, "nothing", "");
    doctorkit_expect(SOUND IMG, "kernel", DOCTOR_OK, "", "vmlinux");
    doctorkit_expect(SOUND IMG, "rootfs", DOCTOR_OK, "", "ext4");
    doctorkit_expect(SOUND IMG, "image", DOCTOR_OK, "", "0.0.0-bed");
    doctorkit_expect("image:\n  dir: %/absent\n", "image", DOCTOR_FAILED, ENV, "absent");
    doctorkit_expect("image:\n  dir: %/absent\n", "kernel", DOCTOR_FAILED, ENV, "absent");
    doctorkit_expect("image:\n  dir: %/empty\n", "image", DOCTOR_FAILED, CONFIG, "image.json");
    doctorkit_expect("image:\n  dir: %/empty\n", "rootfs", DOCTOR_FAILED, CONFIG, "image.json");
    doctorkit_expect("firecracker:\n  kernel: %/absent\n", "kernel", DOCTOR_FAILED, ENV, "absent");
    doctorkit_expect("firecracker:\n  kernel: %/bin\n", "kernel", DOCTOR_FAILED, CONFIG,
                     "directory");
    doctorkit_expect("firecracker:\n  kernel: %/script\n", "kernel", DOCTOR_FAILED, CONFIG,
                     "script");
    doctorkit_expect("firecracker:\n  rootfs: %/nothing\n", "rootfs", DOCTOR_FAILED, CONFIG,
                     "empty");
    doctorkit_expect("firecracker:\n  rootfs: %/script\n", "rootfs", DOCTOR_FAILED, CONFIG,
                     "script");
}

/* Copies the image's vmlinux and puts a gzipped .config behind it, as CONFIG_IKCONFIG does. */
static void make_kernel(const char *rel, const char *config)
{
    static const char *const argv[] = {"gzip", "-n", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf kernel = STRBUF_INIT, packed = STRBUF_INIT;
    _cleanup_close_ int in = memfd_create("config", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(in, config, strlen(config), "config", NULL), 0);
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    spec.argv = argv;
    spec.stdin_fd = in;
    assert_int_equal(spawn_run(&spec, NULL, 65536, &packed, NULL, &st, NULL), 0);
    assert_true(st.exited && st.code == 0);
    assert_int_equal(file_read_at(AT_FDCWD, doctorkit_path("img/vmlinux"), 1 << 20, &kernel, NULL),
                     0);
    strbuf_adds(&kernel, "IKCFG_ST");
    strbuf_add(&kernel, packed.buf, packed.len);
    strbuf_adds(&kernel, "IKCFG_ED");
    assert_int_equal(
        file_write_new(AT_FDCWD, doctorkit_path(rel), kernel.buf, kernel.len, 0644, NULL), 0);
}

#define STOCK(kernel) "firecracker:\n  kernel: %/" kernel "\n  rootfs: %/img/rootfs.ext4\n"
#define NEEDED                                                                                     \
    "CONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_NET=y\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_PCI=y\n"        \
    "CONFIG_ACPI=y\nCONFIG_EXT4_FS=y\n"

static void kernel_that_cannot_read_the_seed_is_refused(void **state)
{
    (void)state;
    make_kernel("good", NEEDED "CONFIG_ISO9660_FS=y\n");
    make_kernel("module", NEEDED "CONFIG_ISO9660_FS=m\n");
    make_kernel("noseed", NEEDED "# CONFIG_ISO9660_FS is not set\n");
    make_kernel("noblk", "CONFIG_ISO9660_FS=y\nCONFIG_VIRTIO_BLK=m\nCONFIG_VIRTIO_NET=y\n"
                         "CONFIG_VIRTIO_MMIO=y\nCONFIG_ACPI=y\nCONFIG_EXT4_FS=y\n");
    make_kernel("noroot", "CONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_NET=y\nCONFIG_VIRTIO_MMIO=y\n"
                          "CONFIG_ACPI=y\nCONFIG_ISO9660_FS=y\n");
    doctorkit_expect(STOCK("good"), "kernel", DOCTOR_OK, "", "good");
    doctorkit_expect(STOCK("module"), "kernel", DOCTOR_OK, "", "module");
    doctorkit_expect(STOCK("noseed"), "kernel", DOCTOR_FAILED, CONFIG,
                     "CONFIG_ISO9660_FS: cloud-init");
    doctorkit_expect(STOCK("noblk"), "kernel", DOCTOR_FAILED, CONFIG, "CONFIG_VIRTIO_BLK");
    doctorkit_expect(STOCK("noroot"), "rootfs", DOCTOR_FAILED, CONFIG, "CONFIG_EXT4_FS");
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(STOCK("img/vmlinux"), NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&r, "kernel"), "options"), "unknown");
    assert_int_equal(doctorkit_find(&r, "kernel")->status, DOCTOR_OK);
    assert_string_equal(doctorkit_detail(doctorkit_find(&r, "image"), "pin"), "none");
    assert_non_null(strstr(doctorkit_find(&r, "kernel")->message, "its options can't be known"));
}

/* The clone's name is one of those that docs/DOCTOR.md has; the temporary directory's filesystem
 * says which. */
static void clone_strategy_is_named(void **state)
{
    (void)state;
    char image[PATH_MAX];
    enum clone_how how;
    struct error err = ERROR_INIT;
    static const char *const names[] = {"reflink", "sparse", "copy"};
    (void)str_copy(image, sizeof image, doctorkit_path("img"));
    if (image_clone_probe(image, doctorkit_dir.root, &how, &err) < 0)
        fail_msg("%s", err.msg);
    _cleanup_(doctor_free) struct doctor_report ours = doctorkit_judge(SOUND IMG, NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&ours, "disk"), "clone"), "overlay");
    _cleanup_(doctor_free) struct doctor_report stock = doctorkit_judge(STOCK("img/vmlinux"), NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&stock, "disk"), "clone"), names[how]);
    _cleanup_(doctor_free) struct doctor_report none = doctorkit_judge(
        "firecracker:\n  kernel: %/img/vmlinux\n  rootfs: %/absent/rootfs\n", NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&none, "disk"), "clone"), "unknown");
}

/* "MZ" and "ARM\x64" at 56: an arm64 Image, which is a PE for the firmware. */
static void kernel_of_another_machine_is_refused(void **state)
{
    (void)state;
    char image[64] = "MZ";
    memcpy(image + 56, "ARM\x64", 4);
    assert_int_equal(
        file_write_new(AT_FDCWD, doctorkit_path("arm64-image"), image, sizeof image, 0644, NULL),
        0);
    doctorkit_expect(STOCK("arm64-image"), "kernel",
                     KERNEL_OF_HOST == KERNEL_ARM64_IMAGE ? DOCTOR_OK : DOCTOR_FAILED,
                     KERNEL_OF_HOST == KERNEL_ARM64_IMAGE ? "" : CONFIG, "");
    doctorkit_expect(STOCK("img/vmlinux"), "kernel",
                     KERNEL_OF_HOST == KERNEL_ELF_X86_64 ? DOCTOR_OK : DOCTOR_FAILED,
                     KERNEL_OF_HOST == KERNEL_ELF_X86_64 ? "" : CONFIG, "");
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(STOCK("arm64-image"), NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&r, "kernel"), "format"), "arm64");
}

/* ---- state, memory, and changing nothing ---- */

static void state_directory_has_to_be_private(void **state)
{
    (void)state;
    doctorkit_expect(SOUND IMG, "state", DOCTOR_OK, "", "does not exist yet");
    assert_int_equal(access(doctorkit_path("state"), F_OK), -1);
    assert_int_equal(mkdir(doctorkit_path("state"), 0700), 0);
    assert_int_equal(chmod(doctorkit_path("state"), 0755), 0);
    doctorkit_expect(SOUND IMG, "state", DOCTOR_FAILED, CONFIG, "open to others");
    {
        _cleanup_(doctor_free) struct doctor_report open = doctorkit_judge(SOUND IMG, NULL);
        _cleanup_free_ char *quoted = str_shell_quoted(doctorkit_path("state"));
        _cleanup_free_ char *fix = xasprintf("chmod 700 %s", quoted);
        assert_string_equal(doctorkit_detail(doctorkit_find(&open, "state"), "fix"), fix);
    }
    /* Closing it would make others' leases ours. */
    assert_int_equal(mkdir(doctorkit_path("state/leases"), 0700), 0);
    assert_int_equal(chmod(doctorkit_path("state"), 0777), 0);
    doctorkit_expect(SOUND IMG, "state", DOCTOR_FAILED, CONFIG,
                     "anybody may have put leases there");
    assert_int_equal(rmdir(doctorkit_path("state/leases")), 0);
    assert_int_equal(chmod(doctorkit_path("state"), 0700), 0);
    doctorkit_expect(SOUND IMG, "state", DOCTOR_OK, "", "state");
    assert_int_equal(rmdir(doctorkit_path("state")), 0); /* still empty: nothing was made in it */
    config_dir_write(&doctorkit_dir, "state", "a file");
    doctorkit_expect(SOUND IMG, "state", DOCTOR_FAILED, CONFIG, "not a directory");
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG, NULL);
    assert_non_null(strstr(doctorkit_detail(doctorkit_find(&r, "orphans"), "fix"),
                           "what the check state names"));
    assert_int_equal(unlink(doctorkit_path("state")), 0);
}

static void too_much_memory_is_refused(void **state)
{
    (void)state;
    doctorkit_expect("firecracker:\n  memoryMiB: 1048576\n" IMG, "memory", DOCTOR_FAILED, CONFIG,
                     "1048624");
    doctorkit_expect(SOUND IMG, "memory", DOCTOR_OK, "",
                     "304 MiB"); /* the VMM's own 48 are in it */
    doctorkit_expect(SOUND IMG QEMU, "memory", DOCTOR_OK, "", "512 MiB");
    /* There, but not free: warmup refuses it, so doctor doesn't call it ready. */
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG, NULL);
    uint64_t total = 0;
    assert_int_equal(str_to_u64(doctorkit_detail(doctorkit_find(&r, "memory"), "totalMiB"), &total),
                     0);
    char yaml[128];
    (void)str_format(yaml, sizeof yaml, "firecracker:\n  memoryMiB: %lld\n%s",
                     (long long)total - 50, IMG);
    doctorkit_expect(yaml, "memory", DOCTOR_FAILED, ENV, "too little memory for a lease");
}

/* By the sums of warmup, and in its words. */
static void too_little_disk_is_refused(void **state)
{
    (void)state;
    doctorkit_expect(SOUND IMG, "disk", DOCTOR_OK, "", "a lease takes at most 288 MiB");
    doctorkit_expect("firecracker:\n  diskMiB: 16TiB\n" IMG, "disk", DOCTOR_FAILED, ENV,
                     "too little disk space for a lease: it needs 16777248 MiB");
    doctorkit_expect("firecracker:\n  diskMiB: 16TiB\ndisk:\n  overcommit: true\n" IMG, "disk",
                     DOCTOR_WARNING, "", "disk.overcommit is set");
    /* A stock image that is larger than the disk: it is what a lease takes. */
    config_dir_write(&doctorkit_dir, "large.ext4", "");
    assert_int_equal(truncate(doctorkit_path("large.ext4"), 300 << 20), 0);
    static const char large[] = SOUND "  kernel: %/img/vmlinux\n  rootfs: %/large.ext4\n";
    doctorkit_expect(large, "disk", DOCTOR_OK, "", "a lease takes at most 332 MiB");
    _cleanup_(doctor_free) struct doctor_report l = doctorkit_judge(large, NULL);
    assert_string_equal(doctorkit_detail(doctorkit_find(&l, "disk"), "diskMiB"), "300");
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(
        "firecracker:\n  diskMiB: 16TiB\n" IMG, NULL);
    const struct doctor_check *c = doctorkit_find(&r, "disk");
    assert_non_null(strstr(doctorkit_detail(c, "fix"), "give the guest a smaller disk (--disk)"));
    assert_string_equal(doctorkit_detail(c, "promisedMiB"), "0");
    assert_string_equal(doctorkit_detail(c, "overcommit"), "false");
}

static void too_few_descriptors_are_refused(void **state)
{
    (void)state;
    struct rlimit old, few;
    doctorkit_expect(SOUND IMG, "limits", DOCTOR_OK, "", "");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = 42, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    doctorkit_expect(SOUND IMG, "limits", DOCTOR_FAILED, ENV, "too little room for descriptors");
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_string_equal(doctorkit_detail(doctorkit_find(&r, "limits"), "fix"), "raise ulimit -n");
}

/* As a user with no right to anything: each lack is told with what fixes it on this host. */
static int judge_as_nobody(const struct config *cfg)
{
    struct doctor_report r;
    struct error err = ERROR_INIT;
    struct stat st;
    if (setresuid(65534, 65534, 65534) < 0 || stat("/dev/kvm", &st) < 0 ||
        doctor_run(cfg, doctorkit_providers, doctorkit_path("state"), "firecracker", &r, &err) < 0)
        return 1;
    const char *fix = doctorkit_detail(doctorkit_find(&r, "kvm"), "fix");
    bool group = (st.st_mode & 060) == 060 && st.st_gid;
    bool told = access("/dev/kvm", R_OK | W_OK) == 0 ||
                strstr(fix, group ? "$(id -un 65534)" : "setfacl -m u:65534:rw ");
    /* Without root a lease is made in a user namespace, for which this user has no ids. */
    const struct doctor_check *user = doctorkit_find(&r, "user");
    told = told && user->status == DOCTOR_WARNING &&
           strstr(doctorkit_detail(user, "fix"), "usermod --add-subuids");
    fix = doctorkit_detail(doctorkit_find(&r, "network"), "fix");
    told = told && (access("/dev/net/tun", R_OK | W_OK) == 0 || strstr(fix, "chmod 0666"));
    told = told && doctorkit_find(&r, "state")->status == DOCTOR_FAILED && !r.ok;
    doctor_free(&r);
    return told ? 0 : 1;
}

static void user_without_rights_is_told(void **state)
{
    (void)state;
    struct config cfg;
    struct error err = ERROR_INIT;
    int status = -1;
    if (access("/dev/kvm", F_OK) < 0)
        skip();
    config_dir_write(&doctorkit_dir, USER_FILE, "");
    assert_int_equal(config_dir_load(&doctorkit_dir, NULL, 0, &cfg, &err), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(judge_as_nobody(&cfg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    config_free(&cfg);
    assert_int_equal(status, 0);
}

/* The best of a few, for other work may have the machine at any one of them. */
static void healthy_run_is_quick(void **state)
{
    (void)state;
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(SOUND IMG, "firecracker");
        best = r.took_us < best ? r.took_us : best;
    }
    assert_true(best < 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_the_shape_that_scripts_read),
        cmocka_unit_test(sound_emulated_host_is_ready),
        cmocka_unit_test(provider_asks_about_firecracker_whatever_vmm_says),
        cmocka_unit_test(unknown_provider_is_a_usage_error),
        cmocka_unit_test(text_shows_each_fix),
        cmocka_unit_test(programs_are_run_not_just_found),
        cmocka_unit_test(hanging_program_meets_its_deadline),
        cmocka_unit_test(image_files_are_read),
        cmocka_unit_test(kernel_that_cannot_read_the_seed_is_refused),
        cmocka_unit_test(clone_strategy_is_named),
        cmocka_unit_test(kernel_of_another_machine_is_refused),
        cmocka_unit_test(state_directory_has_to_be_private),
        cmocka_unit_test(too_much_memory_is_refused),
        cmocka_unit_test(too_few_descriptors_are_refused),
        cmocka_unit_test(too_little_disk_is_refused),
        cmocka_unit_test(user_without_rights_is_told),
        cmocka_unit_test(healthy_run_is_quick),
    };
    return cmocka_run_group_tests(tests, doctorkit_open, doctorkit_close);
}
