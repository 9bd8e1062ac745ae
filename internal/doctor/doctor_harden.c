/* doctor's checks of how hard the host itself makes it for a guest that breaks out, or that spies
 * on its neighbours. A lease works either way, so what is not as it should be is a warning. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "doctor/doctor_check.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/trusted.h"

#define TEXT_MAX 65536

/* What the kernel says in a file of /proc or /sys, without the end of line; NULL where there is no
 * such file. The caller frees it. */
static char *kernel_says(const struct doctor_ctx *ctx, const char *path)
{
    struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *at = xasprintf("%s%s", ctx->root ? ctx->root : "", path);
    if (file_read_at(AT_FDCWD, at, TEXT_MAX, &text, NULL) < 0) {
        strbuf_free(&text);
        return NULL;
    }
    while (text.len && text.buf[text.len - 1] == '\n')
        text.buf[--text.len] = '\0';
    return strbuf_detach(&text);
}

/* As a number, `none` where there is none. */
static long kernel_number(const struct doctor_ctx *ctx, const char *path, long none)
{
    _cleanup_free_ char *text = kernel_says(ctx, path);
    char *end;
    if (!text || !*text)
        return none;
    long n = strtol(text, &end, 10);
    return *end ? none : n;
}

void doctor_ksm(struct doctor_ctx *ctx, struct doctor_check *c)
{
    long run = kernel_number(ctx, "/sys/kernel/mm/ksm/run", -1);
    check_detail(c, "run", "%s", run < 0 ? "unknown" : run == 1 ? "1" : "0");
    if (run == 1) {
        check_warn(c,
                   "the kernel merges equal pages of programs that ask for it, and one of them can "
                   "find out by the time of a write what another has; leases don't ask for it");
        check_fix(c, "echo 2 >/sys/kernel/mm/ksm/run, and switch ksmtuned off if it runs");
    } else {
        check_ok(c, "the kernel merges no equal pages, so the time of a write reveals nothing");
    }
}

void doctor_smt(struct doctor_ctx *ctx, struct doctor_check *c)
{
    long active = kernel_number(ctx, "/sys/devices/system/cpu/smt/active", 0);
    check_detail(c, "active", "%s", active ? "true" : "false");
    if (active) {
        check_warn(c, "two threads share a processor core, so a guest may learn from its caches "
                      "what the other thread does, which may run another guest");
        check_fix(c, "echo off >/sys/devices/system/cpu/smt/control, or nosmt on the kernel's "
                     "command line");
    } else {
        check_ok(c, "no two threads share a processor core");
    }
}

/* Flaws of the processor that the kernel does nothing about. That two threads of a core share
 * something is the check of smt. */
static bool is_open(const char *says)
{
    return str_has_prefix(says, "Vulnerable") || str_has_prefix(says, "Unknown") ||
           strstr(says, "KVM: Vulnerable");
}

void doctor_cpu(struct doctor_ctx *ctx, struct doctor_check *c)
{
    static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
    struct dirent **names = NULL;
    _cleanup_strbuf_ struct strbuf open = STRBUF_INIT;
    _cleanup_free_ char *at = xasprintf("%s%s", ctx->root ? ctx->root : "", dir);
    int n = scandir(at, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]->d_name);
        _cleanup_free_ char *says = names[i]->d_name[0] == '.' ? NULL : kernel_says(ctx, path);
        if (says && is_open(says))
            strbuf_addf(&open, "%s%s", open.len ? ", " : "", names[i]->d_name);
        free(names[i]);
    }
    free(names);
    check_detail(c, "open", "%s", n < 0 ? "unknown" : open.len ? open.buf : "none");
    if (n < 0) {
        check_warn(c, "the kernel doesn't show which flaws of the processor it mitigates");
        check_fix(c, "mount sysfs at /sys");
    } else if (open.len) {
        check_warn(c,
                   "the kernel does not protect against these flaws of the processor, so a guest "
                   "may be able to read memory of others: %s",
                   open.buf);
        check_fix(c,
                  "install the processor's microcode and a newer kernel, and remove "
                  "mitigations=off from the kernel's command line; grep . %s/* shows the flaws",
                  dir);
    } else {
        check_ok(c, "the kernel protects against all flaws of the processor that it knows");
    }
}

/* The devices of /proc/swaps that outlive a power-off: compressed memory does not. */
static void add_swaps(const char *text, struct strbuf *out)
{
    for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
        line++;
        size_t len = strcspn(line, " \t\n");
        if (len && !str_has_prefix(line, "/dev/zram"))
            strbuf_addf(out, "%s%.*s", out->len ? ", " : "", (int)len, line);
    }
}

void doctor_swap(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_free_ char *text = kernel_says(ctx, "/proc/swaps");
    _cleanup_strbuf_ struct strbuf on = STRBUF_INIT;
    if (text)
        add_swaps(text, &on);
    check_detail(c, "devices", "%s", on.len ? on.buf : "none");
    if (on.len) {
        check_warn(c, "the memory of guests may be written to %s, and stays there after they end",
                   on.buf);
        check_fix(c, "swapoff -a, or swap to an encrypted device with a new key at each boot; "
                     "memory.swap.max of the control group keeps only leases out of the swap");
    } else {
        check_ok(c, "the memory of guests is never written to a disk");
    }
}

