/* bench_sandbox.c: what it costs to confine a VMM: the real QEMU, launched and asked, with and
 * without, in turn. No guest runs. */
#include "base/cleanup.h"
#include "bench/bench.h"
#include "testutil/vmmfix.h"

#define QEMU "/usr/bin/qemu-system-x86_64"

enum { ROUNDS = 15, ROUNDS_QUICK = 2 };

static int launch(bool sandbox, struct samples *s, struct error *err)
{
    struct vmmfix *f = vmmfix_make(QEMU, VMM_TCG);
    if (!f)
        return error_set(err, ERR_INTERNAL, 0, "no place for a VMM");
    f->spec.sandbox = sandbox;
    int64_t t0 = clock_boot_us();
    int r = vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, err);
    samples_add(s, (double)(clock_boot_us() - t0) / 1000);
    (void)vmm_end(&f->ref, f->dirfd, 0, NULL, NULL, NULL);
    (void)vmmfix_drop(f);
    return r;
}

int bench_sandbox(struct bench *b, struct error *err)
{
    static struct samples with, without;
    const char *lacks = vmmfix_enter();
    if (lacks) {
        bench_row_skip("confined beside not", lacks);
        return 0;
    }
    for (int i = 0; i < (b->quick ? ROUNDS_QUICK : ROUNDS); i++)
        if (launch(true, &with, err) < 0 || launch(false, &without, err) < 0)
            return -1;
    bench_row("QEMU launched, confined", &with, "ms", BENCH_HOST);
    bench_row("  with all of root's rights", &without, "ms", BENCH_HOST);
    bench_row_one("    ratio", samples_median(&with) / samples_median(&without), "", BENCH_HOST);
    return 0;
}
