/* standin-jailer: a double of Firecracker's jailer, for tests of how it is started and what it
 * leaves.
 *
 * It takes the real one's command line as strictly, and makes the same jail in the same order: the
 * copy of the program, the resource limits, a mount namespace with the jail as its root, device
 * nodes, the pid file, and the change of user, before it runs the copy in its own process. What
 * exists already where the real one makes something new is refused.
 *
 * It differs in two ways. The real Firecracker is static: the stand-in isn't, so the host's
 * libraries are mounted in the jail as well. And with an id that ends in "-die" and a number it
 * ends at once, with the code 77, before its step of that number, the first being 1.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define PROGRAM "firecracker"

struct args {
    const char *id, *exec_file, *base;
    const char *limits[4];
    unsigned n_limits;
    uint64_t uid, gid;
    char *const *rest; /* Firecracker's */
};

struct jail {
    char program[PATH_MAX]; /* its real path */
    const char *name;
    char root[PATH_MAX];
    unsigned step;
};

static void die(const char *what, const char *on) __attribute__((noreturn));
static void die(const char *what, const char *on)
{
    (void)fprintf(stderr, "Jailer error: %s: %s%s%s\n", what, on, errno ? ": " : "",
                  errno ? strerror(errno) : "");
    exit(1);
}

static void step(struct jail *j, const struct args *a)
{
    uint64_t last;
    const char *end = strrchr(a->id, '-');
    j->step++;
    if (end && str_has_prefix(end, "-die") && str_to_u64(end + 4, &last) == 0 && last == j->step)
        _exit(77); /* no signal of its own ends the first process of a namespace */
}

static uint64_t number(const char *option, const char *text)
{
    uint64_t n;
    errno = 0;
    if (!text || str_to_u64(text, &n) < 0 || n > UINT32_MAX)
        die(option, text ? text : "missing");
    return n;
}

static void parse(int argc, char **argv, struct args *out)
{
    static const struct option options[] = {
        {"id", required_argument, NULL, 'i'},
        {"exec-file", required_argument, NULL, 'e'},
        {"uid", required_argument, NULL, 'u'},
        {"gid", required_argument, NULL, 'g'},
        {"chroot-base-dir", required_argument, NULL, 'b'},
        {"resource-limit", required_argument, NULL, 'l'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *uid = NULL, *gid = NULL;
    int c;
    *out = (struct args){.base = "/srv/jailer"};
    while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (c == '?')
            exit(1);
        if (c == 'v') {
            (void)printf("Jailer v1.14.0\n");
            exit(0);
        }
        out->id = c == 'i' ? optarg : out->id;
        out->exec_file = c == 'e' ? optarg : out->exec_file;
        out->base = c == 'b' ? optarg : out->base;
        uid = c == 'u' ? optarg : uid;
        gid = c == 'g' ? optarg : gid;
        if (c == 'l' && out->n_limits < ARRAY_LEN(out->limits))
            out->limits[out->n_limits++] = optarg;
    }
    errno = 0;
    if (!out->id || !out->exec_file || !uid || !gid)
        die("missing argument", "--id, --exec-file, --uid and --gid are needed");
    if (optind < argc && !str_eq(argv[optind - 1], "--"))
        die("unexpected argument", argv[optind]);
    out->uid = number("--uid", uid);
    out->gid = number("--gid", gid);
    out->rest = argv + optind;
}

static void check_id(const char *id)
{
    size_t n = strlen(id);
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-')
            die("invalid id", id);
    if (n < 1 || n > 64)
        die("invalid id", id);
}

static void find(const struct args *a, struct jail *j)
{
    char base[PATH_MAX];
    struct stat st;
    if (!realpath(a->exec_file, j->program) || stat(j->program, &st) < 0 || !S_ISREG(st.st_mode))
        die("exec file", a->exec_file);
    j->name = strrchr(j->program, '/') + 1;
    if (!strstr(j->name, PROGRAM))
        die("the name of the exec file has no \"" PROGRAM "\"", j->name);
    if (!realpath(a->base, base) ||
        str_format(j->root, sizeof j->root, "%s/%s/%s/root", base, j->name, a->id) < 0)
        die("chroot base", a->base);
}

static void make_way(const char *path)
{
    _cleanup_free_ char *way = xstrdup(path);
    for (char *slash = strchr(way + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(way, 0755) < 0 && errno != EEXIST)
            die("create", way);
        *slash = '/';
    }
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        die("create", path);
}

static void limit(const char *text)
{
    bool files = str_has_prefix(text, "no-file="), size = str_has_prefix(text, "fsize=");
    uint64_t max;
    errno = 0;
    if ((!files && !size) || str_to_u64(strchr(text, '=') + 1, &max) < 0)
        die("--resource-limit", text);
    const struct rlimit r = {max, max};
    if (setrlimit(files ? RLIMIT_NOFILE : RLIMIT_FSIZE, &r) < 0)
        die("set the resource limit", text);
}

static void copy_program(const struct jail *j)
{
    _cleanup_free_ char *to = xasprintf("%s/%s", j->root, j->name);
    _cleanup_close_ int in = open(j->program, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    struct stat st;
    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        die("copy", j->program);
    for (off_t at = 0; at < st.st_size;)
        if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
            die("copy", j->program);
}

/* What a dynamic program needs. */
static void add_libraries(const struct jail *j)
{
    static const char *const host[] = {"/usr", "/lib", "/lib64"};
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        _cleanup_free_ char *at = xasprintf("%s%s", j->root, host[i]);
        make_way(at);
        if (mount(host[i], at, NULL, MS_BIND, NULL) < 0)
            die("mount", at);
    }
}

static void change_root(const struct jail *j)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
        mount(j->root, j->root, NULL, MS_BIND | MS_REC, NULL) < 0)
        die("mount", j->root);
    add_libraries(j);
    if (chdir(j->root) < 0 || mkdir("old_root", 0700) < 0 ||
        syscall(SYS_pivot_root, ".", "old_root") < 0 || chdir("/") < 0 ||
        umount2("old_root", MNT_DETACH) < 0 || rmdir("old_root") < 0)
        die("change the root to", j->root);
}

