/* vmm.h: the two programs that can run a guest, behind one table of functions.
 *
 *   launch   starts the process, held until `started` has recorded it, then configures it fully;
 *            the guest does not run yet
 *   boot     lets the guest run
 *   shutdown asks the guest to shut down; the caller waits and kills the process at its deadline
 *   status   the state that the VMM reports
 *
 * A VMM runs in its own session and network namespace. Its working directory is a directory of its
 * own, VMM_DIR. Everything that it may write is there, and nothing that it must not see: the
 * lease's record and keys are in the directory above. Its sockets and logs have fixed names, so any
 * later process can control it with struct vmm_ref alone. Emulation is used only if the spec has
 * VMM_TCG.
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
    VMM_TCG,         /* QEMU's emulation: slow, and QEMU's own policy says that it does not
                      * isolate */
};
/* "", "kvm", "tcg": in records, messages and the configuration. */
const char *vmm_accel_name(enum vmm_accel a);
/* ERR_CONFIG for another name. */
int vmm_accel_by_name(const char *name, enum vmm_accel *out, struct error *err);

struct vmm_drive {
    const char *id;   /* [A-Za-z0-9_] */
    const char *path; /* absolute, or in the VMM's directory */
    bool read_only;   /* in the VMM's directory its mode has to be read-only, too */
    bool root;
};

/* What the guest may take each second; 0: no limit. The VMM itself holds it to these. */
struct vmm_limits {
    int64_t disk_bytes, disk_ops; /* of each drive */
    int64_t console_bytes;
};

struct vmm_spec {
    const char *lease_id;
    const char *vm_id;  /* [A-Za-z0-9-], at most 64 */
    const char *binary; /* whole path */
    const char *jailer; /* Firecracker's own, whole path: it confines the VMM in place of `sandbox`;
                         * NULL: none */
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
    const char *cgroup; /* its control group (sys/cgroup.h); "" or NULL: that of the caller */
    bool cgroup_partly; /* the host may lack it or a part of it */
    bool no_holes;      /* none are punched into its drives (file_keeps_extents) */
    bool sandbox;       /* no capabilities, and no file but these (vmm/sandbox.h) */
    struct vmm_limits limits;
    struct uid_range uids; /* with `sandbox`: the VMM gets one of these */
    const char *uids_dir;  /* where it is claimed (uids.h) */
};

/* The part that is kept in the lease's record. */
struct vmm_ref {
    char backend[16]; /* "firecracker", "qemu" */
    enum vmm_accel accel;
    char version[64]; /* as the program reported it, "" before that */
    bool sandbox;     /* it was checked to be confined */
    bool jailer;      /* by Firecracker's own jailer */
    uid_t uid;        /* its user then; 0: the same as ours */
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
    const char *install; /* how to get it: "as root: apt-get install qemu-system-x86" */
    /* The oldest version that works, and what is wrong with older ones; 0.0: any version works. */
    unsigned major, minor;
    const char *older_lacks;
    bool needs_pvh;         /* of a kernel in ELF format */
    const char *bus_option; /* a kernel must have it built in: the bus of its devices */

    /* ---- what it does ---- */
    /* Version text of the binary, with a deadline; ERR_ENV if it is missing or not that program.
     * `sandbox`: it is run confined, as it would be to run a guest. */
    int (*probe)(const char *binary, bool sandbox, const struct deadline *d, char *version,
                 size_t size, struct error *err);
    /* ERR_ENV or ERR_CONFIG if this version, or any version, can't enforce these limits ("": the
     * version is not known yet). */
    int (*check_limits)(const struct vmm_limits *l, const char *version, struct error *err);
    /* On error the process is gone. On success ref->version is filled. */
    int (*launch)(const struct vmm_spec *spec, struct vmm_ref *ref, vmm_started_fn *started,
                  void *ctx, const struct deadline *d, struct error *err);
    int (*boot)(const struct vmm_ref *ref, int dirfd, const struct deadline *d, struct error *err);
    int (*shutdown)(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                    struct error *err);
    int (*status)(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                  struct vmm_status *out, struct error *err);
    /* Extra words for the kernel's command line, so that our init's power-off ends the VMM
     * ("crabbox.off=reboot" for Firecracker, "" for QEMU). */
    const char *off_words;
};

extern const struct vmm_backend vmm_firecracker, vmm_qemu;

/* Opens the VMM's directory of a lease. Leases from before this directory existed have the VMM's
 * files in the lease's directory. For those, and if there is no VMM's directory yet, the lease's
 * directory is opened. ERR_STATE with ENOTDIR if something else is in its place. */
int vmm_dir_open(int lease_fd, struct error *err);

/* NULL with ERR_CONFIG for an unknown name. */
const struct vmm_backend *vmm_backend_by_name(const char *name, struct error *err);

/* Asks the guest to shut down, waits up to `grace_ms` (at most until the deadline), then kills the
 * process and waits for its end. Success if the process is gone in the end, also if it was gone
 * before; *graceful is whether the guest shut down itself. */
int vmm_end(const struct vmm_ref *ref, int dirfd, int64_t grace_ms, const struct deadline *d,
            bool *graceful, struct error *err);

/* The record's JSON object. */
cJSON *vmm_ref_to_json(const struct vmm_ref *ref);
int vmm_ref_from_json(const cJSON *j, struct vmm_ref *out, struct error *err);

/* The last lines of VMM_LOG and VMM_CONSOLE_LOG (at most `max` bytes each), for error messages. */
void vmm_log_tail(int dirfd, size_t max, struct strbuf *out);

#endif
