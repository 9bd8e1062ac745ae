/* What goes wrong, on purpose: each ends within its deadline with a message that names the cause,
 * keeps the logs that explain it, and leaves nothing else. */
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "e2e/e2e.h"

/* ---- the VMM misbehaves ---- */

struct fault {
    const char *name, *value; /* CRABBOX_STANDIN_<name>=<value> */
    int code;
    const char *says; /* part of the message */
};

static const struct fault faults[] = {
    {"EXIT", "1", 1, "exit code 1"},
    {"EXIT", "148", 1, "148"},
    {"NO_SOCKET", "1", 5, "timed out"},
    {"HANG", "GET /version", 5, "timed out"},
    {"HANG", "PUT /machine-config", 5, "timed out"},
    {"HANG", "PUT /actions", 5, "timed out"},
    {"GARBAGE", "PUT /machine-config", 1, ""},
    {"GARBAGE", "GET /vm/config", 1, ""},
    {"REFUSE", "PUT /machine-config", 1, "refused because"},
    {"REFUSE", "PUT /boot-source", 1, "refused because"},
    {"REFUSE", "PUT /drives/seed", 1, "refused because"},
    {"REFUSE", "PUT /network-interfaces", 1, "refused because"},
    {"REFUSE", "PUT /actions", 1, "refused because"},
    {"DIE", "PUT /drives/seed", 1, "signal 9"},
    {"DIE", "PUT /actions", 1, "Firecracker ended while it was starting"},
    {"ALTER", "machine-config.vcpu_count=7", 1, "vcpu_count"},
    {"ALTER", "machine-config.mem_size_mib", 1, "mem_size_mib"},
    {"ALTER", "drives.0.is_read_only=false", 1, "is_read_only"},
    {"ALTER", "drives.1.path_on_host=\"/etc/passwd\"", 1, "path_on_host"},
    {"ALTER", "network-interfaces.0.guest_mac=\"06:00:00:00:00:99\"", 1, "guest_mac"},
    {"ALTER", "boot-source.boot_args=\"\"", 1, "boot_args"},
    {"GUEST", "silent", 5, "timed out"},
    {"GUEST", "deaf", 5, "timed out"},
    {"GUEST", "ignore-seed", 5, "timed out"},
    {"GUEST", "hostkey", 7, "host key"},
    {"GUEST", "nonce", 7, "nonce"},
    {"GUEST", "panic", 1, ""},
};

static void check_fault(const struct fault *f)
{
    _cleanup_free_ char *name = xasprintf("CRABBOX_STANDIN_%s", f->name);
    bed_setenv(&bed, name, f->value);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "1500ms");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "faulty");
    print_message("%s=%s: %d in %lld ms: %s", f->name, f->value, r.st.code, (long long)r.took_ms,
                  r.err.buf);
    bed_assert_code(r, f->code);
    bed_assert_has(r.err.buf, f->says);
    bed_assert_clean(&bed);
    /* The message says where the logs are, and they are there. */
    bed_assert_has(r.err.buf, "logs faulty");
    bed_clear_faults(&bed);
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "logs", "faulty");
    bed_assert_code(l, 0);
    assert_true(l.out.len > 0);
}

static void test_vmm_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        check_fault(&faults[i]);
}

/* Ten megabytes: nothing breaks, and the host's disk keeps no more than the end of them. */
static void test_a_flood_on_the_console_is_no_trouble(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_GUEST", "chatty");
    e2e_warmup("chatty");
    e2e_shell(
        "cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm; n=0; test $(stat -c %s console.log) -gt "
        "10000000; "
        "while [ $(($(stat -c %b console.log) * 512)) -gt 8388608 ]; do n=$((n + 1)); "
        "[ $n -lt 200 ]; sleep 0.05; done");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "logs", "--console", "chatty");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "bytes were dropped: a log keeps only its end]");
    assert_in_range(l.out.len, 1 << 20, 8 << 20);
    e2e_stop("chatty");
}

static void test_a_guest_that_ignores_the_shutdown_is_killed(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_IGNORE_SHUTDOWN", "1");
    bed_setenv(&bed, "CRABBOX_FC_LEASE_STOP_TIMEOUT", "300ms");
    e2e_warmup("deaf");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "stop", "deaf");
    bed_assert_code(s, 0);
    bed_assert_has(s.out.buf, "killed");
    assert_true(s.took_ms >= 300);
}

static void test_a_vmm_without_its_own_filter(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_NO_FILTER", "1");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "open");
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "without its own filter of system calls");
    bed_assert_clean(&bed);
}

/* An older Firecracker has no /serial: nothing newer than it may be sent. */
static void test_an_older_version(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_VERSION", "1.8.0");
    e2e_warmup("older");
    e2e_stop("older");
}

/* ---- the host lacks something ---- */

static void test_missing_vmm(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", "/nonexistent/firecracker");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
    assert_true(r.st.exited && r.st.code != 0);
    bed_assert_has(r.err.buf, "/nonexistent/firecracker");
}

static void test_not_a_vmm(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", "/bin/true");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
    assert_true(r.st.exited && r.st.code != 0);
    bed_assert_has(r.err.buf, "/bin/true");
}

static void test_no_cap_net_admin(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "setpriv", "--inh-caps", "-net_admin",
                                                        "--bounding-set", "-net_admin", bed.program,
                                                        "warmup");
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "CAP_NET_ADMIN");
}

