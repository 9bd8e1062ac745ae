/* kvm.h: checks that KVM really runs guest code on this host, not only that /dev/kvm opens.
 *
 * A host can offer a /dev/kvm that opens and creates VMs and still fail on the first cmpxchg16b of
 * an unmodified kernel (page tables virtualised in software, guest kernel code through an
 * instruction emulator). CPU flags don't show this. So the probe makes a VM with one vCPU and 64
 * KiB of memory, enters 64-bit long mode with paging and runs a few dozen instructions. Among them
 * are those that such hosts can't run.
 *
 * It all happens in a child process that dies with us: a probe that hangs is killed at its
 * deadline, nothing outlives the call, and no signal handler, thread or descriptor of the caller is
 * touched. It takes milliseconds on a healthy host, and never longer than KVM_PROBE_MAX_MS.
 *
 * Errors: kvm_probe fails (-1) only when the probe could not be made (no process, cancelled); a
 * host whose KVM does not work is a success with `works` false and a `reason`. "Could not check"
 * never counts as working.
 */
#ifndef CRABBOX_SYS_KVM_H
#define CRABBOX_SYS_KVM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sys/deadline.h"

#define KVM_PROBE_MAX_MS 2000

/* How far the probe came. All stages before this one worked. */
enum kvm_stage {
    KVM_STAGE_OPEN,        /* open /dev/kvm */
    KVM_STAGE_API,         /* KVM_GET_API_VERSION is 12 */
    KVM_STAGE_CREATE_VM,   /* an empty VM */
    KVM_STAGE_CREATE_VCPU, /* one vCPU */
    KVM_STAGE_SETUP,       /* memory, CPUID, registers of 64-bit mode */
    KVM_STAGE_BOOT,        /* the first guest instruction */
    KVM_STAGE_CMPXCHG16B,
    KVM_STAGE_INT3, /* a trap through the guest's own IDT, and iretq */
    KVM_STAGE_XRSTOR,
    KVM_STAGE_EXIT, /* port output and hlt */
    KVM_STAGE_DONE, /* all of it worked */
};

struct kvm_report {
    bool works;                                   /* stage == KVM_STAGE_DONE */
    enum kvm_stage stage;                         /* the one that failed, or KVM_STAGE_DONE */
    int sys;                                      /* errno of a failed call, 0 if none failed */
    bool timed_out;                               /* the stage was still going on at the deadline */
    bool xrstor_tested;                           /* false if the CPU has no XSAVE to test */
    int api_version;                              /* 0 until known */
    int64_t create_vm_us, create_vcpu_us, run_us; /* -1 until measured */
    uint32_t exit_reason;                         /* of KVM_RUN, 0 until it ran */
    uint32_t suberror;                            /* of KVM_EXIT_INTERNAL_ERROR */
    char reason[256];                             /* one line for people; "" when it works */
};

int kvm_probe(struct kvm_report *out, const struct deadline *d, struct error *err);

/* Stable lower-case word: "open", "create-vm", "cmpxchg16b", … */
const char *kvm_stage_name(enum kvm_stage stage);

#endif
