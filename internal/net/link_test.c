/* What fails in a listing leaves nothing behind: seen by the leak check of a build with it. */
#include "net/link.h"

#include <fcntl.h>
#include <netlink/socket.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static int count(const struct route_info *r, void *n)
{
    (void)r;
    (*(unsigned *)n)++;
    return 0;
}

static void a_listing_that_fails_says_so(void **state)
{
    struct error err = ERROR_INIT;
    unsigned n = 0;
    (void)state;
    _cleanup_rt_ struct nl_sock *sk = rt_open(&err);
    assert_non_null(sk);
    assert_int_equal(route_each(sk, count, &n, &err), 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dup2(null, nl_socket_get_fd(sk)), nl_socket_get_fd(sk));
    (void)close(null);
    assert_true(route_each(sk, count, &n, &err) < 0);
    assert_int_equal(err.kind, ERR_NET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_listing_that_fails_says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
