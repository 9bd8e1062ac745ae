/* doctor tells the truth: the JSON that scripts read, and for each check the ways it can fail, with
 * the class and the mend that go with them. In network namespaces of its own, with a made-up image
 * and made-up programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "image/probe.h"
#include "ops/doctor.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "testutil/bed.h"
#include "testutil/bed_internal.h"
#include "testutil/config_dir.h"

static struct config_dir dir;
static pid_t outside;

static const char *at(const char *rel)
{
    return config_dir_path(&dir, rel);
}

static void write_program(const char *rel, const char *text)
{
    config_dir_write(&dir, rel, text);
    assert_int_equal(chmod(at(rel), 0755), 0);
}

static int set_up(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    outside = bed_enter_net();
    config_dir_make(&dir);
    assert_int_equal(mkdir(at("img"), 0755), 0);
    if (bed_make_image(at("img"), &err) < 0)
        fail_msg("%s", err.msg);
    write_program("bin/firecracker", "#!/bin/sh\necho Firecracker v1.16.1\n");
    write_program("bin/qemu", "#!/bin/sh\necho QEMU emulator version 7.2.22\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_dir_remove(&dir);
    bed_leave_net(outside);
    return 0;
}

/* Loads the user file made of `yaml`, in which every % stands for the test's directory, and judges
 * it. */
static struct doctor_report judge(const char *yaml, const char *provider)
{
    struct config cfg;
    struct doctor_report r;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (const char *p = yaml; *p; p++) {
        if (*p == '%')
            strbuf_adds(&text, dir.root);
        else
            strbuf_addc(&text, *p);
    }
    config_dir_write(&dir, USER_FILE, text.buf);
    if (config_dir_load(&dir, NULL, 0, &cfg, &err) < 0 ||
        doctor_run(&cfg, at("state"), provider, &r, &err) < 0)
        fail_msg("%s", err.msg);
    config_free(&cfg);
    return r;
}

#define SOUND                                                                                      \
    "firecracker:\n  network: nat\n  binary: %/bin/firecracker\n  memoryMiB: 256\n  diskMiB: "     \
    "256\n"
#define IMG  "image:\n  dir: %/img\n"
#define QEMU "vmm: qemu\nqemu:\n  binary: %/bin/qemu\n  accel: tcg\n"

static const struct doctor_check *find(const struct doctor_report *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->checks[i].check, name))
            return &r->checks[i];
    fail_msg("no check is named %s", name);
    return NULL;
}

static const char *detail(const struct doctor_check *c, const char *key)
{
    return json_opt_string(c->details, key, "(absent)");
}

/* One check of one configuration: status, class ("" for none) and a part of the message. */
static void expect(const char *yaml, const char *check, enum doctor_status status,
                   const char *class, const char *part)
{
    _cleanup_(doctor_free) struct doctor_report r = judge(yaml, NULL);
    const struct doctor_check *c = find(&r, check);
    if (c->status != status || !strstr(c->message, part))
        fail_msg("%s: %s: %s", check, doctor_status_name(c->status), c->message);
    assert_string_equal(json_opt_string(c->details, "class", ""), class);
    if (status == DOCTOR_FAILED) {
        assert_true(*json_opt_string(c->details, "mend", "") != '\0');
        assert_false(r.ok);
    }
}

#define ENV    "environment_blocked"
#define CONFIG "configuration_incomplete"

/* ---- the contract ---- */

static void json_has_the_shape_that_scripts_read(void **state)
{
    static const char *const first[] = {"host",   "kvm",    "binary", "jailer",
                                        "kernel", "rootfs", "network"};
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG, "firecracker");
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
            assert_true(*json_opt_string(details, "mend", "") != '\0');
        }
        i++;
    }
    assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "ok")), ok);
    assert_null(doctor_check_name(r.n));
}

static void sound_emulated_host_is_ready(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG QEMU, NULL);
    for (size_t i = 0; i < r.n; i++)
        if (r.checks[i].status == DOCTOR_FAILED)
            fail_msg("%s: %s", r.checks[i].check, r.checks[i].message);
    assert_true(r.ok);
    assert_int_equal(find(&r, "kvm")->status, DOCTOR_SKIP);
    assert_int_equal(find(&r, "binary")->status, DOCTOR_SKIP);
    assert_int_equal(find(&r, "jailer")->status, DOCTOR_SKIP);
    assert_non_null(strstr(find(&r, "qemu")->message, "emulation"));
}

