#include "testutil/sandbox.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"

static int loopback_up(struct error *err)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
        return error_set(err, ERR_NET, errno, "read the flags of lo");
    ifr.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
        return error_set(err, ERR_NET, errno, "set lo up");
    return 0;
}

int sandbox_enter(struct error *err)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        return error_set(err, ERR_ENV, errno, "make network and mount namespaces");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(err, ERR_ENV, errno, "make the mounts private");
    if (mount("sandbox", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
        return error_set(err, ERR_ENV, errno, "mount a tmpfs on /run");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(err, ERR_ENV, errno, "become a subreaper");
    return loopback_up(err);
}

bool sandbox_enter_or_skip(void)
{
    struct error err = ERROR_INIT;
    if (sandbox_enter(&err) == 0)
        return true;
    (void)fprintf(stderr, "sandbox: %s\n", err.msg);
    if (str_eq(getenv("CI"), "true"))
        exit(1);
    return false;
}

int sandbox_children_left(int ms)
{
    int64_t end = clock_boot_ms() + ms;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return 0;
        if (pid == 0 && clock_boot_ms() >= end)
            return 1;
        if (pid == 0)
            (void)poll(NULL, 0, 5);
    }
}
