/* nl.h: libnl's sockets and messages, freed at the end of their scope. */
#ifndef CRABBOX_NET_NL_H
#define CRABBOX_NET_NL_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "base/cleanup.h"

static inline void nl_sock_cleanup(struct nl_sock **sk)
{
    if (*sk)
        nl_socket_free(*sk);
}

static inline void nl_msg_cleanup(struct nl_msg **m)
{
    if (*m)
        nlmsg_free(*m);
}

#define _cleanup_sock_ _cleanup_(nl_sock_cleanup)
#define _cleanup_msg_  _cleanup_(nl_msg_cleanup)

#endif
