/* attempts_host.c: attempts to reach what is beside the fence: other leases, services and processes
 * of the host, its devices, control groups, keys and settings. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "testutil/attempts.h"

/* ---- files by their names on the host ---- */

static long opened(const char *path, int flags)
{
    _cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -1 : 0;
}

static const char *neighbour(void)
{
    const char *path = getenv(ATTEMPT_NEIGHBOUR);
    return path ? path : "/";
}

static long neighbours_key(int fd)
{
    (void)fd;
    _cleanup_free_ char *path = xasprintf("%s/key", neighbour());
    return opened(path, O_RDONLY);
}

static long neighbours_disk(int fd)
{
    (void)fd;
    _cleanup_free_ char *path = xasprintf("%s/disk", neighbour());
    return opened(path, O_RDWR);
}

static long own_key(int fd)
{
    (void)fd;
    return opened("../key", O_RDONLY);
}

static long passwords(int fd)
{
    (void)fd;
    return opened("/etc/passwd", O_RDONLY);
}

static long root_of_first(int fd)
{
    (void)fd;
    return opened("/proc/1/root/etc/passwd", O_RDONLY);
}

static long files_of_self(int fd)
{
    (void)fd;
    return opened("/proc/self/fd", O_RDONLY | O_DIRECTORY);
}

static long runtime_directory(int fd)
{
    (void)fd;
    return opened("/run/crabbox-fc", O_RDONLY | O_DIRECTORY);
}

static long control_groups(int fd)
{
    (void)fd;
    return opened("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
}

static long handler_of_cores(int fd)
{
    (void)fd;
    return opened("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static long processor(int fd)
{
    (void)fd;
    return opened("/sys/devices/system/cpu/uevent", O_WRONLY);
}

static long libraries(int fd)
{
    (void)fd;
    return opened("/usr/bin/sh", O_WRONLY);
}

static long device(int fd)
{
    (void)fd;
    return opened("/dev/full", O_RDONLY);
}

static long new_file(int fd)
{
    (void)fd;
    _cleanup_close_ int made = open("new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made >= 0)
        (void)unlink("new");
    return made;
}

static long own_node(int fd)
{
    (void)fd;
    long r = mknod("node", S_IFCHR | 0600, makedev(1, 7));
    if (r == 0)
        (void)unlink("node");
    return r;
}

/* A program that it wrote to its disk. */
static long run_from_disk(int fd)
{
    const void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    return p == MAP_FAILED ? -1 : 0;
}

/* ---- services ---- */

static long connected(int family, int type, const void *to, socklen_t size)
{
    _cleanup_close_ int s = socket(family, type | SOCK_CLOEXEC, 0);
    return s < 0 ? -1 : connect(s, to, size);
}

static long service(int fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)fd;
    (void)str_format(to.sun_path, sizeof to.sun_path, "%s/listens", neighbour());
    return connected(AF_UNIX, SOCK_STREAM, &to, sizeof to);
}

static long service_without_file(int fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)fd;
    int n = str_format(to.sun_path + 1, sizeof to.sun_path - 1, "%s", neighbour());
    (void)n;
    return connected(
        AF_UNIX, SOCK_STREAM, &to,
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to.sun_path + 1)));
}

static long service_of_network(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ATTEMPT_PORT)};
    (void)fd;
    (void)inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    return connected(AF_INET, SOCK_STREAM, &to, sizeof to);
}

/* Any family but that of the control socket, of any type. */
static long other_families(int fd)
{
    (void)fd;
    for (int family = 0; family < 64; family++)
        for (int type = SOCK_STREAM; family != AF_UNIX && type <= SOCK_PACKET; type++) {
            _cleanup_close_ int s = socket(family, type | SOCK_CLOEXEC, 0);
            if (s >= 0 || errno != EPERM)
                return 0;
        }
    errno = EPERM;
    return -1;
}

/* ---- processes ---- */

static pid_t process(void)
{
    const char *pid = getenv(ATTEMPT_PID);
    return pid ? (pid_t)strtol(pid, NULL, 10) : -1;
}

static long traced(int fd)
{
    (void)fd;
    return ptrace(PTRACE_SEIZE, process(), NULL, NULL);
}

