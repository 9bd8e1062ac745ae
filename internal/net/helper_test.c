/* A host whose kernel reads along connections of FTP, as a rule of the admin's asks it to, and a
 * guest that says in one which of the host's ports it wants. */
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "testutil/netlab.h"

#define ORDERED 2222 /* the port of the host's address */

static int world_up(void **state)
{
    struct lab_world *w = lab_world_up();
    lab_join_by_id(&w->a, "cbx_0000000000a1");
    lab_nft(w->lab.here, "add table inet admins; "
                         "add ct helper inet admins of-ftp { type \"ftp\" protocol tcp; }; "
                         "add chain inet admins pre { type filter hook prerouting priority 0; }; "
                         "add rule inet admins pre tcp dport 7070 ct helper set \"of-ftp\"");
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct lab_world *w = *state;
    lab_nft(w->lab.here, "delete table inet admins");
    lab_world_down(w);
    return 0;
}

static void test_what_is_expected_does_not_come_in(void **state)
{
    struct lab_world *w = *state;
    unsigned a, b, c, d;
    int ends[2];
    _cleanup_close_ int listener = lab_socket(w->a.guest.ns, SOCK_STREAM, "0.0.0.0", ORDERED);
    assert_int_equal(sscanf(w->a.n.lease_addr, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
    _cleanup_free_ char *order = xasprintf("PORT %u,%u,%u,%u,%d,%d\r\n", a, b, c, d, ORDERED >> 8,
                                           ORDERED & 255);
    lab_connect(w, w->a.guest.ns, ends);
    /* The kernel takes for a command what stands behind a line that it has seen. */
    const char *const lines[] = {"USER x\r\n", order};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(write(ends[0], lines[i], strlen(lines[i])), (long)strlen(lines[i]));
        assert_true(lab_ping(w->a.guest.ns, LAB_OUTSIDE, LAB_REACH_MS));
    }
    assert_false(lab_tcp_echoes(w->lab.outside, listener, LAB_HOST, ORDERED, LAB_BLOCK_MS));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    if (!lab_enter())
        return lab_refuse();
#define T(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        T(test_what_is_expected_does_not_come_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
