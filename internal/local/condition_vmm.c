/* What the VMM's program has to be, and what it may reach once it is confined. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "local/condition_rows.h"
#include "sys/cgroup.h"
#include "sys/confine.h"
#include "sys/jail.h"
#include "sys/program.h"
#include "vmm/jailer.h"
#include "vmm/process.h"
#include "vmm/sandbox.h"

#define PROBE_MS 5000 /* for a program to say its version, libraries from a cold disk too */

/* ---- the program ---- */

static int refuse_missing(const struct conditions *c, const char *name, struct error *err)
{
    /* Then the program would help nobody. */
    bool no_kvm = c->accel == VMM_KVM && access("/dev/kvm", F_OK) < 0;
    return error_set(
        err, ERR_ENV, 0,
        "%s: there is no program %s%s%s; next: %s, or set %s to the path of one that is there%s",
        c->vmm->binary_key, name, strchr(name, '/') ? "" : " in PATH",
        no_kvm ? ", and this host has no KVM" : "", c->vmm->install, c->vmm->binary_key,
        no_kvm ? "; " USE_EMULATION : "");
}

static int check_executable(const struct conditions *c, struct error *err)
{
    struct stat st;
    const char *path = c->vmm_path;
    _cleanup_free_ char *quoted = str_shell_quoted(path);
    if (stat(path, &st) < 0)
        return refuse_missing(c, path, err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_ENV, 0, "%s: %s is not a file; next: set %s to the program",
                         c->vmm->binary_key, path, c->vmm->binary_key);
    if (access(path, X_OK) == 0)
        return 0;
    if (st.st_mode & 0111)
        return error_set(err, ERR_ENV, errno,
                         "%s: %s can't be run where it is; next: copy it to a place like "
                         "/usr/local/bin, whose filesystem is not mounted noexec",
                         c->vmm->binary_key, path);
    return error_set(err, ERR_ENV, 0, "%s: %s is not marked as a program; next: chmod 755 %s",
                     c->vmm->binary_key, path, quoted);
}

static int check_pin(struct conditions *c, struct error *err)
{
    const char *pin = c->cfg->pin.vmm;
    c->vmm_pin.what = VMM_PROGRAM;
    if (!*pin)
        return 0;
    (void)str_copy(c->vmm_pin.sha256, sizeof c->vmm_pin.sha256, pin);
    _cleanup_close_ int fd = open(c->vmm_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open " VMM_PROGRAM " %s", c->vmm_path);
    return pinned_check(&c->vmm_pin, fd, c->vmm_path, c->looking ? -1 : c->cache_fd, &c->deadline,
                        err);
}

/* Found once: what is checked here is what is started. */
static int find_program(struct conditions *c, struct error *err)
{
    const char *name = c->vmm->binary(c->cfg);
    struct error e = ERROR_INIT;
    note(c, "field", "%s", c->vmm->binary_key);
    note(c, "configured", "%s", name);
    if (!*name)
        return error_set(err, ERR_CONFIG, 0, "%s is blank; next: set it to the program's path",
                         c->vmm->binary_key);
    if (program_locate(name, VMM_PROGRAM, NULL, c->vmm_path, &e) < 0) {
        if (e.kind == ERR_ENV && e.sys == ENOENT)
            return refuse_missing(c, name, err);
        *err = e;
        return -1;
    }
    note(c, "path", "%s", c->vmm_path);
    if (check_executable(c, err) < 0 || check_pin(c, err) < 0)
        return -1;
    return c->vmm->check_limits(&c->limits, "", err);
}

/* Each VMM has a row of its own. */
static bool is_other(const struct conditions *c, const struct vmm_backend *vmm, char *why,
                     size_t size)
{
    (void)str_format(why, size, "not needed: vmm is %s", c->vmm->name);
    return c->vmm != vmm;
}

bool idle_firecracker(const struct conditions *c, char *why, size_t size)
{
    return is_other(c, &vmm_firecracker, why, size);
}

bool idle_qemu(const struct conditions *c, char *why, size_t size)
{
    return is_other(c, &vmm_qemu, why, size);
}

int check_firecracker(struct conditions *c, struct error *err)
{
    return find_program(c, err);
}

/* Hardware or emulation is asked for, never guessed. */
int check_qemu(struct conditions *c, struct error *err)
{
    note(c, "accel", "%s", vmm_accel_name(c->accel));
    if (find_program(c, err) < 0)
        return -1;
    if (c->accel != VMM_ACCEL_UNSET)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "vmm is qemu, but qemu.accel is not set; next: --accel kvm for hardware "
                     "virtualisation, or --accel tcg to accept slow emulation");
}

