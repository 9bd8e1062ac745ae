/* taken-firecracker: what a VMM that was taken over would try, in the place of the VMM.
 *
 *   taken-firecracker [--api-sock PATH] attempt NAME[,NAME]... PID NEIGHBOUR
 *   taken-firecracker walk
 *
 * Starts in its directory, or goes to /vmm, where the jailer has put that; makes the socket, as
 * Firecracker does; waits for the file "go"; then makes an attempt (attempts.h) and exits with its
 * result, or makes several, which should all be refused, and prints lines "NAME RESULT". It is
 * static, as the real Firecracker is, and has no sanitizer, because that would need files that a
 * confined program can't see. Its name is one that the jailer takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "testutil/attempts.h"

static int make_socket(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || str_copy(at.sun_path, sizeof at.sun_path, path) < 0 ||
        bind(s, (const struct sockaddr *)&at, sizeof at) < 0 || listen(s, 1) < 0)
        return -1;
    return close(s);
}

static void wait_for_go(void)
{
    const struct timespec moment = {0, 1000000};
    while (access("go", F_OK) < 0)
        (void)nanosleep(&moment, NULL);
}

static int run(char *names)
{
    if (!strchr(names, ','))
        return attempt_run(names);
    for (const char *name; (name = strsep(&names, ","));)
        (void)fprintf(stderr, "%s %d\n", name, attempt_run(name));
    return 0;
}

int main(int argc, char **argv)
{
    (void)!chdir("/vmm");
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--api-sock") && i + 1 < argc && make_socket(argv[i + 1]) < 0)
            return 253;
        if (str_eq(argv[i], "walk")) {
            wait_for_go();
            return attempt_walk();
        }
        if (str_eq(argv[i], "attempt") && i + 3 < argc) {
            wait_for_go();
            (void)setenv(ATTEMPT_PID, argv[i + 2], 1);
            (void)setenv(ATTEMPT_NEIGHBOUR, argv[i + 3], 1);
            _exit(run(argv[i + 1])); /* what runs at an exit is not what is tried */
        }
    }
    return 252;
}
