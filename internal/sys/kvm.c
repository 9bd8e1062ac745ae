/* kvm.c: runs a small guest to find out whether KVM works.
 *
 * A child process does it all, because a broken KVM may hang or crash: it opens /dev/kvm, makes a
 * VM with one vCPU, copies the guest program (kvm_guest.c) into its memory, sets page tables,
 * segments and registers for 64-bit mode, and runs it. The child notes its progress in shared
 * memory. The parent waits with a deadline, kills the child if necessary, and turns the last stage
 * into a message.
 */
#include "sys/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/kvm_guest.h"

/* How long a child that hangs in the kernel may take to end after SIGKILL. */
#define KVM_KILL_MS 500

#define KVM_CPUID_MAX 256

/* Memory that child and parent share. The child writes the stage down before it tries it, so the
 * parent knows the stage whatever happens to the child. */
struct probe {
    struct kvm_report report;
    uint8_t insn[15]; /* the instruction that the emulator did not know */
    uint8_t insn_len;
};

static const char *const stage_names[] = {
    [KVM_STAGE_OPEN] = "open",
    [KVM_STAGE_API] = "api",
    [KVM_STAGE_CREATE_VM] = "create-vm",
    [KVM_STAGE_CREATE_VCPU] = "create-vcpu",
    [KVM_STAGE_SETUP] = "setup",
    [KVM_STAGE_BOOT] = "boot",
    [KVM_STAGE_CMPXCHG16B] = "cmpxchg16b",
    [KVM_STAGE_INT3] = "int3",
    [KVM_STAGE_XRSTOR] = "xrstor",
    [KVM_STAGE_EXIT] = "exit",
    [KVM_STAGE_DONE] = "done",
};

const char *kvm_stage_name(enum kvm_stage stage)
{
    return (size_t)stage < ARRAY_LEN(stage_names) ? stage_names[stage] : "unknown";
}

/* ---- the child: only system calls up to the parent's part, because it runs after fork ---- */

struct vm {
    int kvm, vm, vcpu; /* closed when the child ends */
    uint8_t *mem;
    struct kvm_run *run;
    size_t run_size;
    bool xsave;
};

#ifdef __x86_64__

static void put64(uint8_t *mem, size_t at, uint64_t value)
{
    memcpy(mem + at, &value, sizeof value);
}

/* Page tables that map the first 2 MiB onto themselves, flat segments, one IDT gate, the code. */
static void fill_memory(const struct vm *v)
{
    const uint64_t present_rw = 3, large = 1U << 7;
    const uint64_t handler = KVM_GUEST_CODE +
                             ((uintptr_t)kvm_guest_int3 - (uintptr_t)kvm_guest_begin);
    put64(v->mem, KVM_GUEST_PML4, KVM_GUEST_PDPT | present_rw);
    put64(v->mem, KVM_GUEST_PDPT, KVM_GUEST_PD | present_rw);
    put64(v->mem, KVM_GUEST_PD, present_rw | large);
    put64(v->mem, KVM_GUEST_GDT + 8, 0x00af9b000000ffffULL);  /* selector 8: 64-bit code */
    put64(v->mem, KVM_GUEST_GDT + 16, 0x00cf93000000ffffULL); /* selector 16: data */
    put64(v->mem, KVM_GUEST_IDT + 3 * 16, (handler & 0xffff) | 8ULL << 16 | 0x8eULL << 40);
    memcpy(v->mem + KVM_GUEST_CODE, kvm_guest_begin,
           (uintptr_t)kvm_guest_end - (uintptr_t)kvm_guest_begin);
    v->mem[KVM_GUEST_HAS_XSAVE] = v->xsave;
}

