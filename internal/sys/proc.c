#include "sys/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

int proc_boot_id(char out[static BOOT_ID_SIZE], struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &sb, err) < 0)
        return -1;
    sb.buf[strcspn(sb.buf, "\n")] = '\0';
    if (str_copy(out, BOOT_ID_SIZE, sb.buf) < 0 || strlen(out) != BOOT_ID_SIZE - 1)
        return error_set(err, ERR_ENV, 0, "the host's boot id is malformed");
    return 0;
}

/* Reads parent and start time of a pid. The name field may hold anything, so fields are counted
 * from its last closing bracket. */
static int read_stat(pid_t pid, pid_t *parent, uint64_t *start_time, struct error *err)
{
    char path[64];
    struct error e = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read_at(AT_FDCWD, path, 4096, &sb, &e) < 0) {
        if (e.sys == ENOENT || e.sys == ESRCH)
            return error_set(err, ERR_NOT_RUNNING, 0, "process %d has ended", (int)pid);
        return error_set(err, ERR_ENV, e.sys, "look at process %d", (int)pid);
    }
    const char *p = strrchr(sb.buf, ')');
    unsigned long long ticks;
    int ppid;
    if (!p || sscanf(p + 1,
                     " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                     "%llu",
                     &ppid, &ticks) != 2)
        return error_set(err, ERR_ENV, 0, "look at process %d: %s is malformed", (int)pid, path);
    *parent = ppid;
    *start_time = ticks;
    return 0;
}

pid_t proc_parent(pid_t pid)
{
    pid_t parent;
    uint64_t start;
    return read_stat(pid, &parent, &start, NULL) < 0 ? 0 : parent;
}

int proc_ref_of(pid_t pid, struct proc_ref *out, struct error *err)
{
    struct proc_ref ref = {.pid = pid};
    pid_t parent;
    if (read_stat(pid, &parent, &ref.start_time, err) < 0 || proc_boot_id(ref.boot_id, err) < 0)
        return -1;
    *out = ref;
    return 0;
}

/* Whether the process has ended with all its threads; -1 on an error. */
static int has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int r;
    do
        r = poll(&p, 1, 0);
    while (r < 0 && errno == EINTR);
    return r;
}

int proc_open(const struct proc_ref *ref, struct error *err)
{
    char boot[BOOT_ID_SIZE];
    pid_t parent;
    uint64_t start;
    if (ref->pid <= 0)
        return error_set(err, ERR_NOT_RUNNING, 0, "no process is recorded");
    if (proc_boot_id(boot, err) < 0)
        return -1;
    if (!str_eq(boot, ref->boot_id))
        return error_set(err, ERR_NOT_RUNNING, 0, "process %d ran before the host's last boot",
                         (int)ref->pid);
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, ref->pid, 0);
    if (fd < 0 && errno != ESRCH && errno != EINVAL)
        return error_set(err, ERR_ENV, errno, "open process %d", (int)ref->pid);
    /* Check the start time after the open: the descriptor always means this process, even if its
     * number is reused. The state in the stat file is only that of the first thread, which may have
     * ended while others go on, so it is not used. */
    if (fd >= 0 && read_stat(ref->pid, &parent, &start, err) < 0)
        return -1;
    int ended = fd < 0 || start != ref->start_time ? 1 : has_ended(fd);
    if (ended < 0)
        return error_set(err, ERR_ENV, errno, "look at process %d", (int)ref->pid);
    if (ended)
        return error_set(err, ERR_NOT_RUNNING, 0, "process %d has ended", (int)ref->pid);
    return TAKE_FD(fd);
}

bool proc_alive(const struct proc_ref *ref)
{
    struct error err = ERROR_INIT;
    int fd = proc_open(ref, &err);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 || err.kind != ERR_NOT_RUNNING;
}

/* Whether this is our own network namespace. Also true if it can't be found out. */
static bool same_netns(int fd)
{
    struct stat own, other;
    return stat("/proc/self/ns/net", &own) < 0 || fstat(fd, &other) < 0 ||
           (own.st_dev == other.st_dev && own.st_ino == other.st_ino);
}

/* The namespace of the first thread that has one; threads that have ended have none. A confined
 * process can't enter another namespace (confine.h), so all threads have the same one. */
static int open_netns(pid_t pid)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/task", (int)pid);
    int fd = -1;
    _cleanup_closedir_ DIR *threads = opendir(path);
    for (struct dirent *e; fd < 0 && threads && (e = dir_next(threads));) {
        char of_thread[64];
        (void)str_format(of_thread, sizeof of_thread, "%.20s/ns/net", e->d_name);
        if (e->d_name[0] != '.')
            fd = openat(dirfd(threads), of_thread, O_RDONLY | O_CLOEXEC);
    }
    return fd;
}

int proc_open_netns(const struct proc_ref *ref)
{
    _cleanup_close_ int process = proc_open(ref, NULL);
    _cleanup_close_ int fd = process < 0 ? -1 : open_netns(ref->pid);
    /* If it is still alive now, the number was its own when the namespace was opened. */
    if (fd < 0 || !proc_alive(ref) || same_netns(fd))
        return -1;
    return TAKE_FD(fd);
}

int pidfd_signal(int pidfd, int sig, struct error *err)
{
    if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
        return error_set(err, ERR_INTERNAL, errno, "send signal %d", sig);
    return 0;
}

int pidfd_wait(int pidfd, const struct deadline *d, struct error *err)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    siginfo_t info;
    if (deadline_poll_once(&p, 1, d, "a process to end", err) < 0)
        return -1;
    (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG); /* ECHILD: not ours */
    return 0;
}

void proc_ref_add_json(cJSON *obj, const struct proc_ref *ref)
{
    json_add_i64(obj, "pid", ref->pid);
    json_add_i64(obj, "start_time", (int64_t)ref->start_time);
    (void)cJSON_AddStringToObject(obj, "boot_id", ref->boot_id);
}

int proc_ref_from_json(const cJSON *obj, struct proc_ref *out, struct error *err)
{
    struct proc_ref ref = {0};
    int64_t pid, start;
    if (!cJSON_IsObject(obj))
        return error_set(err, ERR_STATE, 0, "a process's record is not an object");
    if (json_copy_string(obj, "boot_id", ref.boot_id, sizeof ref.boot_id, err) < 0 ||
        json_get_i64(obj, "pid", &pid, err) < 0 || json_get_i64(obj, "start_time", &start, err) < 0)
        return -1;
    /* 1 and below are never ours: a signal to them would hit init, a group or everyone. */
    if (pid < 0 || pid == 1 || pid > INT32_MAX)
        return error_set(err, ERR_STATE, 0, "\"pid\" %lld is out of range", (long long)pid);
    if (start < 0)
        return error_set(err, ERR_STATE, 0, "\"start_time\" is negative");
    ref.pid = (pid_t)pid;
    ref.start_time = (uint64_t)start;
    *out = ref;
    return 0;
}
