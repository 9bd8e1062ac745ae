/* crabbox-init: PID 1 of a guest, from the initrd to a listening SSH server and back.
 *
 * Static and small, since every millisecond here is paid by every lease. What can run
 * beside the disks (network driver, overlay module) runs in a child meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/str.h"
#include "guest/guest.h"
#include "guest/init.h"
#include "guest/netconf.h"

/* The host says what time it is; a guest clock that is ahead is left alone. */
static void set_clock(const struct seed *seed)
{
    struct timespec now;
    if (!seed->clock_known || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return;
    if (now.tv_sec < seed->clock.tv_sec && clock_settime(CLOCK_REALTIME, &seed->clock) < 0)
        console("warning: set the clock: %s", strerror(errno));
}

/* Loads the modules of a stage in a child, beside what the drives need. */
static pid_t load_beside(int modules_dir, const char *stage)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct error err = ERROR_INIT;
    if (modules_load(modules_dir, stage, &err) < 0) {
        console("%s", err.msg);
        _exit(1);
    }
    _exit(0);
}

static int join_child(pid_t pid, const char *stage, struct error *err)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return error_set(err, ERR_IO, 0, "loading the %s modules failed", stage);
    return 0;
}

/* Moments of the boot, for the one line that tells where the time went. */
struct marks {
    int64_t start, bus, disk, seed, root;
};

static int read_seed(struct seed *seed, struct drives *d, struct error *err)
{
    if (drives_find(d, err) < 0)
        return -1;
    return seed_read(d->seed_fd, seed, err);
}

/* From the initrd's modules to the guest's own root as "/". The network driver's child is
 * left running: *net. */
static int bring_up_root(int modules_dir, struct seed *seed, struct marks *m, pid_t *net,
                         struct error *err)
{
    _cleanup_(drives_close) struct drives drives = {.seed_fd = -1};
    if (mounts_early(err) < 0)
        return -1;
    pid_t early = load_beside(modules_dir, "early");
    if (modules_load(modules_dir, "bus", err) < 0)
        return -1;
    m->bus = boot_ms();
    *net = load_beside(modules_dir, "net");
    if (modules_load(modules_dir, "disk", err) < 0)
        return -1;
    m->disk = boot_ms();
    if (read_seed(seed, &drives, err) < 0 || mounts_root(&drives, seed->upper, err) < 0)
        return -1;
    m->seed = boot_ms();
    warm_start();
    if (join_child(early, "early", err) < 0 || mounts_switch(err) < 0)
        return -1;
    m->root = boot_ms();
    return 0;
}

/* The SSH server is started first, since it takes longest to be ready; the network comes
 * last, so that nobody can knock before the user and its keys are there. */
static int bring_up_login(const struct seed *seed, pid_t net, pid_t *server,
                          struct guest_clock *clock, struct error *err)
{
    struct owner user;
    set_clock(seed);
    mounts_tune();
    if (sethostname(seed->hostname, strlen(seed->hostname)) < 0)
        return error_set(err, ERR_IO, errno, "set the host name");
    if (guest_setup_server("/", seed, err) < 0)
        return -1;
    *server = power_start_server();
    if (guest_setup_login("/", seed, &user, err) < 0 || join_child(net, "net", err) < 0)
        return -1;
    clock_listen(clock, user);
    return seed->has_net ? netconf_apply(&seed->net, err) : netconf_loopback(err);
}

int main(void)
{
    struct error err = ERROR_INIT;
    struct seed seed = {0};
    struct marks m = {0};
    console("start");
    m.start = boot_ms();
    power_block_signals();
    int modules_dir = open("/modules", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct guest_clock clock;
    pid_t net = -1, server = -1;
    if (bring_up_root(modules_dir, &seed, &m, &net, &err) < 0 ||
        bring_up_login(&seed, net, &server, &clock, &err) < 0) {
        console("fatal: %s", err.msg);
        power_off();
    }
    console("ssh-started %lld ms", (long long)boot_ms());
    console("times start=%lld bus=%lld disk=%lld seed=%lld root=%lld", (long long)m.start,
            (long long)m.bus, (long long)m.disk, (long long)m.seed, (long long)m.root);
    seed_free(&seed);
    power_loop(server, modules_dir, &clock);
    power_off();
}
