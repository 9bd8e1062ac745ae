/* Limits of the real QEMU's drives, confined as a lease has it by default: it takes them, and tells
 * them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "testutil/vmmfix.h"
#include "vmm/vmm.h"

static void drives_are_limited(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct vmmfix *f = vmmfix_make("/usr/bin/qemu-system-x86_64", VMM_TCG);
    assert_non_null(f);
    f->spec.sandbox = true;
    f->spec.limits = (struct vmm_limits){.disk_bytes = 8 << 20, .disk_ops = 500};
    if (vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, &err), 0);
    f->spec.limits = (struct vmm_limits){.console_bytes = 1024};
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "QEMU can't limit the guest's console; next: "));
    assert_int_equal(f->started, 1);
    assert_int_equal(vmmfix_drop(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drives_are_limited),
    };
    const char *lacks = vmmfix_enter();
    if (lacks) {
        print_message("%s: this machine lacks %s\n", getenv("CI") ? "failed" : "skipped", lacks);
        return getenv("CI") != NULL;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
