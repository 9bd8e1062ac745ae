#include "vmm/jailer.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sys/cgroup.h"
#include "sys/confine.h"
#include "sys/file.h"

#define BASE     "/run/crabbox-fc/jailer"
#define ROOM     (1024 * 1024) /* beside the copy of the program: directories and empty files */
#define MUST_HAS "firecracker"

/* As the jailer calls it: by the name of what the path leads to. */
static int program_name(const char *binary, char real[static PATH_MAX], const char **name)
{
    if (!realpath(binary, real))
        return -1;
    *name = strrchr(real, '/') + 1;
    return 0;
}

bool jailer_takes(const char *binary)
{
    char real[PATH_MAX];
    const char *name;
    return program_name(binary, real, &name) == 0 && strstr(name, MUST_HAS);
}

int jailer_base(const struct vmm_spec *spec, uid_t uid, struct jail *out, char **root,
                struct error *err)
{
    char real[PATH_MAX];
    const char *name;
    struct stat st;
    if (program_name(spec->binary, real, &name) < 0 || stat(real, &st) < 0)
        return error_set(err, ERR_ENV, errno, "find %s", spec->binary);
    if (dir_make_all(BASE, 0700, err) < 0 ||
        jail_open_at(out, uid, BASE, (uint64_t)st.st_size + ROOM, err) < 0)
        return -1;
    _cleanup_free_ char *at = xasprintf("/%s/%s/root", name, spec->vm_id);
    if (jail_directory(out, at, err) < 0)
        return -1;
    *root = TAKE_PTR(at);
    return 0;
}

static void add(struct jailer_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct jailer_args *a, const char *fmt, ...)
{
    va_list ap;
    /* The list below has grown past its array: a bug, found by the first test. */
    if (a->n == JAILER_ARGS_MAX)
        abort();
    va_start(ap, fmt);
    a->v[a->n++] = xvasprintf(fmt, ap);
    va_end(ap);
    a->v[a->n] = NULL;
}

/* Without --daemonize and --new-pid-ns, which start Firecracker in another process than the one
 * that was recorded. The PID and network namespaces are those that the jailer starts in, and so is
 * the control group. */
void jailer_args_build(const struct vmm_spec *spec, uid_t uid, uint64_t file_max,
                       unsigned files_max, const char *const *argv, struct jailer_args *out)
{
    *out = (struct jailer_args){.n = 0};
    add(out, "%s", spec->jailer);
    add(out, "--id");
    add(out, "%s", spec->vm_id);
    add(out, "--exec-file");
    add(out, "%s", spec->binary);
    add(out, "--uid");
    add(out, "%u", (unsigned)uid);
    add(out, "--gid");
    add(out, "%u", (unsigned)uid);
    add(out, "--chroot-base-dir");
    add(out, BASE);
    add(out, "--resource-limit");
    add(out, "fsize=%llu", (unsigned long long)file_max);
    add(out, "--resource-limit");
    add(out, "no-file=%u", files_max);
    add(out, "--");
    for (size_t i = 1; argv[i]; i++)
        add(out, "%s", argv[i]);
}

void jailer_args_free(struct jailer_args *a)
{
    for (unsigned i = 0; i < a->n; i++)
        free((void *)(uintptr_t)a->v[i]);
    a->n = 0;
}

int jailer_verify(pid_t pid, uid_t uid, const struct vmm_spec *spec, struct error *err)
{
    struct stat ours, its;
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/root/.", (int)pid);
    if (stat("/", &ours) < 0 || stat(path, &its) < 0)
        return error_set(err, ERR_ENV, errno, "look at the root directory of process %d", (int)pid);
    if (ours.st_dev == its.st_dev && ours.st_ino == its.st_ino)
        return error_set(
            err, ERR_ENV, 0,
            "firecracker.jailer gave process %d no root directory of its own; next: set "
            "it to the jailer of Firecracker's release",
            (int)pid);
    /* Again, because the jailer could leave the group with root's rights. */
    if (spec->cgroup && *spec->cgroup &&
        cgroup_verify(spec->cgroup, pid, spec->cgroup_partly, err) < 0)
        return -1;
    return confine_verify_user(pid, uid, err);
}