/* Gives the guest every CPU feature that KVM offers. */
static int set_cpuid(struct vm *v)
{
    union {
        struct kvm_cpuid2 head;
        uint8_t room[sizeof(struct kvm_cpuid2) + KVM_CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
    } cpuid;
    const uint32_t xsave_bit = 1U << 26;
    memset(&cpuid, 0, sizeof cpuid);
    cpuid.head.nent = KVM_CPUID_MAX;
    if (ioctl(v->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
        return -1;
    for (uint32_t i = 0; i < cpuid.head.nent; i++)
        if (cpuid.head.entries[i].function == 1)
            v->xsave = (cpuid.head.entries[i].ecx & xsave_bit) != 0;
    return ioctl(v->vcpu, KVM_SET_CPUID2, &cpuid);
}

/* The state that a boot loader would leave: long mode, paging on, interrupts off. */
static int set_registers(const struct vm *v)
{
    const uint64_t cr0_pe = 1, cr0_mp = 2, cr0_et = 16, cr0_ne = 32, cr0_wp = 1U << 16,
                   cr0_pg = 1U << 31;
    const uint64_t cr4_pae = 1U << 5, cr4_osfxsr = 1U << 9, cr4_osxmmexcpt = 1U << 10,
                   cr4_osxsave = 1U << 18;
    const uint64_t efer_lme = 1U << 8, efer_lma = 1U << 10;
    struct kvm_sregs s;
    if (ioctl(v->vcpu, KVM_GET_SREGS, &s) < 0)
        return -1;
    const struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    const struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
    s.ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    s.gdt = (struct kvm_dtable){.base = KVM_GUEST_GDT, .limit = 3 * 8 - 1};
    s.idt = (struct kvm_dtable){.base = KVM_GUEST_IDT, .limit = 4 * 16 - 1};
    s.cr0 = cr0_pe | cr0_mp | cr0_et | cr0_ne | cr0_wp | cr0_pg;
    s.cr3 = KVM_GUEST_PML4;
    s.cr4 = cr4_pae | cr4_osfxsr | cr4_osxmmexcpt | (v->xsave ? cr4_osxsave : 0);
    s.efer = efer_lme | efer_lma;
    if (ioctl(v->vcpu, KVM_SET_SREGS, &s) < 0)
        return -1;
    const struct kvm_regs r = {
        .rip = KVM_GUEST_CODE, .rsp = KVM_GUEST_STACK, .rflags = 2 /* the bit that is always 1 */};
    return ioctl(v->vcpu, KVM_SET_REGS, &r);
}

/* Memory, CPU features and registers. */
static int set_up(struct vm *v)
{
    struct kvm_userspace_memory_region region = {.memory_size = KVM_GUEST_MEM};
    v->mem = mmap(NULL, KVM_GUEST_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v->mem == MAP_FAILED)
        return -1;
    region.userspace_addr = (uintptr_t)v->mem;
    if (ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -1;
    int size = ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof *v->run)
        return -1;
    v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
    if (v->run == MAP_FAILED || set_cpuid(v) < 0)
        return -1;
    fill_memory(v);
    return set_registers(v);
}

/* The stage that the guest was in, by the last step that it noted. */
static enum kvm_stage guest_stage(const struct vm *v)
{
    switch (*(volatile uint8_t *)(v->mem + KVM_GUEST_STEP)) {
    case 0:
        return KVM_STAGE_BOOT;
    case KVM_GUEST_STEP_BOOTED:
        return KVM_STAGE_CMPXCHG16B;
    case KVM_GUEST_STEP_CMPXCHG16B:
        return KVM_STAGE_INT3;
    case KVM_GUEST_STEP_INT3:
        return KVM_STAGE_XRSTOR;
    default:
        return KVM_STAGE_EXIT;
    }
}

/* Enters the guest once. True if it left for the reason `want`; otherwise notes the reason. */
static bool run_until(struct vm *v, struct probe *p, uint32_t want)
{
    struct kvm_report *r = &p->report;
    int rc = ioctl(v->vcpu, KVM_RUN, 0);
    int saved = errno;
    r->stage = guest_stage(v);
    if (rc < 0) {
        r->sys = saved;
        return false;
    }
    r->exit_reason = v->run->exit_reason;
    if (r->exit_reason == want)
        return true;
    if (r->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        r->suberror = v->run->emulation_failure.suberror;
        if (r->suberror == KVM_INTERNAL_ERROR_EMULATION && v->run->emulation_failure.ndata >= 3 &&
            (v->run->emulation_failure.flags &
             KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
            p->insn_len = v->run->emulation_failure.insn_size;
            memcpy(p->insn, v->run->emulation_failure.insn_bytes, sizeof p->insn);
        }
    }
    return false;
}

/* The guest reports the result of its checks by one port write, and then halts. */
static void run_guest(struct vm *v, struct probe *p)
{
    if (!run_until(v, p, KVM_EXIT_IO))
        return;
    const uint8_t *said = (const uint8_t *)v->run + v->run->io.data_offset;
    if (v->run->io.port != KVM_GUEST_PORT || v->run->io.direction != KVM_EXIT_IO_OUT ||
        *said != KVM_GUEST_PASS)
        return;
    if (run_until(v, p, KVM_EXIT_HLT))
        p->report.stage = KVM_STAGE_DONE;
}

#else

static int set_up(struct vm *v)
{
    (void)v;
    errno = ENOSYS; /* no guest program for this architecture yet: unchecked counts as failed */
    return -1;
}

static void run_guest(struct vm *v, struct probe *p)
{
    (void)v;
    (void)p;
}

#endif

/* Notes the next stage, or errno if `rc` is an error. */
static bool step_ok(struct probe *p, int rc, enum kvm_stage next)
{
    if (rc < 0) {
        p->report.sys = errno;
        return false;
    }
    p->report.stage = next;
    return true;
}

static void probe_in_child(struct probe *p)
{
    struct kvm_report *r = &p->report;
    struct vm v = {.kvm = -1, .vm = -1, .vcpu = -1};

    v.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (!step_ok(p, v.kvm, KVM_STAGE_API))
        return;
    r->api_version = ioctl(v.kvm, KVM_GET_API_VERSION, 0);
    if (!step_ok(p, r->api_version, KVM_STAGE_API) || r->api_version != KVM_API_VERSION)
        return;
    r->stage = KVM_STAGE_CREATE_VM;
    int64_t t0 = clock_boot_us();
    v.vm = ioctl(v.kvm, KVM_CREATE_VM, 0);
    if (!step_ok(p, v.vm, KVM_STAGE_CREATE_VCPU))
        return;
    int64_t t1 = clock_boot_us();
    r->create_vm_us = t1 - t0;
    v.vcpu = ioctl(v.vm, KVM_CREATE_VCPU, 0);
    if (!step_ok(p, v.vcpu, KVM_STAGE_SETUP))
        return;
    r->create_vcpu_us = clock_boot_us() - t1;
    if (!step_ok(p, set_up(&v), KVM_STAGE_BOOT))
        return;
    int64_t t2 = clock_boot_us();
    run_guest(&v, p);
    r->run_us = clock_boot_us() - t2;
    r->xrstor_tested = v.xsave && r->stage > KVM_STAGE_XRSTOR;
}

/* ---- the parent ---- */

/* Forks the probe with every signal blocked, so that no handler of ours runs twice. Returns a
 * pidfd. */
static int start_child(struct probe *p, pid_t *pid, struct error *err)
{
    sigset_t all, old;
    pid_t self = getpid();
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    *pid = fork();
    if (*pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == self)
            probe_in_child(p);
        _exit(0);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (*pid < 0)
        return error_set(err, ERR_ENV, saved, "start the KVM probe");
    int fd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (fd < 0) {
        saved = errno;
        (void)kill(*pid, SIGKILL); /* our unreaped child: the number is still its own */
        (void)waitpid(*pid, NULL, 0);
        return error_set(err, ERR_ENV, saved, "watch the KVM probe");
    }
    return fd;
}

/* Waits for the child and reaps it. 0: it ended by itself; 1: it was killed at the deadline; -1:
 * cancelled, or another error. The child is gone in each case, unless it can't be killed because it
 * hangs in the kernel (also 1). */
static int finish_child(int pidfd, const struct deadline *d, struct error *err)
{
    struct error first = ERROR_INIT;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    siginfo_t info;
    int rc = deadline_poll_once(&p, 1, d, "the KVM probe", &first);
    if (rc < 0) {
        const struct deadline grace = deadline_in_ms(KVM_KILL_MS);
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)deadline_poll_once(&p, 1, &grace, "the KVM probe to die", NULL);
    }
    (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    if (rc >= 0)
        return 0;
    if (first.kind == ERR_TIMEOUT)
        return 1;
    if (err)
        *err = first;
    return -1;
}

/* The message for a stage before the guest runs. */
static void explain_call(const struct kvm_report *r, struct strbuf *sb)
{
    static const char *const what[] = {
        [KVM_STAGE_OPEN] = "open /dev/kvm",
        [KVM_STAGE_API] = "ask /dev/kvm for its API version",
        [KVM_STAGE_CREATE_VM] = "create a VM",
        [KVM_STAGE_CREATE_VCPU] = "create a vCPU",
        [KVM_STAGE_SETUP] = "set up memory and registers of the vCPU",
    };
    if (r->stage == KVM_STAGE_API && r->sys == 0 && !r->timed_out)
        strbuf_addf(sb, "/dev/kvm has API version %d, not %d", r->api_version, KVM_API_VERSION);
    else if (r->stage == KVM_STAGE_SETUP && r->sys == ENOSYS)
        strbuf_adds(sb, "KVM can't be checked on this architecture");
    else
        strbuf_addf(sb, "%s: %s", what[r->stage],
                    r->timed_out ? "no answer in time" : strerror(r->sys));
}

static void explain_guest(const struct probe *p, struct strbuf *sb)
{
    const struct kvm_report *r = &p->report;
    strbuf_adds(sb, "/dev/kvm opens but can't run an unmodified kernel: ");
    if (r->stage == KVM_STAGE_BOOT)
        strbuf_adds(sb, "the first guest instruction in 64-bit mode");
    else if (r->stage == KVM_STAGE_EXIT)
        strbuf_adds(sb, "the guest's port write or halt");
    else
        strbuf_addf(sb, "the guest's %s", kvm_stage_name(r->stage));
    if (r->timed_out)
        strbuf_adds(sb, " did not end in time");
    else if (r->sys != 0)
        strbuf_addf(sb, " failed (KVM_RUN: %s)", strerror(r->sys));
    else if (r->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        strbuf_addf(sb, " failed (KVM internal error, suberror %u)", r->suberror);
    else if (r->exit_reason == KVM_EXIT_SHUTDOWN)
        strbuf_adds(sb, " failed (triple fault)");
    else if (r->exit_reason == KVM_EXIT_IO)
        strbuf_adds(sb, " gave a wrong result");
    else
        strbuf_addf(sb, " failed (KVM exit %u)", r->exit_reason);
    for (unsigned i = 0; i < p->insn_len && i < 8 && i < sizeof p->insn; i++)
        strbuf_addf(sb, "%s%02x", i == 0 ? ", at bytes " : " ", p->insn[i]);
}

static void explain(struct probe *p)
{
    struct kvm_report *r = &p->report;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    r->works = r->stage == KVM_STAGE_DONE && !r->timed_out;
    if (r->works)
        return;
    if (r->stage < KVM_STAGE_BOOT)
        explain_call(r, &sb);
    else
        explain_guest(p, &sb);
    (void)snprintf(r->reason, sizeof r->reason, "%s", sb.buf);
}

int kvm_probe(struct kvm_report *out, const struct deadline *d, struct error *err)
{
    const struct deadline mine = deadline_sub(d, KVM_PROBE_MAX_MS);
    struct probe *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                           0);
    if (p == MAP_FAILED)
        return error_set(err, ERR_ENV, errno, "memory for the KVM probe");
    p->report.create_vm_us = p->report.create_vcpu_us = p->report.run_us = -1;
    pid_t pid;
    int rc = -1;
    _cleanup_close_ int pidfd = start_child(p, &pid, err);
    if (pidfd >= 0)
        rc = finish_child(pidfd, &mine, err);
    if (rc >= 0) {
        struct probe seen = *p; /* a copy: a child that can't be killed could still write */
        seen.report.timed_out = rc == 1 && seen.report.stage != KVM_STAGE_DONE;
        explain(&seen);
        *out = seen.report;
    }
    (void)munmap(p, sizeof *p);
    return rc < 0 ? -1 : 0;
}