/* State on a small filesystem of its own, b->dir/small. */
static void small_state(const char *options)
{
    _cleanup_free_ char *small = xasprintf("%s/small", bed.dir);
    (void)mkdir(small, 0700);
    assert_int_equal(mount("small", small, "tmpfs", 0, options), 0);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", small);
}

static void fill_small(void)
{
    E2E_EXEC_OK("sh", "-c", "! cat /dev/zero > \"$CRABBOX_FC_STATE_DIR/ballast\"");
}

/* No lease is on it; then it goes. */
static void end_small_state(void)
{
    _cleanup_free_ char *small = xasprintf("%s/small", bed.dir);
    _cleanup_bed_result_ struct bed_result left = BED_EXEC(
        &bed, "sh", "-ec", "cd \"$CRABBOX_FC_STATE_DIR\"; ls -A leases slugs | grep -v :");
    if (left.out.buf[strspn(left.out.buf, "\n")])
        fail_msg("left in the state directory: %s", left.out.buf);
    bed_clear_faults(&bed);
    assert_int_equal(umount(small), 0);
    bed_assert_clean(&bed);
}

static void test_full_disk_is_found_before_anything_is_made(void **state)
{
    (void)state;
    static const char *const options[] = {"mode=0700,size=256k", "mode=0700,size=1m",
                                          "mode=0700,size=256m,nr_inodes=10"};
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        small_state(options[i]);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "full");
        print_message("%s: %s", options[i], r.err.buf);
        bed_assert_code(r, 1);
        bed_assert_has(r.err.buf, "/small");
        bed_assert_has(r.err.buf, "free");
        end_small_state();
    }
}

/* Full while the warmup waits for its guest: the rollback needs no room. */
static void test_disk_that_fills_up_during_a_warmup(void **state)
{
    (void)state;
    small_state("mode=0700,size=256m");
    bed_setenv(&bed, "CRABBOX_STANDIN_GUEST", "deaf");
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "2s");
    struct child c = e2e_warmup_stuck("full");
    fill_small();
    assert_int_equal(e2e_code(&c, 60000), 5);
    end_small_state();
}

static void stop_on_a_full_disk(void)
{
    small_state("mode=0700,size=256m");
    e2e_warmup("full");
    fill_small();
    e2e_stop("full");
    end_small_state();
}

static void test_stop_on_a_full_disk(void **state)
{
    (void)state;
    stop_on_a_full_disk();
    const char *plugins = bed_cni_dir();
    if (!plugins)
        return;
    bed_use_cni(&bed, plugins,
                "{\"cniVersion\":\"1.0.0\",\"name\":\"box\",\"plugins\":[{"
                "\"type\":\"ptp\"," BED_CNI_IPAM "}]}");
    stop_on_a_full_disk();
    bed_assert_cni_clean(&bed);
}

/* ---- bad images ---- */

static void in_image(const char *script)
{
    _cleanup_free_ char *full = xasprintf("cd '%s'; %s", bed.image, script);
    e2e_shell(full);
}

static void test_bad_images(void **state)
{
    (void)state;
    static const struct {
        const char *harm, *fix, *says;
        bool missing;
    } cases[] = {
        {"mv vmlinux v", "mv v vmlinux", "vmlinux", true},
        {"mv vmlinux v; : > vmlinux", "mv v vmlinux", "empty", false},
        {"mv vmlinux v; echo text > vmlinux", "mv v vmlinux", "vmlinux", false},
        {"mv vmlinux v; mkfifo vmlinux", "rm vmlinux; mv v vmlinux", "vmlinux", false},
        {"mv rootfs.ext4 r", "mv r rootfs.ext4", "rootfs.ext4", true},
        {"mv rootfs.ext4 r; truncate -s 1M rootfs.ext4", "mv r rootfs.ext4", "filesystem", false},
        {"mv initrd.cpio i; : > initrd.cpio", "mv i initrd.cpio", "initrd", false},
        {"mv image.json j", "mv j image.json", "image.json", true},
        {"mv image.json j; echo '{' > image.json", "mv j image.json", "image.json", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        in_image(cases[i].harm);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
        print_message("%s: %s", cases[i].harm, r.err.buf);
        bed_assert_code(r, cases[i].missing ? 1 : 2);
        bed_assert_has(r.err.buf, cases[i].says);
        in_image(cases[i].fix);
        bed_assert_clean(&bed);
    }
    bed_setenv(&bed, "CRABBOX_FC_IMAGE_DIR", "/nonexistent");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "build-image.sh");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_vmm_faults),
        E2E_TEST(test_a_flood_on_the_console_is_no_trouble),
        E2E_TEST(test_a_guest_that_ignores_the_shutdown_is_killed),
        E2E_TEST(test_a_vmm_without_its_own_filter),
        E2E_TEST(test_an_older_version),
        E2E_TEST(test_missing_vmm),
        E2E_TEST(test_not_a_vmm),
        E2E_TEST(test_no_cap_net_admin),
        E2E_TEST(test_full_disk_is_found_before_anything_is_made),
        E2E_TEST(test_disk_that_fills_up_during_a_warmup),
        E2E_TEST(test_stop_on_a_full_disk),
        E2E_TEST(test_bad_images),
    };
    bed.run_timeout_ms = 20000; /* whatever happens, no command may hang */
    return E2E_MAIN(tests);
}