static void provider_asks_about_firecracker_whatever_vmm_says(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG QEMU, "firecracker");
    assert_int_equal(find(&r, "binary")->status, DOCTOR_OK);
    assert_int_not_equal(find(&r, "kvm")->status, DOCTOR_SKIP);
    assert_int_equal(find(&r, "qemu")->status, DOCTOR_SKIP);
}

static void unknown_provider_is_a_usage_error(void **state)
{
    (void)state;
    struct config cfg;
    struct doctor_report r;
    struct error err = ERROR_INIT;
    config_dir_write(&dir, USER_FILE, "vmm: firecracker\n");
    assert_int_equal(config_dir_load(&dir, NULL, 0, &cfg, &err), 0);
    assert_int_equal(doctor_run(&cfg, at("state"), "aws", &r, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    config_free(&cfg);
}

static void text_shows_each_mend(void **state)
{
    (void)state;
    _cleanup_(doctor_free) struct doctor_report r = judge(
        "firecracker:\n  binary: /nonexistent/fc\n" IMG, NULL);
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT, coloured = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf narrow = STRBUF_INIT;
    doctor_text(&r, false, 0, &plain);
    doctor_text(&r, true, 0, &coloured);
    doctor_text(&r, false, 50, &narrow);
    assert_null(strchr(plain.buf, '\033'));
    assert_non_null(strchr(coloured.buf, '\033'));
    assert_non_null(strstr(plain.buf, "mend: install Firecracker"));
    assert_non_null(strstr(plain.buf, "\nnot ready: "));
    assert_non_null(strstr(plain.buf, "firecracker.binary: there is no program"));
    assert_non_null(strstr(narrow.buf, "binary      firecracker.binary: there is\n          "
                                       "           no program"));
}

/* ---- programs ---- */

static void programs_are_run_not_just_found(void **state)
{
    (void)state;
    write_program("bin/old", "#!/bin/sh\necho Firecracker v1.7.0\n");
    write_program("bin/other", "#!/bin/sh\necho hello\n");
    write_program("bin/fails", "#!/bin/sh\nexit 3\n");
    config_dir_write(&dir, "bin/data", "not a program\n");
    expect(SOUND IMG, "binary", DOCTOR_OK, "", "Firecracker 1.16.1");
    expect("firecracker:\n  binary: %/bin/absent\n" IMG, "binary", DOCTOR_FAILED, ENV, "absent");
    expect("firecracker:\n  binary: %/bin/data\n" IMG, "binary", DOCTOR_FAILED, ENV, "data");
    expect("firecracker:\n  binary: %/bin/old\n" IMG, "binary", DOCTOR_FAILED, ENV, "too old");
    expect("firecracker:\n  binary: %/bin/other\n" IMG, "binary", DOCTOR_FAILED, ENV, "--version");
    expect("firecracker:\n  binary: %/bin/fails\n" IMG, "binary", DOCTOR_FAILED, ENV, "3");
    expect("firecracker:\n  jailer: /usr/bin/jailer\n" IMG, "jailer", DOCTOR_FAILED, CONFIG,
           "isn't built");
    expect("vmm: qemu\nqemu:\n  binary: %/bin/qemu\n" IMG, "qemu", DOCTOR_FAILED, CONFIG,
           "qemu.accel");
    expect("vmm: qemu\nqemu:\n  binary: %/bin/firecracker\n  accel: tcg\n" IMG, "qemu",
           DOCTOR_FAILED, ENV, "--version");
}

static void hanging_program_meets_its_deadline(void **state)
{
    (void)state;
    write_program("bin/hangs", "#!/bin/sh\nexec tail -f /dev/null\n");
    int64_t t0 = clock_boot_ms();
    expect("firecracker:\n  binary: %/bin/hangs\n" IMG, "binary", DOCTOR_FAILED, ENV, "timed out");
    assert_true(clock_boot_ms() - t0 < 11000);
}

/* ---- files ---- */

static void image_files_are_read(void **state)
{
    (void)state;
    config_dir_write(&dir, "empty/image.json", "{}");
    config_dir_write(&dir, "script", "#!/bin/sh\n");
    config_dir_write(&dir, "nothing", "");
    expect(SOUND IMG, "kernel", DOCTOR_OK, "", "vmlinux");
    expect(SOUND IMG, "rootfs", DOCTOR_OK, "", "ext4");
    expect(SOUND IMG, "image", DOCTOR_OK, "", "0.0.0-bed");
    expect("image:\n  dir: %/absent\n", "image", DOCTOR_FAILED, ENV, "absent");
    expect("image:\n  dir: %/absent\n", "kernel", DOCTOR_FAILED, ENV, "absent");
    expect("image:\n  dir: %/empty\n", "image", DOCTOR_FAILED, CONFIG, "image.json");
    expect("image:\n  dir: %/empty\n", "rootfs", DOCTOR_FAILED, CONFIG, "image.json");
    expect("firecracker:\n  kernel: %/absent\n", "kernel", DOCTOR_FAILED, ENV, "absent");
    expect("firecracker:\n  kernel: %/bin\n", "kernel", DOCTOR_FAILED, CONFIG, "directory");
    expect("firecracker:\n  kernel: %/script\n", "kernel", DOCTOR_FAILED, CONFIG, "script");
    expect("firecracker:\n  rootfs: %/nothing\n", "rootfs", DOCTOR_FAILED, CONFIG, "empty");
    expect("firecracker:\n  rootfs: %/script\n", "rootfs", DOCTOR_FAILED, CONFIG, "script");
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
    assert_int_equal(file_read_at(AT_FDCWD, at("img/vmlinux"), 1 << 20, &kernel, NULL), 0);
    strbuf_adds(&kernel, "IKCFG_ST");
    strbuf_add(&kernel, packed.buf, packed.len);
    strbuf_adds(&kernel, "IKCFG_ED");
    assert_int_equal(file_write_new(AT_FDCWD, at(rel), kernel.buf, kernel.len, 0644, NULL), 0);
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
    expect(STOCK("good"), "kernel", DOCTOR_OK, "", "good");
    expect(STOCK("module"), "kernel", DOCTOR_OK, "", "module");
    expect(STOCK("noseed"), "kernel", DOCTOR_FAILED, CONFIG, "CONFIG_ISO9660_FS: cloud-init");
    expect(STOCK("noblk"), "kernel", DOCTOR_FAILED, CONFIG, "CONFIG_VIRTIO_BLK");
    expect(STOCK("noroot"), "rootfs", DOCTOR_FAILED, CONFIG, "CONFIG_EXT4_FS");
    _cleanup_(doctor_free) struct doctor_report r = judge(STOCK("img/vmlinux"), NULL);
    assert_string_equal(detail(find(&r, "kernel"), "options"), "unknown");
    assert_int_equal(find(&r, "kernel")->status, DOCTOR_OK);
    assert_string_equal(detail(find(&r, "image"), "pin"), "none");
    assert_non_null(strstr(find(&r, "kernel")->message, "its options can't be known"));
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
    (void)str_copy(image, sizeof image, at("img"));
    if (image_clone_probe(image, dir.root, &how, &err) < 0)
        fail_msg("%s", err.msg);
    _cleanup_(doctor_free) struct doctor_report ours = judge(SOUND IMG, NULL);
    assert_string_equal(detail(find(&ours, "disk"), "clone"), "overlay");
    _cleanup_(doctor_free) struct doctor_report stock = judge(STOCK("img/vmlinux"), NULL);
    assert_string_equal(detail(find(&stock, "disk"), "clone"), names[how]);
    _cleanup_(doctor_free) struct doctor_report none = judge(
        "firecracker:\n  kernel: %/img/vmlinux\n  rootfs: %/absent/rootfs\n", NULL);
    assert_string_equal(detail(find(&none, "disk"), "clone"), "unknown");
}

/* "MZ" and "ARM\x64" at 56: an arm64 Image, which is a PE for the firmware. */
static void kernel_of_another_machine_is_refused(void **state)
{
    (void)state;
    char image[64] = "MZ";
    memcpy(image + 56, "ARM\x64", 4);
    assert_int_equal(file_write_new(AT_FDCWD, at("arm64-image"), image, sizeof image, 0644, NULL),
                     0);
    expect(STOCK("arm64-image"), "kernel",
           KERNEL_OF_HOST == KERNEL_ARM64_IMAGE ? DOCTOR_OK : DOCTOR_FAILED,
           KERNEL_OF_HOST == KERNEL_ARM64_IMAGE ? "" : CONFIG, "");
    expect(STOCK("img/vmlinux"), "kernel",
           KERNEL_OF_HOST == KERNEL_ELF_X86_64 ? DOCTOR_OK : DOCTOR_FAILED,
           KERNEL_OF_HOST == KERNEL_ELF_X86_64 ? "" : CONFIG, "");
    _cleanup_(doctor_free) struct doctor_report r = judge(STOCK("arm64-image"), NULL);
    assert_string_equal(detail(find(&r, "kernel"), "format"), "arm64");
}

/* ---- network ---- */

static void nat_names_what_is_in_the_way(void **state)
{
    (void)state;
    expect(SOUND IMG, "network", DOCTOR_OK, "", "nat");
    expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "");
    expect(SOUND IMG "network:\n  pool: 198.51.100.0/24\n", "network", DOCTOR_FAILED, CONFIG,
           "198.51.100.0/24");
}

static void run_tool(const char *const *argv)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    spec.argv = argv;
    assert_int_equal(spawn_run(&spec, NULL, 4096, NULL, &errout, &st, NULL), 0);
    if (!st.exited || st.code != 0)
        fail_msg("%s: %s", argv[0], errout.buf);
}
#define TOOL(...) run_tool((const char *const[]){__VA_ARGS__, NULL})

