/* keys.c: the one table of configuration keys, and look-ups in it. */
#include <stddef.h>
#include <string.h>

#include "config/config.h"
#include "config/keys.h"
#include "sys/cgroup.h"
#include "sys/uids.h"

#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

#define AT(member) .offset = offsetof(struct config, member)
/* Crabbox's names: the variable and the flag of a key of the firecracker block. */
#define CRABBOX(key, var, opt)                                                                     \
    .name = "firecracker." key, .env = "CRABBOX_FIRECRACKER_" var, .flag = "firecracker-" opt
/* The same outside of that block. */
#define THEIRS(key, var, opt) .name = key, .env = "CRABBOX_" var, .flag = opt
#define OURS(key, var, opt)   .name = key, .env = "CRABBOX_FC_" var, .flag = opt
/* A bound for each second, which anybody may lower. */
#define LIMIT(key, var, opt)                                                                       \
    OURS("limits." key, "LIMITS_" var, "limit-" opt), .costs = true, .zero_is_most = true,         \
                                                      .fallback = "0"
#define A_SECOND " each second; 0: no limit"
#define PIN(file, var)                                                                             \
    OURS("pin." file, "PIN_" var, "pin-" file), .type = CFG_STRING, .rule = RULE_SHA256,           \
                                                .host = true, .fallback = "", .may_be_empty = true

