/* vmm.h: the two programs that can run a guest, behind one table of functions.
 *
 *   launch   start the process, held until `started` has written its name down, then configure it
 *            fully: the guest does not run yet
 *   boot     let the guest run
 *   shutdown ask the guest to end itself (the caller waits on the process and kills at its
 * deadline) status   what the VMM says of itself
 *
 * A VMM lives in its own session and network namespace, with a directory of its own, VMM_DIR, as
 * its working directory. All that it may write is there, and nothing that it must not see: the
 * lease's record and keys are in the directory above. Its sockets and logs have fixed names, so any
 * later process can drive it: nothing is kept but struct vmm_ref. Emulation is only ever used when
 * the spec has VMM_TCG.
 */
#ifndef CRABBOX_VMM_VMM_H
#define CRABBOX_VMM_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "config/config.h"
#include "sys/deadline.h"
#include "sys/proc.h"
#include "sys/uids.h"
#include "sys/userns.h"

#define VMM_DIR "vmm" /* in the lease's directory */
/* Files in it. */
#define VMM_API_SOCK    "api.sock" /* Firecracker's HTTP API, or QEMU's QMP */
#define VMM_CONSOLE_LOG "console.log"
#define VMM_LOG         "vmm.log"

#define VMM_DRIVES_MAX 4
#define VMM_FILES_MAX  3

/* What runs the guest's processor. */
enum vmm_accel {
    VMM_ACCEL_UNSET, /* not chosen; none is ever guessed */
    VMM_KVM,         /* hardware */
    VMM_TCG,         /* QEMU's emulation: slow, and no boundary by QEMU's own policy */
};
/* "", "kvm", "tcg": in records, messages and the configuration. */
const char *vmm_accel_name(enum vmm_accel a);
/* ERR_CONFIG for another name. */
int vmm_accel_by_name(const char *name, enum vmm_accel *out, struct error *err);

struct vmm_drive {
    const char *id;   /* [A-Za-z0-9_] */
    const char *path; /* absolute, or in the VMM's directory */
    bool read_only;   /* one in the VMM's directory has to be so by its mode, too */
    bool root;
};

struct vmm_spec {
    const char *lease_id;
    const char *vm_id;  /* [A-Za-z0-9-], at most 64 */
    const char *binary; /* whole path */
    enum vmm_accel accel;
    int dirfd;                   /* the VMM's directory; borrowed */
    int netns_fd;                /* borrowed */
    const struct userns *userns; /* borrowed; the lease's, where we are not root; NULL: none */
    unsigned cpus;
    unsigned memory_mib;
    const char *kernel;
    const char *initrd;  /* "" for none */
    const char *cmdline; /* words beyond the backend's own (console, reboot, …) */
    struct vmm_drive drives[VMM_DRIVES_MAX];
    unsigned n_drives;
    /* Borrowed descriptors that the VMM inherits by their numbers, for paths like /proc/self/fd/N
     * above. */
    int files[VMM_FILES_MAX];
    unsigned n_files;
    const char *tap;
    const char *guest_mac;
    bool no_holes;         /* none are punched into its drives (file_keeps_extents) */
    bool sandbox;          /* no capabilities, and no file but these (vmm/sandbox.h) */
    struct uid_range uids; /* with `sandbox`: one of these the VMM becomes */
    const char *uids_dir;  /* where it is claimed (uids.h) */
};

/* What is kept in the lease record. */
struct vmm_ref {
    char backend[16]; /* "firecracker", "qemu" */
    enum vmm_accel accel;
    char version[64]; /* as the program said it, "" before that */
    bool sandbox;     /* it was seen to be confined */
    uid_t uid;        /* who it is then; 0: who we are */
    struct proc_ref proc;
};

/* Called with the process still held: must put `proc` on disk before it returns 0. */
typedef int vmm_started_fn(void *ctx, const struct proc_ref *proc, struct error *err);

struct vmm_status {
    bool process_alive;
    char state[32]; /* "not started", "running", "paused", "gone", "unknown" */
};

struct vmm_backend {
    const char *name;

    /* ---- what it needs ---- */
    const char *binary_key;                          /* of the configuration: its program */
    const char *(*binary)(const struct config *cfg); /* what is set there */
    enum vmm_accel (*accel)(const struct config *cfg);
    const char *install; /* how to get it: "apt-get install qemu-system-x86" */
    /* The oldest version that serves, and what is wrong with an older one; 0.0: any. */
    unsigned major, minor;
    const char *older_lacks;
    bool needs_pvh;         /* of a kernel in ELF format */
    const char *bus_option; /* that a kernel has built in: the bus of its devices */

    /* ---- what it does ---- */
    /* Version text of the binary, with a deadline; ERR_ENV if it is missing or not that program.
     * `sandbox`: it is run confined, as it would be to run a guest. */
    int (*probe)(const char *binary, bool sandbox, const struct deadline *d, char *version,
                 size_t size, struct error *err);
    /* On error the process is gone. On success ref->version is filled. */
    int (*launch)(const struct vmm_spec *spec, struct vmm_ref *ref, vmm_started_fn *started,
                  void *ctx, const struct deadline *d, struct error *err);
    int (*boot)(const struct vmm_ref *ref, int dirfd, const struct deadline *d, struct error *err);
    int (*shutdown)(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                    struct error *err);
    int (*status)(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                  struct vmm_status *out, struct error *err);
    /* Extra kernel command line words that this backend needs so that our init's power-off ends
     * the VMM ("crabbox.off=reboot" for Firecracker, "" for QEMU). */
    const char *off_words;
};

extern const struct vmm_backend vmm_firecracker, vmm_qemu;

/* Opens the VMM's directory of a lease. Leases of versions before this directory have the VMM's
 * files in their own: then, and where there is nothing of a VMM yet, that one. ERR_STATE with
 * ENOTDIR where something else is in its place. */
int vmm_dir_open(int lease_fd, struct error *err);

/* NULL with ERR_CONFIG for an unknown name. */
const struct vmm_backend *vmm_backend_by_name(const char *name, struct error *err);

/* Asks the guest to end, waits until `grace_ms` (at most the deadline), then SIGKILLs and waits.
 * Success when the process is gone, however it went; *graceful says how. Absent is a success. */
int vmm_end(const struct vmm_ref *ref, int dirfd, int64_t grace_ms, const struct deadline *d,
            bool *graceful, struct error *err);

/* The record's JSON object. */
cJSON *vmm_ref_to_json(const struct vmm_ref *ref);
int vmm_ref_from_json(const cJSON *j, struct vmm_ref *out, struct error *err);

/* The last lines of VMM_LOG and VMM_CONSOLE_LOG (at most `max` bytes each), for error messages. */
void vmm_log_tail(int dirfd, size_t max, struct strbuf *out);

#endif
