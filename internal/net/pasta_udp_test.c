/* Which sockets of the host's show that pasta keeps UDP to a link, and which ports a lease gets. */
#include "net/pasta_udp.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/limits.h"
#include "net/link.h"
#include "testutil/netlab.h"

#define PORT 20005

/* On the loopback, or on every link. */
static int bound_socket(uint16_t port, const char *link)
{
    const int one = 1;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    if (link)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, link, (socklen_t)strlen(link)),
                         0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof any), 0);
    return fd;
}

static void test_bound(void **state)
{
    (void)state;
    unsigned lo;
    struct error err = ERROR_INIT;
    assert_int_equal(link_index("lo", &lo, &err), 0);
    assert_int_equal(pasta_udp_bound(PORT, lo), -1);
    _cleanup_close_ int other = bound_socket(PORT + 1, NULL);
    assert_int_equal(pasta_udp_bound(PORT, lo), -1);
    _cleanup_close_ int kept = bound_socket(PORT, "lo");
    assert_int_equal(pasta_udp_bound(PORT, lo), 1);
    assert_int_equal(pasta_udp_bound(PORT, lo + 1), 0);
    _cleanup_close_ int loose = bound_socket(PORT, NULL);
    assert_int_equal(pasta_udp_bound(PORT, lo), 0);
}

static void test_a_part_that_nobody_has(void **state)
{
    (void)state;
    int fds[LIMITS_PASTA_PARTS];
    const uint32_t free_one = 7;
    for (uint32_t i = 0; i < LIMITS_PASTA_PARTS; i++) {
        const struct limits_ports p = limits_pasta_ports(i);
        fds[i] = i == free_one ? -1 : bound_socket((uint16_t)(i % 2 ? p.last : p.first), NULL);
    }
    assert_int_equal(pasta_udp_part(), free_one);
    for (uint32_t i = 0; i < LIMITS_PASTA_PARTS; i++)
        CLOSE_FD(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_a_part_that_nobody_has),
    };
    if (!lab_enter())
        return lab_refuse();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