const struct config_key config_keys[] = {
    {CRABBOX("binary", "BINARY", "binary"), .type = CFG_PATH, .rule = RULE_PROGRAM, .host = true,
     .fallback = "firecracker", AT(firecracker.binary),
     .help = "Firecracker program: a name looked up in PATH, or an absolute path"},
    {CRABBOX("jailer", "JAILER", "jailer"), .type = CFG_PATH, .rule = RULE_PROGRAM, .host = true,
     .fallback = "", .may_be_empty = true, AT(firecracker.jailer),
     .help =
         "Firecracker's jailer, of the same release; if set, it starts and confines Firecracker "
         "in place of our own sandbox"},
    {CRABBOX("kernel", "KERNEL", "kernel"), .type = CFG_PATH, .host = true,
     .fallback = "/var/lib/crabbox/firecracker/vmlinux", AT(firecracker.kernel),
     .help = "uncompressed guest kernel (vmlinux); if set, a stock image boots, see image.dir"},
    {CRABBOX("rootfs", "ROOTFS", "rootfs"), .type = CFG_PATH, .host = true,
     .fallback = "/var/lib/crabbox/firecracker/rootfs.ext4", AT(firecracker.rootfs),
     .help = "root filesystem of a stock image, cloned for each lease; see image.dir"},
    {CRABBOX("user", "USER", "user"), .type = CFG_STRING, .rule = RULE_GUEST_USER,
     .fallback = "crabbox", AT(firecracker.user),
     .help = "account in the guest that SSH logs in to"},
    {CRABBOX("workRoot", "WORK_ROOT", "work-root"), .type = CFG_STRING, .rule = RULE_GUEST_DIR,
     .fallback = "/work/crabbox", AT(firecracker.work_root),
     .help = "directory in the guest that working trees are placed in"},
    {CRABBOX("cpus", "CPUS", "cpus"), .type = CFG_INT, .min = 1, .max = 32, .costs = true,
     .fallback = "4", AT(firecracker.cpus), .help = "vCPUs of the guest"},
    {CRABBOX("memoryMiB", "MEMORY_MIB", "memory-mib"), .type = CFG_MIB, .min = 64, .max = 1 << 20,
     .costs = true, .fallback = "4096", AT(firecracker.memory_mib), .help = "memory of the guest"},
    {CRABBOX("diskMiB", "DISK_MIB", "disk-mib"), .type = CFG_MIB, .min = 64, .max = 1 << 24,
     .costs = true, .fallback = "16384", AT(firecracker.disk_mib),
     .help = "size of the guest's disk; sparse, but a lease is made only if the full size fits"},
    {CRABBOX("network", "NETWORK", "network"), .type = CFG_ENUM, .choices = "nat|cni", .host = true,
     .fallback = "cni", AT(firecracker.network),
     .help =
         "how the guest is connected: cni (the host's own plugin chain) or nat (links and rules "
         "of our own, no plugins)"},
    {CRABBOX("cniNetwork", "CNI_NETWORK", "cni-network"), .type = CFG_STRING, .rule = RULE_WORD,
     .host = true, .fallback = "crabbox-firecracker", AT(firecracker.cni_network),
     .help = "name of the CNI network list, for network: cni"},
    {CRABBOX("cniConfDir", "CNI_CONF_DIR", "cni-conf-dir"), .type = CFG_PATH, .host = true,
     .fallback = "/etc/cni/conf.d", AT(firecracker.cni_conf_dir),
     .help = "directory of CNI network lists, for network: cni"},
    {CRABBOX("cniBinDir", "CNI_BIN_DIR", "cni-bin-dir"), .type = CFG_PATH, .host = true,
     .fallback = "/opt/cni/bin", AT(firecracker.cni_bin_dir),
     .help = "directory of CNI plugins, for network: cni"},
    {CRABBOX("launchTimeout", "LAUNCH_TIMEOUT", "launch-timeout"), .type = CFG_DURATION,
     .min = SECOND, .max = HOUR, .costs = true, .fallback = "2m", AT(firecracker.launch_timeout_ms),
     .help = "deadline for the whole warmup, from its start until SSH is ready"},
    {CRABBOX("deleteOnRelease", "DELETE_ON_RELEASE", "delete-on-release"), .type = CFG_BOOL,
     .host = true, .fallback = "true", AT(firecracker.delete_on_release),
     .help = "remove the lease's files when it is released"},

    {THEIRS("provider", "PROVIDER", "provider"), .type = CFG_ENUM,
     .choices = "firecracker|crabbox-fc", .fallback = "firecracker", AT(provider),
     .help = "what makes leases: microVMs on this host, under either name; vmm chooses their VMM"},
    {THEIRS("target", "TARGET", "target"), .type = CFG_ENUM, .choices = "linux",
     .fallback = "linux", AT(target), .help = "system in the guest: always Linux"},
    {OURS("vmm", "VMM", "vmm"), .type = CFG_ENUM, .choices = "firecracker|qemu", .host = true,
     .fallback = "firecracker", AT(vmm), .help = "which virtual machine monitor starts the guest"},
    {OURS("sandbox", "SANDBOX", "sandbox"), .type = CFG_BOOL, .host = true, .fallback = "true",
     AT(sandbox),
     .help = "confine the VMM: a user and a root directory of its own, with only its programs and "
             "the guest's files"},
    {OURS("sandboxUids", "SANDBOX_UIDS", "sandbox-uids"), .type = CFG_STRING, .rule = RULE_UIDS,
     .host = true, .fallback = UID_RANGE, AT(sandbox_uids),
     .help = "user ids for VMMs, one for each; nothing else on the host may have them"},
    {OURS("isolation", "ISOLATION", "isolation"), .type = CFG_ENUM, .choices = "strict|degraded",
     .host = true, .fallback = "strict", AT(isolation),
     .help =
         "strict: no lease is made if the host can't isolate the VMM in every way (without root: "
         "if you set this yourself); degraded: a lease is made, and list, status and run show "
         "what it lacks"},
    {OURS("cgroup", "CGROUP", "cgroup"), .type = CFG_STRING, .rule = RULE_CGROUP, .host = true,
     .fallback = CGROUP_PARENT, AT(cgroup),
     .help = "control group in which each lease gets one of its own; made if it is not there"},
    {OURS("qemu.binary", "QEMU_BINARY", "qemu-binary"), .type = CFG_PATH, .rule = RULE_PROGRAM,
     .host = true, .fallback = "qemu-system-x86_64", AT(qemu.binary),
     .help = "QEMU program: a name looked up in PATH, or an absolute path"},
    {OURS("qemu.accel", "QEMU_ACCEL", "qemu-accel"), .type = CFG_ENUM, .choices = "kvm|tcg",
     .host = true, .fallback = "", .may_be_empty = true, AT(qemu.accel),
     .help =
         "kvm (hardware) or tcg (emulation, no isolation by hardware); vmm: qemu needs a choice"},
    {OURS("image.dir", "IMAGE_DIR", "image-dir"), .type = CFG_PATH, .host = true,
     .fallback = "/var/lib/crabbox-fc/images/default", .may_be_empty = true, AT(image.dir),
     .help =
         "image directory made by scripts/build-image.sh; empty: boot firecracker.kernel and "
         "firecracker.rootfs. If a stronger source sets one of these, image.dir does not count"},
    {OURS("network.pool", "NETWORK_POOL", "network-pool"), .type = CFG_CIDR, .min = 8, .max = 30,
     .host = true, .fallback = "10.213.0.0/16", AT(network.pool),
     .help = "IPv4 range from which leases get their /31 links"},
    {OURS("network.dns", "NETWORK_DNS", "network-dns"), .type = CFG_LIST, .rule = RULE_ADDRESSES,
     .separator = ',', .host = true, .fallback = "", .may_be_empty = true, AT(network.dns),
     .help = "DNS servers of the guest, at most 3; empty: those of the host"},
    {OURS("network.peers", "NETWORK_PEERS", "network-peers"), .type = CFG_BOOL, .host = true,
     .fallback = "false", AT(network.peers),
     .help = "let a guest reach the other addresses of its CNI subnet; for network: cni"},
    {PIN("kernel", "KERNEL"), AT(pin.kernel), .help = "sha256 that the guest's kernel must have"},
    {PIN("initrd", "INITRD"), AT(pin.initrd), .help = "the same for the initrd"},
    {PIN("rootfs", "ROOTFS"), AT(pin.rootfs), .help = "the same for the root filesystem"},
    {PIN("vmm", "VMM"), AT(pin.vmm),
     .help = "the same for the program that qemu.binary or firecracker.binary names"},
    {OURS("disk.overcommit", "DISK_OVERCOMMIT", "disk-overcommit"), .type = CFG_BOOL, .host = true,
     .fallback = "false", AT(disk.overcommit),
     .help = "make leases even if their guests together may write more than the disk can hold; "
             "if the disk gets full, all leases fail"},
    {LIMIT("networkInMiB", "NETWORK_IN_MIB", "network-in-mib"), .type = CFG_MIB, .max = 1 << 20,
     AT(limits.network_in_mib), .help = "how much the guest may receive from the network" A_SECOND},
    {LIMIT("networkOutMiB", "NETWORK_OUT_MIB", "network-out-mib"), .type = CFG_MIB, .max = 1 << 20,
     AT(limits.network_out_mib), .help = "how much the guest may send" A_SECOND},
    {LIMIT("networkPackets", "NETWORK_PACKETS", "network-packets"), .type = CFG_INT,
     .max = 100000000, AT(limits.network_packets),
     .help = "how many frames, each of which may become many packets, may pass to and from the "
             "guest" A_SECOND},
    {LIMIT("diskMiB", "DISK_MIB", "disk-mib"), .type = CFG_MIB, .max = 1 << 20, AT(limits.disk_mib),
     .help = "how much the guest may read and write on each drive" A_SECOND},
    {LIMIT("diskOps", "DISK_OPS", "disk-ops"), .type = CFG_INT, .max = 100000000,
     AT(limits.disk_ops), .help = "how many requests the guest may make to each drive" A_SECOND},
    {LIMIT("consoleKiB", "CONSOLE_KIB", "console-kib"), .type = CFG_INT, .max = 1 << 20,
     AT(limits.console_kib),
     .help = "how many KiB the guest may print on its console" A_SECOND
             "; needs Firecracker 1.16 or newer"},
    {LIMIT("cpuPercent", "CPU_PERCENT", "cpu-percent"), .type = CFG_INT, .max = 3300,
     AT(limits.cpu_percent),
     .help = "processor time of the lease's control group, in percent of one processor; 0: 100 "
             "for each vCPU, and 100 for the VMM"},
    {OURS("lease.ttl", "LEASE_TTL", "ttl"), .type = CFG_DURATION, .min = SECOND, .max = 720 * HOUR,
     .host = true, .fallback = "90m", AT(lease.ttl_ms), .help = "longest life of a lease"},
    {OURS("lease.idleTimeout", "LEASE_IDLE_TIMEOUT", "idle-timeout"), .type = CFG_DURATION,
     .min = SECOND, .max = 720 * HOUR, .host = true, .fallback = "30m", AT(lease.idle_timeout_ms),
     .help = "a lease expires if nothing uses it for this long"},
    {OURS("lease.stopTimeout", "LEASE_STOP_TIMEOUT", "stop-timeout"), .type = CFG_DURATION,
     .min = 0, .max = 10 * MINUTE, .host = true, .fallback = "10s", AT(lease.stop_timeout_ms),
     .help = "time for the guest's own shutdown; after it the VMM is killed"},
    {OURS("run.allowEnv", "RUN_ALLOW_ENV", "allow-env"), .type = CFG_LIST, .rule = RULE_ENV_NAMES,
     .separator = ',', .host = true, .fallback = "CI,NODE_OPTIONS", .may_be_empty = true,
     AT(run.allow_env),
     .help = "environment variables of the host that run passes to the command in the guest"},
    {THEIRS("results.junit", "RESULTS_JUNIT", "results-junit"), .type = CFG_LIST,
     .rule = RULE_GLOBS, .separator = ',', .fallback = "", .may_be_empty = true, AT(results.junit),
     .help = "test reports of the guest that run sums up if they are there; --junit replaces them"},
    {THEIRS("results.auto", "RESULTS_AUTO", "results-auto"), .type = CFG_BOOL, .fallback = "false",
     AT(results.automatic),
     .help = "without results.junit: sum up what the command wrote under the usual names of test "
             "reports (junit*.xml, TEST-*.xml, results.xml)"},
    {THEIRS("results.failOnFailures", "RESULTS_FAIL_ON_FAILURES", "results-fail-on-failures"),
     .type = CFG_BOOL, .fallback = "false", AT(results.fail_on_failures),
     .help = "exit code 1 if such a report has a failed test and the command's code is 0"},
    {THEIRS("results.captureOnFail", "CAPTURE_ON_FAIL", "capture-on-fail"), .type = CFG_BOOL,
     .fallback = "true", AT(results.capture_on_fail),
     .help = "if a run fails, keep the end of its output, its logs, its results and the names of "
             "its variables in the state directory (docs/RUN.md)"},
    {OURS("sync.git", "SYNC_GIT", "git"), .type = CFG_ENUM, .choices = "none|shallow|full",
     .costs = true, .fallback = "shallow", AT(run.git),
     .help = "the .git that the guest gets: none; all commits and tags up to HEAD, but only HEAD's "
             "files; or all branches and tags with all files"},
    {OURS("sync.include", "SYNC_INCLUDE", "sync-include"), .type = CFG_LIST, .rule = RULE_INCLUDES,
     .separator = '\n', .fallback = "", .may_be_empty = true, AT(run.include),
     .help =
         "patterns, relative to the tree's root: if there are any, only what matches one and no "
         "exclude is copied into the guest"},
    {OURS("sync.exclude", "SYNC_EXCLUDE", "sync-exclude"), .type = CFG_LIST, .rule = RULE_PATTERNS,
     .separator = '\n', .fallback = "", .may_be_empty = true, AT(run.exclude),
     .help = "patterns of files that are not copied into the guest"},
};

