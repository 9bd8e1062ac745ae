/* config.h: reads the configuration strictly, from all its sources into one struct.
 *
 * Order: defaults < /etc/crabbox-fc/config.yaml < user file < repo-local .crabbox-fc.yaml <
 * environment < flags. One table (keys.c) describes every key: name, type, default, range, who may
 * set it, help text; the parser, validation, `config show` and docs/CONFIG.md follow from it.
 * Unknown or malformed input is an error with file, line, column and the nearest key; nothing is
 * ever ignored.
 *
 * Ownership: config_load returns a struct whose strings live until config_free.
 * This module is the only user of libyaml.
 */
#ifndef CRABBOX_CONFIG_CONFIG_H
#define CRABBOX_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

/* Where a value came from, weakest first. */
enum config_source { SRC_DEFAULT, SRC_SYSTEM, SRC_USER, SRC_REPO, SRC_ENV, SRC_FLAG };

/* Crabbox's 15 keys: block `firecracker:`, CRABBOX_FIRECRACKER_*, --firecracker-*. */
struct config_firecracker {
    const char *binary;
    const char *jailer;
    const char *kernel;
    const char *rootfs;
    const char *user;
    const char *work_root;
    int64_t cpus;
    int64_t memory_mib;
    int64_t disk_mib;
    const char *network; /* "cni" or "nat" */
    const char *cni_network;
    const char *cni_conf_dir;
    const char *cni_bin_dir;
    int64_t launch_timeout_ms; /* one deadline for the whole of warmup */
    bool delete_on_release;
};

struct config {
    const char *provider; /* `provider`, `target`: only accepted if true of every lease */
    const char *target;
    struct config_firecracker firecracker;
    const char *vmm; /* "firecracker" (default) or "qemu"; key `vmm`, --vmm, CRABBOX_FC_VMM */
    bool sandbox;    /* `sandbox` = true: the VMM is confined (vmm/sandbox.h) */
    const char *sandbox_uids; /* the user ids for that: "1900000000-1900065535" */
    const char *isolation;    /* "strict" or "degraded": what the host can't give is missing then */
    const char *cgroup;       /* the control group above those of the leases (sys/cgroup.h) */
    struct {
        const char *binary; /* qemu.binary = qemu-system-x86_64 */
        const char *accel;  /* qemu.accel: "kvm" or "tcg"; no default: "" means not chosen */
    } qemu;
    struct {
        const char *dir; /* image.dir: an image directory (docs/GUEST.md), or "" to boot
                          * firecracker.kernel and firecracker.rootfs (a stock image with
                          * cloud-init). Default /var/lib/crabbox-fc/images/default, but "" when
                          * kernel or rootfs is set by any source and image.dir is not. */
    } image;
    struct {
        const char *pool; /* network.pool = 10.213.0.0/16: leases get /31 links out of it */
        const char *dns;  /* network.dns: comma-separated addresses; "" = the host's */
        bool peers;       /* network.peers = false: with cni, the guest's own subnet is closed */
    } network;
    struct {
        const char *kernel; /* pin.kernel: sha256 as hex; "" = none beyond image.json's */
        const char *initrd;
        const char *rootfs;
        const char *vmm; /* of the program that qemu.binary or firecracker.binary names */
    } pin;
    struct {
        bool overcommit; /* disk.overcommit = false: everything guests may write must fit */
    } disk;
    struct {                        /* limits: of one lease, each second; 0: none */
        int64_t network_in_mib;     /* to the guest */
        int64_t network_out_mib;    /* from it */
        int64_t network_packets;    /* each way */
        int64_t disk_mib, disk_ops; /* of each of its drives */
        int64_t console_kib;
        int64_t cpu_percent; /* of one processor */
    } limits;
    struct {
        int64_t ttl_ms;          /* lease.ttl = 90m */
        int64_t idle_timeout_ms; /* lease.idleTimeout = 30m */
        int64_t stop_timeout_ms; /* lease.stopTimeout = 10s: graceful shutdown, then SIGKILL */
    } lease;
    struct {
        const char *allow_env; /* run.allowEnv = CI,NODE_OPTIONS */
        const char *git;       /* sync.git = shallow: "none", "shallow" or "full" */
        const char *include;   /* sync.include: newline-separated patterns; "" = all */
        const char *exclude;   /* sync.exclude: newline-separated patterns */
    } run;
    struct {
        const char *junit; /* results.junit: comma-separated patterns */
        bool automatic;    /* results.auto = false */
        bool fail_on_failures;
        bool capture_on_fail; /* results.captureOnFail = true */
    } results;
    void *priv; /* arena, sources and the list of files read; owned by this module */
};

