/* What the host itself has to be and to have left. */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/str.h"
#include "lease/store.h"
#include "local/condition_rows.h"
#include "net/net.h"
#include "sys/userns.h"

int check_host(struct conditions *c, struct error *err)
{
    struct utsname u;
    if (uname(&u) < 0)
        return error_set(err, ERR_ENV, errno, "read the name and version of the kernel");
    note(c, "os", "linux");
    note(c, "arch", "%s", u.machine);
    note(c, "kernel", "%s", u.release);
    if (!str_eq(u.machine, "x86_64"))
        return error_set(err, ERR_ENV, 0,
                         "%s hosts are not supported yet; next: use an x86_64 host", u.machine);
    return 0;
}

/* Root, a user with the capabilities that a lease's network takes, or one who can have them in a
 * user namespace. */
int check_user(struct conditions *c, struct error *err)
{
    bool rootless = c->net_mode == NET_PASTA;
    note(c, "uid", "%u", (unsigned)geteuid());
    note(c, "mode", rootless ? "rootless" : "root");
    if (!rootless && net_check_rights(err) == 0)
        return 0;
    if (!rootless && c->net_mode == NET_CNI && geteuid() != 0)
        return error_set(err, ERR_ENV, 0,
                         "only root can use the host's CNI plugins (firecracker.network is cni); "
                         "next: put sudo before crabbox-fc, or unset firecracker.network: then a "
                         "lease is made without root");
    if (!rootless)
        return -1;
    note(c, "ids", userns_check_ids(NULL) == 0 ? "a range of your own" : "one");
    return userns_check(err);
}

/* ---- KVM ---- */

bool idle_kvm(const struct conditions *c, char *why, size_t size)
{
    (void)str_copy(why, size, "not needed: emulation is configured (vmm: qemu, qemu.accel: tcg)");
    return c->accel == VMM_TCG;
}

/* The words of Firecracker and QEMU where it is KVM that fails; neither has a code for it. */
bool hints_at_kvm(const char *said)
{
    static const char *const words[] = {"kvm", "VM file descriptor", "create VM"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasestr(said, words[i]))
            return true;
    return false;
}

static void note_kvm(const struct conditions *c)
{
    const struct kvm_report *r = &c->kvm;
    note(c, "stage", "%s", kvm_stage_name(r->stage));
    if (r->api_version > 0)
        note(c, "apiVersion", "%d", r->api_version);
    if (r->create_vm_us >= 0)
        note(c, "createVmUs", "%lld", (long long)r->create_vm_us);
    if (r->create_vcpu_us >= 0)
        note(c, "createVcpuUs", "%lld", (long long)r->create_vcpu_us);
    if (r->run_us >= 0)
        note(c, "guestRunUs", "%lld", (long long)r->run_us);
    if (r->exit_reason != 0)
        note(c, "exitReason", "%u", r->exit_reason);
    if (r->suberror != 0)
        note(c, "suberror", "%u", r->suberror);
    note(c, "xrstorTested", "%s", r->xrstor_tested ? "true" : "false");
}

/* Whoever is in the group of /dev/kvm may use it, where the group may. */
static int refuse_access(const char *reason, struct error *err)
{
    struct stat st;
    struct group group, *g = NULL;
    char names[4096];
    if (stat("/dev/kvm", &st) == 0 && (st.st_mode & 060) == 060 && st.st_gid)
        (void)getgrgid_r(st.st_gid, &group, names, sizeof names, &g);
    if (g)
        return error_set(err, ERR_ENV, 0,
                         "%s; next: as root: usermod -aG %s \"$(id -un %u)\", then log in again",
                         reason, g->gr_name, getuid());
    return error_set(err, ERR_ENV, 0, "%s; next: as root: setfacl -m u:%u:rw /dev/kvm", reason,
                     getuid());
}