/* The program that cores are piped to: root runs it. */
static int check_core_program(const char *pattern, struct error *err)
{
    const char *start = pattern + 1 + strspn(pattern + 1, " ");
    _cleanup_free_ char *program = strndup(start, strcspn(start, " "));
    if (!program)
        abort();
    return trusted_path(NULL, program, "program for cores", err);
}

void doctor_cores(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_free_ char *pattern = kernel_says(ctx, "/proc/sys/kernel/core_pattern");
    struct error err = ERROR_INIT;
    char shown[160];
    text_copy(shown, sizeof shown, pattern ? pattern : "");
    check_detail(c, "pattern", "%s", shown);
    if (kernel_number(ctx, "/proc/sys/fs/suid_dumpable", 0) == 1) {
        check_warn(c, "a program that changes its user leaves a core dump that its new user may "
                      "read, with secrets from before the change");
        check_fix(c, "sysctl -w fs.suid_dumpable=0");
    } else if (pattern && *pattern == '|' && check_core_program(pattern, &err) < 0) {
        check_error(c, DOCTOR_WARNING, &err, "sysctl -w kernel.core_pattern=core");
    } else {
        check_ok(c, "a VMM leaves no core dump (kernel.core_pattern for other programs: %s)",
                 shown);
    }
}

void doctor_userns(struct doctor_ctx *ctx, struct doctor_check *c)
{
    bool made = kernel_number(ctx, "/proc/sys/user/max_user_namespaces", 0) > 0;
    bool users = made && kernel_number(ctx, "/proc/sys/kernel/unprivileged_userns_clone", 1) == 1;
    bool held = kernel_number(ctx, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) ==
                1;
    const char *who = !made ? "nobody" : !users ? "root" : held ? "some programs" : "everybody";
    check_detail(c, "who", "%s", who);
    check_ok(c,
             "%s on the host may make user namespaces, which give access to more of the kernel; a "
             "confined VMM may not",
             who);
}

#define LANDLOCK_SHORTENS 3 /* since then it decides who makes a file shorter */

void doctor_landlock(struct doctor_ctx *ctx, struct doctor_check *c)
{
    int version = ctx->landlock >= 0 ? ctx->landlock : confine_version();
    check_detail(c, "version", "%d", version);
    if (version == 0) {
        check_skip(c, "the kernel has no Landlock: see the check sandbox");
    } else if (version < LANDLOCK_SHORTENS) {
        check_warn(c, "version %d: a VMM that was taken over may make its own files shorter",
                   version);
        check_fix(c, "boot Linux 6.2 or newer");
    } else {
        check_ok(c,
                 "version %d: a VMM can open and shorten only files on a list; its list of system "
                 "calls and its namespaces refuse signals and sockets",
                 version);
    }
}

void doctor_cgroups(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_free_ char *v2 = kernel_says(ctx, "/sys/fs/cgroup/cgroup.controllers");
    _cleanup_free_ char *both = kernel_says(ctx, "/sys/fs/cgroup/unified/cgroup.controllers");
    _cleanup_free_ char *v1 = kernel_says(ctx, "/sys/fs/cgroup/memory/cgroup.procs");
    check_detail(c, "version", "%s", v2 ? "2" : both ? "1 and 2" : v1 ? "1" : "none");
    check_detail(c, "controllers", "%s", v2 ? v2 : both && *both ? both : "none");
    if (v2) {
        check_ok(c, "version 2, with the controllers %s", v2);
    } else if (both || v1) {
        check_warn(c, "version 1: the kernel can't end all processes of a group at once, nor bound "
                      "what a lease writes to the host's disks");
        check_fix(c, "boot with systemd.unified_cgroup_hierarchy=1");
    } else {
        check_skip(c, "there are no control groups at /sys/fs/cgroup: see the check cgroup");
    }
}

/* A user who may write there can make root run programs, or change the settings of crabbox-fc. */
void doctor_paths(struct doctor_ctx *ctx, struct doctor_check *c)
{
    static const char *const own[] = {"/etc/crabbox-fc", "/run/crabbox-fc"};
    struct error err = ERROR_INIT;
    const char *path = getenv("PATH");
    _cleanup_free_ char *copy = xstrdup(path ? path : "");
    unsigned n = 0;
    (void)ctx;
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (trusted_path(NULL, own[i], "directory", &err) < 0) {
            check_error(c, DOCTOR_WARNING, &err, "");
            return;
        }
    for (char *rest = copy, *dir; (dir = strsep(&rest, ":"));) {
        if (*dir != '/')
            continue; /* program_find passes them over */
        n++;
        if (trusted_path(NULL, dir, "directory in PATH", &err) < 0) {
            check_error(c, DOCTOR_WARNING, &err, "take it out of PATH");
            return;
        }
    }
    check_detail(c, "directories", "%u", n);
    check_ok(c, "no other user can replace what the %u directories in PATH have", n);
}
