/* kvm_guest.h: the guest program of the KVM probe, and the layout of its memory.
 *
 * Private to kvm.c. The addresses are guest physical ones, identity-mapped; they are macros
 * because the assembler reads them too (kvm_guest.c).
 */
#ifndef CRABBOX_SYS_KVM_GUEST_H
#define CRABBOX_SYS_KVM_GUEST_H

#include <stdint.h>

#define KVM_GUEST_MEM   0x10000
#define KVM_GUEST_PML4  0x1000
#define KVM_GUEST_PDPT  0x2000
#define KVM_GUEST_PD    0x3000
#define KVM_GUEST_GDT   0x4000
#define KVM_GUEST_IDT   0x5000
#define KVM_GUEST_CODE  0x6000
#define KVM_GUEST_DATA  0x7000
#define KVM_GUEST_STACK 0x9000 /* grows down */

/* In the data page. The steps count up, so the host knows the last instruction that worked, however
 * the guest ended. */
#define KVM_GUEST_STEP      0x7000 /* byte: one of the STEP values */
#define KVM_GUEST_TRAPS     0x7001 /* byte: int3 handler counts here */
#define KVM_GUEST_HAS_XSAVE 0x7002 /* byte: set by the host */
#define KVM_GUEST_WIDE      0x7010 /* 16 bytes for cmpxchg16b */
#define KVM_GUEST_XAREA     0x7040 /* XSAVE area, all zero: everything in its initial state */

#define KVM_GUEST_STEP_BOOTED     1
#define KVM_GUEST_STEP_CMPXCHG16B 2
#define KVM_GUEST_STEP_INT3       3
#define KVM_GUEST_STEP_XRSTOR     4

#define KVM_GUEST_PORT 0x10
#define KVM_GUEST_PASS 0x5a
#define KVM_GUEST_FAIL 0xee

/* The program, entered at its first byte; the handler of int3 lies inside it. */
extern const uint8_t kvm_guest_begin[], kvm_guest_int3[], kvm_guest_end[];

#endif