static long memory_read(int fd)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {NULL, 1};
    (void)fd;
    return process_vm_readv(process(), &here, 1, &there, 1, 0);
}

static long memory_written(int fd)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {NULL, 1};
    (void)fd;
    return process_vm_writev(process(), &here, 1, &there, 1, 0);
}

static long everybody_signalled(int fd)
{
    (void)fd;
    return kill(-1, 0);
}

/* The descriptor that it would take a namespace, a file or a signal from. */
static long namespace_entered(int fd)
{
    (void)fd;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, process(), 0);
    return setns(pidfd, CLONE_NEWNET);
}

static long descriptor_taken(int fd)
{
    (void)fd;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, process(), 0);
    return syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

/* ---- rights ---- */

static long be_root(int fd)
{
    (void)fd;
    return setresuid(0, 0, 0);
}

static long with_groups(int fd)
{
    const gid_t all[] = {0, 6};
    (void)fd;
    return setgroups(ARRAY_LEN(all), all);
}

static long with_capabilities(int fd)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct all[2] = {{.effective = 1U << 21, .permitted = 1U << 21}};
    (void)fd;
    return syscall(SYS_capset, &head, all);
}

static long other_root(int fd)
{
    (void)fd;
    return chroot(".");
}

static long new_filesystem(int fd)
{
    (void)fd;
    _cleanup_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    return fs;
}

static long tree_copied(int fd)
{
    (void)fd;
    _cleanup_close_ int tree = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return tree;
}

static long writable_again(int fd)
{
    (void)fd;
    return mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL);
}

static long unmounted(int fd)
{
    (void)fd;
    return umount2("/usr", MNT_DETACH);
}

static long host_restarted(int fd)
{
    (void)fd;
    return syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* what Ctrl-Alt-Del does */, NULL);
}

static long host_named(int fd)
{
    (void)fd;
    return sethostname("x", 1);
}

static long clock_set(int fd)
{
    struct timespec now;
    (void)fd;
    return clock_gettime(CLOCK_REALTIME, &now) < 0 ? -1 : clock_settime(CLOCK_REALTIME, &now);
}

static long swapped(int fd)
{
    (void)fd;
    return swapon("write", 0);
}

static long accounted(int fd)
{
    (void)fd;
    return acct(NULL);
}

static long module_loaded(int fd)
{
    (void)fd;
    return syscall(SYS_init_module, "", 0UL, "");
}

/* ---- large parts of the kernel ---- */

static long faults_handled(int fd)
{
    (void)fd;
    return syscall(SYS_userfaultfd, O_CLOEXEC);
}

static long kernel_programs(int fd)
{
    char attributes[128] = {0};
    (void)fd;
    return syscall(SYS_bpf, 0 /* a map */, attributes, sizeof attributes);
}

static long measured(int fd)
{
    struct perf_event_attr attr = {.size = sizeof attr, .type = PERF_TYPE_SOFTWARE};
    (void)fd;
    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0UL);
}

static long key_made(int fd)
{
    (void)fd;
    return syscall(SYS_add_key, "user", ATTEMPT_KEY, "x", 1UL, KEY_SPEC_PROCESS_KEYRING);
}

/* One of who started it. */
static long key_found(int fd)
{
    (void)fd;
    return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", ATTEMPT_KEY, 0);
}

static long key_requested(int fd)
{
    (void)fd;
    return syscall(SYS_request_key, "user", ATTEMPT_KEY, NULL, 0);
}

/* ---- as much as it can get ---- */

static void *asleep(void *arg)
{
    const struct timespec long_time = {1000, 0};
    (void)nanosleep(&long_time, NULL);
    return arg;
}

static long many_threads(int fd)
{
    pthread_t thread;
    pthread_attr_t small;
    (void)fd;
    (void)pthread_attr_init(&small);
    (void)pthread_attr_setstacksize(&small, 65536);
    for (int n = 0; n < ATTEMPT_MANY; n++)
        if ((errno = pthread_create(&thread, &small, asleep, NULL)) != 0)
            return -1;
    return 0;
}

static long many_files(int fd)
{
    for (int n = 0; n < ATTEMPT_MANY; n++)
        if (fcntl(fd, F_DUPFD_CLOEXEC, 0) < 0)
            return -1;
    return 0;
}

