/* A library that is preloaded into an old pasta: its UDP sockets are bound to the link that leads
 * out, as those of newer ones are.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK "out0" /* of the bed */

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, LINK, sizeof LINK - 1) < 0)
        return -1;
    return (int)syscall(SYS_bind, fd, addr, len);
}