/* One assignment from the command line: `key` is a table name ("firecracker.cpus"). */
struct config_flag {
    const char *key;
    const char *value;
    const char *spelling; /* as typed, for messages: "--firecracker-cpus" or
                           * "--firecracker-cpus=4" */
};

struct config_args {
    const char *cwd;                 /* where the search for .crabbox-fc.yaml starts; "." can't be
                                      * swapped */
    const char *const *envp;         /* the environment to read */
    const struct config_flag *flags; /* in order; a later one wins, and adds to a list */
    size_t n_flags;
    const char *system_file; /* NULL: /etc/crabbox-fc/config.yaml; tests name another */
};

int config_load(const struct config_args *args, struct config *out, struct error *err);
void config_free(struct config *cfg);

/* ERR_TRUST if the system's floor limits lease.ttl, because a kept lease would get around that
 * limit. `where` is what asked to keep one ("--keep"), for the message. */
int config_check_keep(const struct config *cfg, const char *where, struct error *err);

/* The repository around the working directory: the directory with .git, or the one with
 * .crabbox-fc.yaml; "" when there is neither. Lives as long as cfg. */
const char *config_repo_root(const struct config *cfg);

/* ---- the table, for help, docs, completion ---- */
enum config_type {
    CFG_STRING,
    CFG_PATH,
    CFG_ENUM,
    CFG_INT,
    CFG_MIB,
    CFG_DURATION,
    CFG_BOOL,
    CFG_LIST,
    CFG_CIDR
};

/* A rule for the text of a value beyond its type. */
enum config_rule {
    RULE_NONE,
    RULE_PROGRAM,    /* host program: a bare name looked up in PATH, or an absolute path */
    RULE_GUEST_USER, /* account in the guest */
    RULE_GUEST_DIR,  /* directory in the guest, not a system one */
    RULE_ENV_NAMES,  /* names of environment variables */
    RULE_ADDRESSES,  /* at most 3 IP addresses */
    RULE_PATTERNS,   /* exclude patterns */
    RULE_INCLUDES,   /* patterns of what is copied: a repository may only narrow it */
    RULE_GLOBS,      /* patterns of files of the guest: run judges their form */
    RULE_SHA256,     /* 64 lower-case hex digits */
    RULE_WORD,       /* letters, digits, ".", "_", "-" */
    RULE_UIDS,       /* a range of user ids (sys/uids.h) */
    RULE_CGROUP      /* the name of a control group (sys/cgroup.h) */
};

struct config_key {
    const char *name; /* "firecracker.cpus" */
    const char *env;  /* "CRABBOX_FIRECRACKER_CPUS" */
    const char *flag; /* "firecracker-cpus" (without --) */
    enum config_type type;
    const char *fallback; /* default, as text */
    const char *choices;  /* CFG_ENUM: "kvm|tcg" */
    int64_t min, max;     /* CFG_INT, CFG_MIB, CFG_DURATION (ms), CFG_CIDR (prefix length) */
    bool host;  /* names something on the host or weakens isolation: trusted sources only */
    bool costs; /* more of it costs the host, or shows the guest more: only trusted sources may
                 * raise it. The choices of an enum are in rising order */
    bool zero_is_most; /* of a number: 0 is no limit */
    const char *help;
    size_t offset; /* in struct config */
    enum config_rule rule;
    bool may_be_empty; /* "" is a value */
    char separator;    /* CFG_LIST: between items in the text form */
};

extern const struct config_key config_keys[];
extern const size_t config_keys_len;
const struct config_key *config_key_by_flag(const char *flag); /* NULL if unknown */

/* What set the value: "user:/root/.config/...:12", "env:NAME", "flag:--x" or "default". Lives as
 * long as cfg. */
const char *config_value_source(const struct config *cfg, const struct config_key *key);

/* "90m", "1h30m", "10s", "500ms" → milliseconds; -1 if `text` does not have this form. */
int config_duration(const char *text, int64_t *ms);

/* `config show`: text table or JSON {"keys":[{"key","value","source","type"}],"files":[]}. A key
 * that the floor restricts also has "lockedBy", or "ceiling" and "ceilingBy". */
void config_show_text(const struct config *cfg, struct strbuf *out);
cJSON *config_show_json(const struct config *cfg);
/* The files that were looked for, and which of them were read: `config path`. */
void config_paths_text(const struct config *cfg, struct strbuf *out);
cJSON *config_paths_json(const struct config *cfg);

#endif