#define DROPS_FORWARDED                                                                            \
    "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; "     \
    "policy drop; }"

static void foreign_drop_policy_is_a_warning(void **state)
{
    (void)state;
    TOOL("nft", DROPS_FORWARDED);
    expect(SOUND IMG, "forwarding", DOCTOR_WARNING, "", "ip filter");
    TOOL("nft", "delete table ip filter");
    expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "");
}

#define CNI(extra)                                                                                 \
    "firecracker:\n  network: cni\n  cniNetwork: box\n  cniConfDir: %/cni\n" extra IMG

#define BIN CNI("  cniBinDir: %/cnibin\n")

static void write_list(const char *plugins)
{
    _cleanup_free_ char *text = xasprintf(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"box\",\"plugins\":[%s]}", plugins);
    config_dir_write(&dir, "cni/20-box.conflist", text);
}

static void cni_list_and_plugins_are_looked_up(void **state)
{
    (void)state;
    expect("firecracker:\n  network: cni\n  cniConfDir: %/absent\n" IMG, "network", DOCTOR_FAILED,
           ENV, "cniConfDir");
    config_dir_write(&dir, "cni/10-other.conflist", "{\"name\":\"other\",\"plugins\":[]}");
    expect(BIN, "network", DOCTOR_FAILED, CONFIG, "\"box\"");
    write_list("");
    expect(BIN, "network", DOCTOR_FAILED, CONFIG, "no plugins");
    write_list("{\"type\":\"bridge\"},{\"type\":\"../bridge\"}");
    expect(BIN, "network", DOCTOR_FAILED, CONFIG, "plugin 2 has no \"type\"");
    write_list("{\"type\":\"bridge\",\"ipam\":{\"type\":\"host-local\"}},{\"type\":\"ptp\"}");
    write_program("cnibin/bridge", "#!/bin/sh\n");
    expect(BIN, "network", DOCTOR_FAILED, ENV, "host-local, ptp");
    write_list("{\"type\":\"bridge\"}");
    expect(BIN, "network", DOCTOR_FAILED, ENV, "bridge");
    write_program("cnibin/bridge", "#!/bin/sh\necho '{\"supportedVersions\":[\"0.4.0\"]}'\n");
    expect(BIN, "network", DOCTOR_FAILED, CONFIG, "does not speak");
    write_program("cnibin/bridge", "#!/bin/sh\n[ \"$CNI_COMMAND\" = VERSION ] || exit 9\n"
                                   "echo '{\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'\n");
    expect(BIN, "network", DOCTOR_OK, "", "box");
    expect(BIN, "forwarding", DOCTOR_OK, "", "no other table");
    TOOL("nft", DROPS_FORWARDED);
    expect(BIN, "forwarding", DOCTOR_WARNING, "", "ip filter");
    write_list("{\"type\":\"bridge\"},{\"type\":\"firewall\"}");
    expect(BIN, "forwarding", DOCTOR_OK, "", "firewall plugin");
    TOOL("nft", "delete table ip filter");
}