/* Beside the first three and the file that was opened for these attempts it has at most one, which
 * it can do nothing with: the empty file whose lock is its claim on its user. */
static long inherited(int fd)
{
    struct stat st;
    unsigned n = 0;
    for (int i = 3; i < ATTEMPT_MANY; i++)
        if (i != fd && fstat(i, &st) == 0) {
            n++;
            if (!S_ISREG(st.st_mode) || st.st_size || (fcntl(i, F_GETFL) & O_ACCMODE) != O_RDONLY)
                return 0;
        }
    errno = EBADF;
    return n > 1 ? 0 : -1;
}

const struct attempt attempts_on_host[] = {
    {"neighbours_key", neighbours_key, ENOENT, 0},
    {"neighbours_disk", neighbours_disk, ENOENT, 0},
    {"own_key", own_key, ENOENT, 0},
    {"passwords", passwords, ENOENT, 0},
    {"root_of_first", root_of_first, ENOENT, 0},
    {"files_of_self", files_of_self, ENOENT, 0},
    {"runtime_directory", runtime_directory, ENOENT, 0},
    {"control_groups", control_groups, ENOENT, 0},
    {"handler_of_cores", handler_of_cores, ENOENT, ATTEMPT_ANY},
    {"processor", processor, EACCES, ATTEMPT_ANY},
    {"libraries", libraries, EACCES, ATTEMPT_ANY},
    {"device", device, ENOENT, 0},
    {"new_file", new_file, EACCES, 0},
    {"own_node", own_node, ENOSYS, 0},
    {"run_from_disk", run_from_disk, EPERM, 0},
    {"service", service, ENOSYS, 0},
    {"service_without_file", service_without_file, ENOSYS, 0},
    {"service_of_network", service_of_network, EPERM, 0},
    {"other_families", other_families, EPERM, 0},
    {"traced", traced, ENOSYS, 0},
    {"memory_read", memory_read, ENOSYS, EFAULT},
    {"memory_written", memory_written, ENOSYS, EFAULT},
    {"everybody_signalled", everybody_signalled, EPERM, ATTEMPT_ANY},
    {"namespace_entered", namespace_entered, ENOSYS, 0},
    {"descriptor_taken", descriptor_taken, ENOSYS, 0},
    {"be_root", be_root, ENOSYS, 0},
    {"with_groups", with_groups, ENOSYS, 0},
    {"with_capabilities", with_capabilities, ENOSYS, 0},
    {"other_root", other_root, ENOSYS, 0},
    {"new_filesystem", new_filesystem, ENOSYS, 0},
    {"tree_copied", tree_copied, ENOSYS, 0},
    {"writable_again", writable_again, ENOSYS, ATTEMPT_NEVER},
    {"unmounted", unmounted, ENOSYS, ATTEMPT_NEVER},
    {"host_restarted", host_restarted, ENOSYS, ATTEMPT_NEVER},
    {"host_named", host_named, ENOSYS, ATTEMPT_NEVER},
    {"clock_set", clock_set, ENOSYS, ATTEMPT_NEVER},
    {"swapped", swapped, ENOSYS, ATTEMPT_NEVER},
    {"accounted", accounted, ENOSYS, ATTEMPT_NEVER},
    {"module_loaded", module_loaded, ENOSYS, ATTEMPT_NEVER},
    {"faults_handled", faults_handled, ENOSYS, ATTEMPT_ANY},
    {"kernel_programs", kernel_programs, ENOSYS, ATTEMPT_ANY},
    {"measured", measured, ENOSYS, ATTEMPT_ANY},
    {"key_made", key_made, ENOSYS, ATTEMPT_ANY},
    {"key_found", key_found, ENOSYS, ATTEMPT_ANY},
    {"key_requested", key_requested, ENOSYS, ATTEMPT_ANY},
    {"inherited", inherited, EBADF, ATTEMPT_ANY},
    {"many_threads", many_threads, EAGAIN, ATTEMPT_NEVER},
    {"many_files", many_files, EMFILE, ATTEMPT_NEVER},
};

const size_t n_attempts_on_host = ARRAY_LEN(attempts_on_host);