int conditions_check_version(const struct conditions *c, const char *version, struct error *err)
{
    unsigned major = 0, minor = 0;
    const char *digits = version + strcspn(version, "0123456789");
    if (sscanf(digits, "%u.%u", &major, &minor) != 2 || major > c->vmm->major ||
        (major == c->vmm->major && minor >= c->vmm->minor))
        return c->vmm->check_limits(&c->limits, version, err);
    return error_set(err, ERR_ENV, 0, "%s %s is too old: %s; next: %s, and set %s to its path",
                     c->vmm->name, version, c->vmm->older_lacks, c->vmm->install,
                     c->vmm->binary_key);
}

static int ask_version(struct conditions *c, bool sandbox, struct error *err)
{
    const struct deadline d = deadline_sub(&c->deadline, PROBE_MS);
    return c->vmm->probe(c->vmm_path, sandbox, &d, c->vmm_version, sizeof c->vmm_version, err);
}

/* Where it answers but for the sandbox, that is what stands in its way. */
static int refuse_answer(struct conditions *c, const struct error *why, struct error *err)
{
    size_t len;
    _cleanup_free_ char *quoted = str_shell_quoted(c->vmm_path);
    (void)error_next(why, &len);
    if (why->kind != ERR_CANCELLED && c->cfg->sandbox && ask_version(c, false, NULL) == 0)
        return error_set(
            err, ERR_ENV, 0,
            "%s runs, but not confined as the VMM is (%.*s); next: install it with all "
            "that it needs below /usr, or accept a VMM with all of root's rights by --sandbox "
            "false",
            c->vmm_path, (int)len, why->msg);
    return error_set(err, why->kind == ERR_CANCELLED ? ERR_CANCELLED : ERR_ENV, 0,
                     "%.*s; next: look at what %s --version says, and set %s to a program that "
                     "answers",
                     (int)len, why->msg, quoted, c->vmm->binary_key);
}

int probe_program(struct conditions *c, struct error *err)
{
    struct error why = ERROR_INIT;
    if (ask_version(c, c->cfg->sandbox, &why) < 0)
        return refuse_answer(c, &why, err);
    note(c, "version", "%s", c->vmm_version);
    return conditions_check_version(c, c->vmm_version, err);
}

/* ---- Firecracker's jailer ---- */

bool idle_jailer(const struct conditions *c, char *why, size_t size)
{
    note(c, "field", "firecracker.jailer");
    note(c, "configured", "%s", c->cfg->firecracker.jailer);
    if (is_other(c, &vmm_firecracker, why, size))
        return true;
    (void)str_copy(why, size, "no jailer is configured");
    return !*c->cfg->firecracker.jailer;
}

int check_jailer(struct conditions *c, struct error *err)
{
    const char *name = c->cfg->firecracker.jailer;
    struct error e = ERROR_INIT;
    if (geteuid() != 0)
        return error_set(err, ERR_ENV, 0,
                         "firecracker.jailer: the jailer needs root; next: put sudo before "
                         "crabbox-fc, or unset firecracker.jailer");
    int found = program_locate(name, "jailer", NULL, c->jailer_path, &e);
    if (found < 0 && !(e.kind == ERR_ENV && e.sys == ENOENT)) {
        *err = e;
        return -1;
    }
    if (found < 0 || access(c->jailer_path, X_OK) < 0)
        return error_set(err, ERR_ENV, 0,
                         "firecracker.jailer: there is no program %s%s that can be run; next: "
                         "install the jailer of Firecracker's release, and set firecracker.jailer "
                         "to its path",
                         name, strchr(name, '/') ? "" : " in PATH");
    note(c, "path", "%s", c->jailer_path);
    if (jailer_takes(c->vmm_path))
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "firecracker.jailer: the jailer starts only programs with \"firecracker\" in "
                     "their name, not %s; next: set firecracker.binary to such a file",
                     c->vmm_path);
}