static void links_without_an_owner_are_listed(void **state)
{
    (void)state;
    expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
    TOOL("ip", "link", "add", "cbx77", "address", "02:00:00:00:00:77", "type", "bridge");
    expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "link cbx77");
    TOOL("ip", "link", "delete", "cbx77");
    expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
}

/* A VMM works in its lease's directory and leads a session of its own. */
static void processes_without_a_record_are_listed(void **state)
{
    static const char *const argv[] = {"tail", "-f", "/dev/null", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child child = CHILD_INIT;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(dir_make_all(at("state/leases/cbx_000000000001"), 0700, NULL), 0);
    _cleanup_close_ int cwd = open(at("state/leases/cbx_000000000001"), O_RDONLY | O_CLOEXEC);
    spec.argv = argv;
    spec.cwd_fd = cwd;
    spec.new_session = spec.die_with_parent = true;
    if (spawn(&spec, &child, &err) < 0)
        fail_msg("%s", err.msg);
    expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "process");
    child_kill(&child);
    expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
    assert_int_equal(dir_remove_tree(AT_FDCWD, at("state"), NULL), 0);
}

/* ---- state, memory, and changing nothing ---- */

static void state_directory_has_to_be_private(void **state)
{
    (void)state;
    expect(SOUND IMG, "state", DOCTOR_OK, "", "does not exist yet");
    assert_int_equal(access(at("state"), F_OK), -1);
    assert_int_equal(mkdir(at("state"), 0700), 0);
    assert_int_equal(chmod(at("state"), 0755), 0);
    expect(SOUND IMG, "state", DOCTOR_FAILED, CONFIG, "open to others");
    assert_int_equal(chmod(at("state"), 0700), 0);
    expect(SOUND IMG, "state", DOCTOR_OK, "", "state");
    assert_int_equal(rmdir(at("state")), 0); /* still empty: nothing was made in it */
    config_dir_write(&dir, "state", "a file");
    expect(SOUND IMG, "state", DOCTOR_FAILED, CONFIG, "not a directory");
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG, NULL);
    assert_non_null(strstr(detail(find(&r, "orphans"), "mend"), "what the check state names"));
    assert_int_equal(unlink(at("state")), 0);
}

