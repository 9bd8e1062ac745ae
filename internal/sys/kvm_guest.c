/* The probe's guest program, in 64-bit mode at KVM_GUEST_CODE. It is assembled into our read-only
 * data and never runs here, only in the guest: every address in it is absolute and low. */
#include "sys/kvm_guest.h"

#ifdef __x86_64__

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define STEP(n)  "    movb $" TEXT(n) ", " TEXT(KVM_GUEST_STEP) "\n"

/* One instruction a line. */
/* clang-format off */
__asm__(
    ".pushsection .rodata\n"
    ".globl kvm_guest_begin, kvm_guest_int3, kvm_guest_end\n"
    ".hidden kvm_guest_begin, kvm_guest_int3, kvm_guest_end\n"
    "kvm_guest_begin:\n"
    STEP(KVM_GUEST_STEP_BOOTED)

    /* Replace 16 zero bytes by a pattern, and check that it is there. */
    "    xorl %eax, %eax\n"
    "    xorl %edx, %edx\n"
    "    movl $0x11111111, %ebx\n"
    "    movl $0x22222222, %ecx\n"
    "    lock cmpxchg16b " TEXT(KVM_GUEST_WIDE) "\n"
    "    jnz 9f\n"
    "    cmpq %rbx, " TEXT(KVM_GUEST_WIDE) "\n"
    "    jne 9f\n"
    "    cmpq %rcx, " TEXT(KVM_GUEST_WIDE) "+8\n"
    "    jne 9f\n"
    STEP(KVM_GUEST_STEP_CMPXCHG16B)

    /* A trap into the handler below and back. */
    "    int3\n"
    "    cmpb $1, " TEXT(KVM_GUEST_TRAPS) "\n"
    "    jne 9f\n"
    STEP(KVM_GUEST_STEP_INT3)

    /* XCR0 = x87 and SSE, then restore the initial state of both from the area. */
    "    cmpb $0, " TEXT(KVM_GUEST_HAS_XSAVE) "\n"
    "    je 1f\n"
    "    xorl %ecx, %ecx\n"
    "    xorl %edx, %edx\n"
    "    movl $3, %eax\n"
    "    xsetbv\n"
    "    xrstor " TEXT(KVM_GUEST_XAREA) "\n"
    "1:\n"
    STEP(KVM_GUEST_STEP_XRSTOR)
    "    movb $" TEXT(KVM_GUEST_PASS) ", %al\n"
    "    outb %al, $" TEXT(KVM_GUEST_PORT) "\n"
    "    hlt\n"
    "9:\n"
    "    movb $" TEXT(KVM_GUEST_FAIL) ", %al\n"
    "    outb %al, $" TEXT(KVM_GUEST_PORT) "\n"
    "    hlt\n"
    "kvm_guest_int3:\n"
    "    incb " TEXT(KVM_GUEST_TRAPS) "\n"
    "    iretq\n"
    "kvm_guest_end:\n"
    ".popsection\n");
/* clang-format on */

#endif
