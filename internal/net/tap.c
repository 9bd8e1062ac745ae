#include "net/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"

static int open_tun(const char *name, short flags, struct error *err)
{
    _cleanup_close_ int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_ENV, errno,
                         "open " TUN_PATH " (load the tun module, or give this host the device)");
    struct ifreq ifr = {.ifr_flags = flags};
    if (str_copy(ifr.ifr_name, sizeof ifr.ifr_name, name) < 0)
        return error_set(err, ERR_NET, ENAMETOOLONG, "create tap %s", name);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        return error_set(err,
                         errno == EPERM   ? ERR_ENV
                         : errno == EBUSY ? ERR_EXISTS
                                          : ERR_NET,
                         errno, "create tap %s", name);
    return TAKE_FD(fd);
}

int tap_create(const char *name, struct error *err)
{
    _cleanup_close_ int fd = open_tun(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, err);
    if (fd < 0)
        return -1;
    if (ioctl(fd, TUNSETPERSIST, 1) < 0)
        return error_set(err, ERR_NET, errno, "make tap %s persistent", name);
    return 0;
}

int tap_probe(const char *name, struct error *err)
{
    return open_tun(name, (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL), err);
}

/* Accepts frames whose source is `mac`: four bytes at offset 6, two at offset 10. */
static int filter_source(int fd, const uint8_t mac[6])
{
    uint32_t high = (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 |
                    mac[3];
    uint32_t low = (uint32_t)mac[4] << 8 | mac[5];
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETH_ALEN),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ETH_ALEN + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = ARRAY_LEN(code), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
}

int tap_watch(const char *name, const uint8_t mac[6], struct error *err)
{
    /* Protocol 0: nothing is queued before the filter stands and the socket is bound. */
    _cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, errno == EPERM ? ERR_ENV : ERR_NET, errno,
                         "open a packet socket (needs CAP_NET_RAW)");
    if (filter_source(fd, mac) < 0)
        return error_set(err, ERR_NET, errno, "filter the packet socket on %s", name);
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(name)};
    if (at.sll_ifindex == 0)
        return error_set(err, ERR_NET, errno, "find tap %s in the lease's namespace", name);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return error_set(err, ERR_NET, errno, "watch tap %s", name);
    return TAKE_FD(fd);
}
