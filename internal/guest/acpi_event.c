#include "guest/acpi_event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define FAMILY       "acpi_event"
#define POWER_BUTTON "button/power"
#define ANSWER_MAX   4096

/* The attribute `type` in a run of attributes, its payload's length in *len; NULL if absent. */
static const uint8_t *find_attr(const uint8_t *p, size_t left, uint16_t type, size_t *len)
{
    struct nlattr a;
    while (left >= sizeof a) {
        memcpy(&a, p, sizeof a);
        if (a.nla_len < sizeof a || a.nla_len > left)
            return NULL;
        if ((a.nla_type & NLA_TYPE_MASK) == type) {
            *len = a.nla_len - sizeof a;
            return p + sizeof a;
        }
        size_t step = NLA_ALIGN(a.nla_len);
        if (step >= left)
            return NULL;
        p += step;
        left -= step;
    }
    return NULL;
}

/* The id of the family's first multicast group out of the answer to GETFAMILY; 0 if none. */
static uint32_t group_of(const uint8_t *msg, size_t n)
{
    size_t head = NLMSG_HDRLEN + GENL_HDRLEN, len;
    uint32_t id = 0;
    if (n < head)
        return 0;
    const uint8_t *p = find_attr(msg + head, n - head, CTRL_ATTR_MCAST_GROUPS, &len);
    if (!p || len < sizeof(struct nlattr))
        return 0;
    struct nlattr first;
    memcpy(&first, p, sizeof first);
    if (first.nla_len < sizeof first || first.nla_len > len)
        return 0;
    size_t id_len;
    p = find_attr(p + sizeof first, first.nla_len - sizeof first, CTRL_ATTR_MCAST_GRP_ID, &id_len);
    if (p && id_len == sizeof id)
        memcpy(&id, p, sizeof id);
    return id;
}

static int ask_family(int fd)
{
    struct {
        struct nlmsghdr h;
        struct genlmsghdr g;
        struct nlattr a;
        char name[12];
    } q = {
        .h = {.nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
        .g = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
        .a = {.nla_len = NLA_HDRLEN + sizeof FAMILY, .nla_type = CTRL_ATTR_FAMILY_NAME},
        .name = FAMILY,
    };
    q.h.nlmsg_len = sizeof q;
    return send(fd, &q, sizeof q, 0) < 0 ? -1 : 0;
}

int acpi_event_open(void)
{
    uint8_t answer[ANSWER_MAX];
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0 || ask_family(fd) < 0)
        return -1;
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    uint32_t group = n > 0 ? group_of(answer, (size_t)n) : 0;
    if (!group || setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return -1;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    return TAKE_FD(fd);
}

bool acpi_event_is_power_button(int fd)
{
    uint8_t msg[ANSWER_MAX];
    bool hit = false;
    for (ssize_t n; (n = recv(fd, msg, sizeof msg, 0)) > 0;) {
        size_t head = NLMSG_HDRLEN + GENL_HDRLEN, len;
        if ((size_t)n < head)
            continue;
        /* struct acpi_genl_event starts with char device_class[20] */
        const uint8_t *event = find_attr(msg + head, (size_t)n - head, 1, &len);
        if (event && len >= sizeof POWER_BUTTON &&
            memcmp(event, POWER_BUTTON, sizeof POWER_BUTTON - 1) == 0)
            hit = true;
    }
    return hit;
}
