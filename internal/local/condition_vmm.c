/* What the VMM's program has to be, and what it may reach once it is confined. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/condition_rows.h"
#include "sys/confine.h"
#include "sys/program.h"
#include "vmm/sandbox.h"

#define PROBE_MS 5000 /* for a program to say its version, libraries from a cold disk too */

static bool is_firecracker(const struct conditions *c)
{
    return c->vmm == &vmm_firecracker;
}

static const char *field_of(const struct conditions *c)
{
    return is_firecracker(c) ? "firecracker.binary" : "qemu.binary";
}

/* ---- jailer ---- */

bool idle_jailer(const struct conditions *c, char *why, size_t size)
{
    note(c, "field", "firecracker.jailer");
    note(c, "configured", "%s", c->cfg->firecracker.jailer);
    (void)str_copy(why, size, "no jailer is configured");
    return !*c->cfg->firecracker.jailer;
}

/* What is asked for but not built is refused, never ignored. */
int check_jailer(struct conditions *c, struct error *err)
{
    return error_set(err, ERR_CONFIG, 0,
                     "firecracker.jailer is set to \"%s\", but jailed launch is not built yet; "
                     "next: unset firecracker.jailer to run without the jailer",
                     c->cfg->firecracker.jailer);
}

/* ---- the program ---- */

static int refuse_missing(const struct conditions *c, const char *name, struct error *err)
{
    const char *where = strchr(name, '/') ? "" : " in PATH";
    if (is_firecracker(c))
        return error_set(err, ERR_ENV, 0,
                         "%s: there is no program %s%s; next: install Firecracker 1.8 or newer and "
                         "set %s to its path",
                         field_of(c), name, where, field_of(c));
    return error_set(err, ERR_ENV, 0,
                     "%s: there is no program %s%s; next: apt-get install qemu-system-x86, or set "
                     "%s to its path",
                     field_of(c), name, where, field_of(c));
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
                         field_of(c), path, field_of(c));
    if (access(path, X_OK) == 0)
        return 0;
    if (st.st_mode & 0111)
        return error_set(err, ERR_ENV, errno,
                         "%s: %s can't be run where it is; next: copy it to a place like "
                         "/usr/local/bin, whose filesystem is not mounted noexec",
                         field_of(c), path);
    return error_set(err, ERR_ENV, 0, "%s: %s is not marked as a program; next: chmod 755 %s",
                     field_of(c), path, quoted);
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
static int find_program(struct conditions *c, const char *name, struct error *err)
{
    struct error e = ERROR_INIT;
    note(c, "field", "%s", field_of(c));
    note(c, "configured", "%s", name);
    if (!*name)
        return error_set(err, ERR_CONFIG, 0, "%s is blank; next: set it to the program's path",
                         field_of(c));
    if (program_locate(name, VMM_PROGRAM, NULL, c->vmm_path, &e) < 0) {
        if (e.kind == ERR_ENV && e.sys == ENOENT)
            return refuse_missing(c, name, err);
        *err = e;
        return -1;
    }
    note(c, "path", "%s", c->vmm_path);
    return check_executable(c, err) < 0 ? -1 : check_pin(c, err);
}

bool idle_firecracker(const struct conditions *c, char *why, size_t size)
{
    (void)str_format(why, size, "not needed: vmm is %s", c->vmm->name);
    return !is_firecracker(c);
}

bool idle_qemu(const struct conditions *c, char *why, size_t size)
{
    (void)str_format(why, size, "not needed: vmm is %s", c->vmm->name);
    return is_firecracker(c);
}

int check_firecracker(struct conditions *c, struct error *err)
{
    return find_program(c, c->cfg->firecracker.binary, err);
}

/* Hardware or emulation is asked for, never guessed. */
int check_qemu(struct conditions *c, struct error *err)
{
    note(c, "accel", "%s", c->accel);
    if (find_program(c, c->cfg->qemu.binary, err) < 0)
        return -1;
    if (*c->accel)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "vmm is qemu, but qemu.accel is not set; next: --qemu-accel kvm for hardware "
                     "virtualisation, or --qemu-accel tcg to accept slow emulation");
}

/* The image's kernel finds its devices through ACPI, which Firecracker has since 1.8. */
int conditions_check_version(const struct conditions *c, const char *version, struct error *err)
{
    unsigned major = 0, minor = 0;
    const char *digits = version + strcspn(version, "0123456789");
    if (!is_firecracker(c) || sscanf(digits, "%u.%u", &major, &minor) != 2 || major > 1 ||
        (major == 1 && minor >= 8))
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "Firecracker %s is too old: it describes no devices by ACPI; next: install "
                     "Firecracker 1.8 or newer and set firecracker.binary to its path",
                     version);
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
            "that it needs below /usr, or accept a VMM with all rights by --sandbox "
            "false",
            c->vmm_path, (int)len, why->msg);
    return error_set(err, why->kind == ERR_CANCELLED ? ERR_CANCELLED : ERR_ENV, 0,
                     "%.*s; next: look at what %s --version says, and set %s to a program that "
                     "answers",
                     (int)len, why->msg, quoted, field_of(c));
}

int probe_program(struct conditions *c, struct error *err)
{
    struct error why = ERROR_INIT;
    if (ask_version(c, c->cfg->sandbox, &why) < 0)
        return refuse_answer(c, &why, err);
    note(c, "version", "%s", c->vmm_version);
    return conditions_check_version(c, c->vmm_version, err);
}

/* ---- its sandbox ---- */

int check_sandbox(struct conditions *c, struct error *err)
{
    int version = confine_version();
    note(c, "landlock", "%d", version);
    if (version > 0 || !c->cfg->sandbox)
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "this kernel has no Landlock, which confines the VMM; next: boot with "
                     "lsm=landlock added to the kernel's list, or accept less: --sandbox false");
}

/* What root may open, and a confined VMM may not. A stock root is cloned first. */
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
    if (str_eq(c->accel, "kvm") && confine_can_use("/dev/kvm", err) < 0)
        return -1;
    return confine_can_use("/dev/net/tun", err);
}