int probe_kvm(struct conditions *c, struct error *err)
{
    struct kvm_report *r = &c->kvm;
    struct error why = ERROR_INIT;
    note(c, "path", "/dev/kvm");
    if (kvm_probe(r, &c->deadline, &why) < 0)
        return error_set(err, why.kind, 0,
                         "KVM could not be checked: %s; next: try again when the host has one more "
                         "process to spare",
                         why.msg);
    note_kvm(c);
    if (r->works)
        return 0;
    if (r->stage == KVM_STAGE_OPEN && (r->sys == EACCES || r->sys == EPERM))
        return refuse_access(r->reason, err);
    if (r->stage == KVM_STAGE_OPEN)
        return error_set(err, ERR_ENV, 0,
                         "%s; next: modprobe kvm_intel or modprobe kvm_amd; in a virtual machine "
                         "first turn on nested virtualisation on its host; " USE_EMULATION,
                         r->reason);
    if (r->stage == KVM_STAGE_CREATE_VM && r->sys == EBUSY)
        return error_set(err, ERR_ENV, 0,
                         "%s; next: stop the other hypervisor that holds the CPU's virtualisation",
                         r->reason);
    return error_set(err, ERR_ENV, 0,
                     "%s; next: use a host whose KVM has hardware page tables (bare metal, or a VM "
                     "with nested virtualisation); " USE_EMULATION,
                     r->reason);
}

/* ---- room ---- */

int probe_state(struct conditions *c, struct error *err)
{
    return store_check(c->state_dir, err);
}

static void note_limit(const struct conditions *c, const char *key, int64_t n)
{
    if (n == HOST_NO_LIMIT)
        note(c, key, "no limit");
    else
        note(c, key, "%lld", (long long)n);
}

/* The other rows' demands are met here: each row speaks of its own. */
static const struct host_room plenty = {HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT,
                                        HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT};

int probe_memory(struct conditions *c, struct error *err)
{
    struct host_room room = plenty;
    room.memory_mib = c->room.memory_mib;
    room.memory_total_mib = c->room.memory_total_mib;
    note_limit(c, "availableMiB", room.memory_mib);
    note_limit(c, "totalMiB", room.memory_total_mib);
    note(c, "guestMiB", "%lld", (long long)c->need.memory_mib);
    note(c, "needMiB", "%lld", (long long)admission_memory_mib(&c->need));
    return admission_look(c->state_dir, &c->need, &room, NULL, err);
}

int probe_limits(struct conditions *c, struct error *err)
{
    struct host_room room = plenty;
    room.files = c->room.files;
    room.own_fds = c->room.own_fds;
    room.tasks = c->room.tasks;
    note_limit(c, "openFiles", room.files);
    note_limit(c, "descriptors", room.own_fds);
    note_limit(c, "processes", room.tasks);
    return admission_look(c->state_dir, &c->need, &room, NULL, err);
}

int probe_disk(struct conditions *c, struct error *err)
{
    struct host_room room = plenty;
    struct admission need = c->need;
    const char *stock = c->image.kind == IMAGE_STOCK ? c->image.rootfs : NULL;
    need.disk_mib = diskroom_disk_mib(need.disk_mib, stock);
    room.disk_mib = c->room.disk_mib;
    room.disk_total_mib = c->room.disk_total_mib;
    room.inodes = c->room.inodes;
    note(c, "freeMiB", "%lld", (long long)room.disk_mib);
    note_limit(c, "freeInodes", room.inodes);
    note(c, "diskMiB", "%lld", (long long)need.disk_mib);
    note(c, "promisedMiB", "%lld", (long long)c->promised.mib);
    note(c, "keptMiB", "%lld", (long long)diskroom_kept_mib(room.disk_total_mib));
    note(c, "leaseMiB", "%lld", (long long)admission_disk_mib(&need));
    note(c, "overcommit", "%s", need.overcommit ? "true" : "false");
    return admission_look(c->state_dir, &need, &room, &c->promised, err);
}
