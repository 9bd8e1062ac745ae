#include "net/net.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/ns.h"

static void first(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_request req = {.lease_id = "cbx_0123456789ab",
                              .pool = "10.213.0.0/16",
                              .dns = "10.0.0.53",
                              .state_dir = "/tmp/x"};
    struct net_lease n;
    if (net_plan(&req, &n, &err) < 0)
        fail_msg("%s", err.msg);
    int64_t t = clock_boot_us();
    int ns = net_apply(&n, &err);
    if (ns < 0)
        fail_msg("%s", err.msg);
    printf("apply %ld us\n", (long)(clock_boot_us() - t));
    t = clock_boot_us();
    if (net_undo(&n, &err) < 0)
        fail_msg("%s", err.msg);
    printf("undo %ld us\n", (long)(clock_boot_us() - t));
    struct net_found f[4];
    assert_int_equal(net_scan(f, 4, &err), 0);
    close(ns);
}

int main(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(first), cmocka_unit_test(first),
                                       cmocka_unit_test(first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
