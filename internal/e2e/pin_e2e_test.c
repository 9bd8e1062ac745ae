/* Pins, through the whole program: a kernel, root or VMM that is not the one that was meant never
 * gets to run a guest.
 */
#include <unistd.h>

#include "e2e/e2e.h"

/* A line of shell in the image's directory, $0 being the program. Its output is the result's. */
static struct bed_result in_image(const char *script)
{
    _cleanup_free_ char *text = xasprintf("cd \"$CRABBOX_FC_IMAGE_DIR\"; %s", script);
    struct bed_result r = BED_EXEC(&bed, "sh", "-ec", text, bed.program);
    bed_assert_code(r, 0);
    return r;
}

static void refused(const char *message)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "a");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, message);
    bed_assert_clean(&bed);
}

static void accepted(void)
{
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result pin = in_image(
        "test \"$(\"$0\" status a --json | jq -r .image.pin)\" = "
        "sha256:$(sha256sum <rootfs.ext4 | cut -d' ' -f1)");
    e2e_stop("a");
}

static void test_a_changed_file_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const files[] = {"vmlinux", "initrd.cpio", "rootfs.ext4"};
    accepted();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        /* One byte, far from the headers; size and time of modification stay. */
        _cleanup_free_ char *harm = xasprintf(
            "cp -a %s aside; touch -r %s then; size=$(stat -c %%s %s); "
            "printf '\\377' | dd of=%s bs=1 seek=$((size - 1)) conv=notrunc status=none; "
            "touch -r then %s",
            files[i], files[i], files[i], files[i], files[i]);
        _cleanup_bed_result_ struct bed_result h = in_image(harm);
        _cleanup_free_ char *says = xasprintf("/%s is not the pinned one", files[i]);
        refused(says);
        _cleanup_free_ char *fix = xasprintf("mv aside %s; rm then", files[i]);
        _cleanup_bed_result_ struct bed_result m = in_image(fix);
    }
    accepted();
}

/* The hash of a file of gigabytes is not taken for each lease. */
static void test_what_was_verified_is_remembered(void **state)
{
    (void)state;
    static const char ask[] =
        "\"$0\" doctor --json | jq -r '.checks[] | select(.check == \"image\").details.pinRootfs'";
    _cleanup_bed_result_ struct bed_result before = in_image("cp rootfs.ext4 n; mv n rootfs.ext4");
    _cleanup_bed_result_ struct bed_result no = in_image(ask);
    assert_string_equal(no.out.buf, "not verified yet\n");
    sleep(3); /* a file that changed a moment ago is not remembered */
    accepted();
    _cleanup_bed_result_ struct bed_result yes = in_image(ask);
    assert_string_equal(yes.out.buf, "verified\n");
}

static void test_the_vmm_is_pinned_too(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result sum = in_image(
        "sha256sum <\"$CRABBOX_FIRECRACKER_BINARY\" | cut -d' ' -f1 | tr -d '\\n'");
    bed_setenv(&bed, "CRABBOX_FC_PIN_VMM", sum.out.buf);
    accepted();
    sum.out.buf[0] = sum.out.buf[0] == '0' ? '1' : '0';
    bed_setenv(&bed, "CRABBOX_FC_PIN_VMM", sum.out.buf);
    refused("VMM program ");
}

/* A "firecracker" that does something before it becomes the real one. */
static void wrap_vmm(const char *script)
{
    _cleanup_free_ char *text = xasprintf(
        "printf '#!/bin/sh\\n%s\\nexec \"%s/tools/standin-firecracker\" \"$@\"\\n' >../wrapper; "
        "chmod 755 ../wrapper",
        script, bed.build);
    _cleanup_bed_result_ struct bed_result r = in_image(text);
    _cleanup_free_ char *path = xasprintf("%s/wrapper", bed.dir);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", path);
}

static void test_a_file_swapped_after_its_check_is_seen(void **state)
{
    (void)state;
    _cleanup_free_ char *swap = xasprintf("cd %s && cp initrd.cpio n && mv n initrd.cpio; cd - "
                                          ">/dev/null",
                                          bed.image);
    wrap_vmm(swap);
    refused("initrd.cpio changed between its check and its use");
}

/* Another directory stands in the place of the image's when the VMM starts; with it a kernel that
 * would not boot. */
static void test_a_directory_swapped_after_its_check_is_not_used(void **state)
{
    (void)state;
    _cleanup_free_ char *swap = xasprintf(
        "mv %s %s.aside && mkdir %s && echo no >%s/vmlinux && echo no >%s/initrd.cpio && "
        "echo no >%s/rootfs.ext4",
        bed.image, bed.image, bed.image, bed.image, bed.image, bed.image);
    wrap_vmm(swap);
    e2e_warmup("a");
    e2e_stop("a");
    _cleanup_free_ char *back = xasprintf("rm -r %s; mv %s.aside %s", bed.image, bed.image,
                                          bed.image);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-ec", back);
    bed_assert_code(r, 0);
}

/* The pin is of what runs: a wrapper passes for itself, not for what it becomes. */
static void test_a_wrapper_does_not_pass_for_the_vmm(void **state)
{
    (void)state;
    wrap_vmm(":");
    _cleanup_bed_result_ struct bed_result sum = in_image(
        "sha256sum <../wrapper | cut -c1-64 | tr -d "
        "'\\n'");
    bed_setenv(&bed, "CRABBOX_FC_PIN_VMM", sum.out.buf);
    refused("/exe changed between its check and its use");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_changed_file_is_refused_and_named),
        E2E_TEST(test_what_was_verified_is_remembered),
        E2E_TEST(test_the_vmm_is_pinned_too),
        E2E_TEST(test_a_file_swapped_after_its_check_is_seen),
        E2E_TEST(test_a_directory_swapped_after_its_check_is_not_used),
        E2E_TEST(test_a_wrapper_does_not_pass_for_the_vmm),
    };
    bed.run_timeout_ms = 30000;
    return E2E_MAIN(tests);
}