static void too_much_memory_is_refused(void **state)
{
    (void)state;
    expect("firecracker:\n  memoryMiB: 1048576\n" IMG, "memory", DOCTOR_FAILED, CONFIG, "1048624");
    expect(SOUND IMG, "memory", DOCTOR_OK, "", "304 MiB"); /* the VMM's own 48 are in it */
    expect(SOUND IMG QEMU, "memory", DOCTOR_OK, "", "512 MiB");
    /* There, but not free: warmup refuses it, so doctor doesn't call it ready. */
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG, NULL);
    uint64_t total = 0;
    assert_int_equal(str_to_u64(detail(find(&r, "memory"), "totalMiB"), &total), 0);
    char yaml[128];
    (void)str_format(yaml, sizeof yaml, "firecracker:\n  memoryMiB: %lld\n%s",
                     (long long)total - 50, IMG);
    expect(yaml, "memory", DOCTOR_FAILED, ENV, "warmup refuses");
}

static void too_few_descriptors_are_refused(void **state)
{
    (void)state;
    struct rlimit old, few;
    expect(SOUND IMG, "limits", DOCTOR_OK, "", "");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = 42, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    expect(SOUND IMG, "limits", DOCTOR_FAILED, ENV, "too little room for descriptors");
    _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_string_equal(detail(find(&r, "limits"), "mend"), "raise ulimit -n");
}

/* As a user with no right to anything: each lack is told with what mends it on this host. */
static int judge_as_nobody(const struct config *cfg)
{
    struct doctor_report r;
    struct error err = ERROR_INIT;
    struct stat st;
    if (setresuid(65534, 65534, 65534) < 0 || stat("/dev/kvm", &st) < 0 ||
        doctor_run(cfg, at("state"), "firecracker", &r, &err) < 0)
        return 1;
    const char *mend = detail(find(&r, "kvm"), "mend");
    bool group = (st.st_mode & 060) == 060 && st.st_gid;
    bool told = access("/dev/kvm", R_OK | W_OK) == 0 ||
                strstr(mend, group ? "usermod -aG " : "setfacl -m ");
    told = told && find(&r, "state")->status == DOCTOR_FAILED && !r.ok;
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
    config_dir_write(&dir, USER_FILE, "");
    assert_int_equal(config_dir_load(&dir, NULL, 0, &cfg, &err), 0);
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
        _cleanup_(doctor_free) struct doctor_report r = judge(SOUND IMG, "firecracker");
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
        cmocka_unit_test(text_shows_each_mend),
        cmocka_unit_test(programs_are_run_not_just_found),
        cmocka_unit_test(hanging_program_meets_its_deadline),
        cmocka_unit_test(image_files_are_read),
        cmocka_unit_test(kernel_that_cannot_read_the_seed_is_refused),
        cmocka_unit_test(clone_strategy_is_named),
        cmocka_unit_test(kernel_of_another_machine_is_refused),
        cmocka_unit_test(nat_names_what_is_in_the_way),
        cmocka_unit_test(foreign_drop_policy_is_a_warning),
        cmocka_unit_test(cni_list_and_plugins_are_looked_up),
        cmocka_unit_test(links_without_an_owner_are_listed),
        cmocka_unit_test(processes_without_a_record_are_listed),
        cmocka_unit_test(state_directory_has_to_be_private),
        cmocka_unit_test(too_much_memory_is_refused),
        cmocka_unit_test(too_few_descriptors_are_refused),
        cmocka_unit_test(user_without_rights_is_told),
        cmocka_unit_test(healthy_run_is_quick),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