/* Which arguments the two pass each other is only said for one version. */
int probe_jailer(struct conditions *c, struct error *err)
{
    char version[64];
    struct error why = ERROR_INIT;
    const struct deadline d = deadline_sub(&c->deadline, PROBE_MS);
    if (vmm_process_probe(c->jailer_path, "Jailer ", c->cfg->sandbox, &d, version, sizeof version,
                          &why) < 0) {
        size_t len;
        (void)error_next(&why, &len);
        return error_set(
            err, why.kind == ERR_CANCELLED ? ERR_CANCELLED : ERR_ENV, 0,
            "%.*s; next: set firecracker.jailer to the jailer of Firecracker's release", (int)len,
            why.msg);
    }
    note(c, "version", "%s", version);
    if (!*c->vmm_version || str_eq(version, c->vmm_version))
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "the jailer %s is of version %s, and Firecracker of %s; next: set "
                     "firecracker.jailer and firecracker.binary to programs of one release",
                     c->jailer_path, version, c->vmm_version);
}

/* ---- its sandbox ---- */

const char *conditions_apart_lacks(const struct conditions *c)
{
    if (!c->cfg->sandbox || geteuid() == 0 || c->net_mode == NET_PASTA)
        return "";
    return "the VMM has the caller's own user id, the host's root directory and no PID namespace "
           "of its own, as the caller has capabilities but is not root";
}

int check_sandbox(struct conditions *c, struct error *err)
{
    int version = confine_version();
    const char *lacks = conditions_apart_lacks(c);
    note(c, "landlock", "%d", version);
    if (!c->cfg->sandbox)
        return 0;
    if (version <= 0)
        return error_set(err, ERR_ENV, 0,
                         "this kernel has no Landlock, which confines the VMM; next: boot with "
                         "lsm=landlock added to the kernel's list, or accept less: --sandbox "
                         "false");
    if (*lacks && !c->degraded)
        return error_set(err, ERR_ENV, 0,
                         "%s; next: put sudo before crabbox-fc, start it without capabilities "
                         "(leases are made without root then), or accept less: --isolation "
                         "degraded",
                         lacks);
    return uid_range_check(&c->uids, err);
}

/* What root may open, and a confined VMM may not. A stock root is cloned first. A jail with the
 * devices needs rights that a container may lack. */
int probe_sandbox(struct conditions *c, struct error *err)
{
    if (!c->cfg->sandbox)
        return 0;
    if (vmm_sandbox_apart(c->state_at, err) < 0)
        return -1;
    for (int f = 0; f < IMAGE_FILES; f++)
        if (c->image.fds[f] >= 0 && !(f == IMAGE_ROOTFS && c->image.kind == IMAGE_STOCK) &&
            confine_can_read(c->image.open_at[f], err) < 0)
            return -1;
    _cleanup_(jail_close) struct jail jail = JAIL_INIT;
    return geteuid() != 0 ||
                   (jail_open(&jail, 0, err) == 0 && jail_device(&jail, "/dev/net/tun", err) == 0)
               ? 0
               : -1;
}

/* Without root there is none to be had. Whoever starts without root has asked for that, but not
 * whoever set a limit that takes one, or "strict". */
static int check_no_group(struct conditions *c, struct error *err)
{
    const struct config_key *key = config_key_by_flag("isolation");
    const char *wish = c->cfg->limits.cpu_percent > 0 ? "limits.cpuPercent is set"
                       : !str_eq(config_value_source(c->cfg, key), "default")
                           ? "isolation is strict"
                           : NULL;
    (void)str_copy(c->lacks, sizeof c->lacks, "no control group, which takes root");
    if (!wish || c->degraded)
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "%s, but a lease without root has no control group; next: put sudo before "
                     "crabbox-fc, or accept less: --isolation degraded",
                     wish);
}

int check_cgroup(struct conditions *c, struct error *err)
{
    _cleanup_strbuf_ struct strbuf lacks = STRBUF_INIT;
    note(c, "isolation", "%s", c->cfg->isolation);
    note(c, "parent", "%s", c->cfg->cgroup);
    if (c->net_mode == NET_PASTA)
        return check_no_group(c, err);
    if (cgroup_look(c->cfg->cgroup, c->degraded ? &lacks : NULL, err) < 0)
        return -1;
    text_copy(c->lacks, sizeof c->lacks, lacks.buf);
    return 0;
}
