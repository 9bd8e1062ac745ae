#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "guest/netconf.h"
#include "guest/seed_net.h"

static const uint8_t mac[6] = {0x02, 0xfc, 0, 0, 0, 0x07};

/* A tap with a known MAC stands for the guest's interface. */
static int make_tap(const char *name)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    assert_true(tap >= 0);
    (void)str_copy(req.ifr_name, sizeof req.ifr_name, name);
    assert_int_equal(ioctl(tap, TUNSETIFF, &req), 0);
    req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(req.ifr_hwaddr.sa_data, mac, 6);
    assert_int_equal(ioctl(tap, SIOCSIFHWADDR, &req), 0);
    return tap;
}

static short flags_of(const char *name)
{
    struct ifreq req = {0};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)str_copy(req.ifr_name, sizeof req.ifr_name, name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &req), 0);
    return req.ifr_flags;
}

static void read_proc(const char *path, char *out, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size - 1);
    assert_true(n >= 0);
    out[n] = '\0';
}

static struct seed_net guest_net(void)
{
    struct seed_net n = {.name = "eth0", .naddrs = 2, .nroutes = 2};
    memcpy(n.mac, mac, 6);
    assert_int_equal(seed_addr_parse("192.0.2.2/30", &n.addrs[0]), 0);
    assert_int_equal(seed_addr_parse("2001:db8::2/64", &n.addrs[1]), 0);
    assert_int_equal(seed_addr_parse("0.0.0.0/0", &n.routes[0].to), 0);
    assert_int_equal(seed_addr_parse("192.0.2.1", &n.routes[0].via), 0);
    assert_int_equal(seed_addr_parse("::/0", &n.routes[1].to), 0);
    assert_int_equal(seed_addr_parse("2001:db8::1", &n.routes[1].via), 0);
    return n;
}

/* Each test gets a namespace of its own; leaving it removes what was made. */
static int fresh_netns(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNET);
}

static void sets_up_the_interface(void **state)
{
    struct error err = ERROR_INIT;
    struct seed_net n = guest_net();
    char text[4096];
    (void)state;
    _cleanup_close_ int tap = make_tap("weird7");
    if (netconf_apply(&n, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(if_nametoindex("weird7"), 0);
    assert_int_not_equal(if_nametoindex("eth0"), 0);
    assert_true(flags_of("eth0") & IFF_UP);
    assert_true(flags_of("lo") & IFF_UP);
    read_proc("/proc/thread-self/net/route", text, sizeof text);
    assert_non_null(strstr(text, "eth0\t00000000\t010200C0")); /* default via 192.0.2.1 */
    assert_non_null(strstr(text, "eth0\t000200C0\t00000000")); /* 192.0.2.0/30 itself */
    read_proc("/proc/thread-self/net/if_inet6", text, sizeof text);
    assert_non_null(strstr(text, "20010db8000000000000000000000002"));
    read_proc("/proc/thread-self/net/ipv6_route", text, sizeof text);
    assert_non_null(strstr(text, "20010db8000000000000000000000001"));
    /* Once more over what is there already. */
    assert_int_equal(netconf_apply(&n, &err), 0);
}

static void says_which_mac_is_missing(void **state)
{
    struct error err = ERROR_INIT;
    struct seed_net n = guest_net();
    (void)state;
    n.mac[5] = 0x99;
    _cleanup_close_ int tap = make_tap("eth0");
    assert_int_equal(netconf_apply(&n, &err), -1);
    assert_int_equal(err.kind, ERR_NET);
    assert_non_null(strstr(err.msg, "02:fc:00:00:00:99"));
}

static void says_which_route_fails(void **state)
{
    struct error err = ERROR_INIT;
    struct seed_net n = guest_net();
    (void)state;
    assert_int_equal(seed_addr_parse("198.51.100.1", &n.routes[0].via), 0);
    _cleanup_close_ int tap = make_tap("eth0");
    assert_int_equal(netconf_apply(&n, &err), -1);
    assert_int_equal(err.sys, ENETUNREACH);
    assert_non_null(strstr(err.msg, "198.51.100.1"));
}

static void brings_up_only_loopback(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    assert_false(flags_of("lo") & IFF_UP);
    assert_int_equal(netconf_loopback(&err), 0);
    assert_true(flags_of("lo") & IFF_UP);
}

int main(void)
{
    if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
        (void)fprintf(stderr, "needs root, network namespaces and /dev/net/tun\n");
        return getenv("CI") ? 1 : 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sets_up_the_interface, fresh_netns),
        cmocka_unit_test_setup(says_which_mac_is_missing, fresh_netns),
        cmocka_unit_test_setup(says_which_route_fails, fresh_netns),
        cmocka_unit_test_setup(brings_up_only_loopback, fresh_netns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