static void own(const char *path, const struct args *a, mode_t mode)
{
    if (chmod(path, mode) < 0 || chown(path, (uid_t)a->uid, (gid_t)a->gid) < 0)
        die("change the owner of", path);
}

static void make_directories(const struct args *a)
{
    static const char *const names[] = {"/dev", "/dev/net", "/run"};
    own("/", a, 0700);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        make_way(names[i]);
        own(names[i], a, 0700);
    }
}

static void make_devices(const struct args *a)
{
    static const struct {
        const char *path;
        unsigned major, minor;
    } devices[] = {{"/dev/net/tun", 10, 200}, {"/dev/kvm", 10, 232}, {"/dev/urandom", 1, 9}};
    for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
        if (mknod(devices[i].path, S_IFCHR | 0600, makedev(devices[i].major, devices[i].minor)) < 0)
            die("create", devices[i].path);
        own(devices[i].path, a, 0600);
    }
}

static void write_pid(const struct jail *j)
{
    _cleanup_free_ char *path = xasprintf("/%s.pid", j->name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%d", (int)getpid()) < 0)
        die("write", path);
}

static void run(const struct args *a, const struct jail *j) __attribute__((noreturn));
static void run(const struct args *a, const struct jail *j)
{
    _cleanup_free_ char *path = xasprintf("/%s", j->name);
    char *argv[32] = {path, xstrdup("--id"), xstrdup(a->id), xstrdup("--start-time-us=1")};
    size_t n = 4;
    for (size_t i = 0; a->rest[i] && n + 1 < ARRAY_LEN(argv); i++)
        argv[n++] = a->rest[i];
    own(path, a, 0755);
    if (syscall(SYS_setgroups, 0, NULL) < 0 ||
        setresgid((gid_t)a->gid, (gid_t)a->gid, (gid_t)a->gid) < 0 ||
        setresuid((uid_t)a->uid, (uid_t)a->uid, (uid_t)a->uid) < 0)
        die("become", "the user");
    (void)execv(path, argv);
    die("run", path);
}

int main(int argc, char **argv)
{
    struct args a;
    struct jail j = {.step = 0};
    if (close_range(3, ~0U, CLOSE_RANGE_UNSHARE) < 0 || clearenv() != 0)
        die("close", "descriptors");
    parse(argc, argv, &a);
    check_id(a.id);
    find(&a, &j);
    step(&j, &a);
    make_way(j.root);
    step(&j, &a);
    for (unsigned i = 0; i < a.n_limits; i++)
        limit(a.limits[i]);
    step(&j, &a);
    copy_program(&j);
    step(&j, &a);
    change_root(&j);
    step(&j, &a);
    make_directories(&a);
    step(&j, &a);
    make_devices(&a);
    step(&j, &a);
    write_pid(&j);
    step(&j, &a);
    run(&a, &j);
}
