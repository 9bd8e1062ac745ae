#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "standin/standin.h"

#define VNET_HDR_LEN 12 /* struct virtio_net_hdr_v1, as a virtio 1.0 device has it */
#define FRAME_MAX    (65536 + 64)
#define BURST        64

/* Both taps carry the same header and offloads, so a frame passes as it is, segmentation and all.
 */
static int tap_attach(const char *name, struct error *err)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int len = VNET_HDR_LEN;
    _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_NET, errno, "open /dev/net/tun");
    if (str_copy(req.ifr_name, sizeof req.ifr_name, name) < 0)
        return error_set(err, ERR_NET, ENAMETOOLONG, "open tap %s", name);
    if (ioctl(fd, TUNSETIFF, &req) < 0)
        return error_set(err, ERR_NET, errno, "open tap %s", name);
    if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
        return error_set(err, ERR_NET, errno, "set up tap %s", name);
    return TAKE_FD(fd);
}

int standin_tap_open(const char *name, struct error *err)
{
    /* The real one would make a missing tap and leave it down: no caller can want that. A confined
     * one can't ask for it, nor make one. */
    if (if_nametoindex(name) == 0 && errno == ENODEV)
        return error_set(err, ERR_NET, ENODEV, "open tap %s", name);
    return tap_attach(name, err);
}

int standin_tap_make(const char *name, const char *mac, struct error *err)
{
    struct ifreq req = {0};
    unsigned b[6];
    _cleanup_close_ int fd = tap_attach(name, err);
    _cleanup_close_ int ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
        return error_set(err, ERR_NET, EINVAL, "MAC %s", mac);
    (void)str_copy(req.ifr_name, sizeof req.ifr_name, name);
    req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    for (int i = 0; i < 6; i++)
        req.ifr_hwaddr.sa_data[i] = (char)b[i];
    if (ioctl(ctl, SIOCSIFHWADDR, &req) < 0)
        return error_set(err, ERR_NET, errno, "set the MAC of %s to %s", name, mac);
    return TAKE_FD(fd);
}

void standin_tap_pump(int from, int to)
{
    static char frame[FRAME_MAX];
    for (int i = 0; i < BURST; i++) {
        ssize_t n = read(from, frame, sizeof frame);
        if (n <= 0)
            return;
        /* A side that is down or full loses the frame, as a wire does. */
        (void)!write(to, frame, (size_t)n);
    }
}
