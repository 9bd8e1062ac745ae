/* condition_rows.h: the rows of conditions.c, by what they ask of. Private to condition*.c. */
#ifndef CRABBOX_LOCAL_CONDITION_ROWS_H
#define CRABBOX_LOCAL_CONDITION_ROWS_H

#include "local/conditions.h"

/* The end of an advice where there is no KVM. */
#define USE_EMULATION "or accept emulation: --vmm qemu --accel tcg"

typedef int condition_fn(struct conditions *c, struct error *err);
typedef bool condition_idle_fn(const struct conditions *c, char *why, size_t size);

/* condition_host.c */
condition_fn check_host, check_user, probe_kvm, probe_state, probe_memory, probe_limits, probe_disk;
condition_idle_fn idle_kvm;
bool hints_at_kvm(const char *said);

/* condition_vmm.c */
condition_fn check_jailer, probe_jailer, check_firecracker, check_qemu, probe_program,
    check_sandbox, probe_sandbox, check_cgroup;
condition_idle_fn idle_jailer, idle_firecracker, idle_qemu;

/* condition_image.c */
condition_fn check_kernel, probe_kernel_options, check_rootfs, probe_rootfs_driver, check_image;

/* condition_net.c */
condition_fn check_network, probe_network;

/* A detail for doctor; nothing where nobody wants it. */
void note(const struct conditions *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