const size_t config_keys_len = ARRAY_LEN(config_keys);
_Static_assert(ARRAY_LEN(config_keys) <= CONFIG_KEYS_MAX, "raise CONFIG_KEYS_MAX");

const struct config_key *config_key_by_flag(const char *flag)
{
    for (size_t i = 0; i < config_keys_len; i++)
        if (str_eq(config_keys[i].flag, flag))
            return &config_keys[i];
    return NULL;
}

/* Names that Crabbox has for keys that are called something else here. */
static const struct {
    const char *block, *name, *key;
} same[] = {{"env", "env.allow", "run.allowEnv"}};

bool config_is_block_of_same(const char *block)
{
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        if (str_eq(same[i].block, block))
            return true;
    return false;
}

const struct config_key *config_key_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        if (str_eq(same[i].name, name))
            name = same[i].key;
    for (size_t i = 0; i < config_keys_len; i++)
        if (str_eq(config_keys[i].name, name))
            return &config_keys[i];
    return NULL;
}

const struct config_key *config_key_by_env(const char *env)
{
    for (size_t i = 0; i < config_keys_len; i++)
        if (str_eq(config_keys[i].env, env))
            return &config_keys[i];
    return NULL;
}

size_t config_key_index(const struct config_key *key)
{
    return (size_t)(key - config_keys);
}

bool config_key_is_number(const struct config_key *key)
{
    return key->type == CFG_INT || key->type == CFG_MIB || key->type == CFG_DURATION;
}

bool config_key_is_judged(const struct config_key *key)
{
    return key->host || key->costs || key->rule == RULE_PATTERNS || key->rule == RULE_INCLUDES;
}

const char *config_type_name(enum config_type type)
{
    switch (type) {
    case CFG_STRING:
        return "string";
    case CFG_PATH:
        return "path";
    case CFG_ENUM:
        return "choice";
    case CFG_INT:
        return "integer";
    case CFG_MIB:
        return "size";
    case CFG_DURATION:
        return "duration";
    case CFG_BOOL:
        return "boolean";
    case CFG_LIST:
        return "list";
    case CFG_CIDR:
        return "range";
    }
    return "string";
}
