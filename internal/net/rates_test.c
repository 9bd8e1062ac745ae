/* The rates of a lease's network, with real packets: what is above one is dropped, each way, and
 * what is below passes. */
#include "net/rates.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "testutil/netlab.h"

#define PORT 7071
#define MANY 400 /* datagrams: far more than any burst of a rate that is next to nothing */
#define SIZE 1000

/* How many datagrams arrive one after another, up to MANY. The first of them always does: it is
 * waited for as long as a busy machine may take. */
static unsigned arrive(int from, int at, const char *addr, size_t size, int wait_ms)
{
    char data[SIZE] = "";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct pollfd p = {.fd = at, .events = POLLIN};
    unsigned n = 0;
    assert_int_equal(inet_pton(AF_INET, addr, &to.sin_addr), 1);
    while (n < MANY && sendto(from, data, size, 0, (struct sockaddr *)&to, sizeof to) >= 0 &&
           poll(&p, 1, n ? wait_ms : LAB_REACH_MS) == 1 &&
           recv(at, data, sizeof data, 0) == (ssize_t)size)
        n++;
    return n;
}

struct passed {
    unsigned out, in;
};

/* A lease with these rates, and how much passes it each way. */
static struct passed pass(const struct net_rates *rates, size_t size, int wait_ms)
{
    struct passed got;
    struct lab_world *w = lab_world_up();
    struct net_request req = {.lease_id = "cbx_00000000000a",
                              .pool = "10.213.0.0/16",
                              .dns = LAB_OUTSIDE,
                              .state_dir = "/state/one",
                              .rates = *rates};
    lab_join(&w->a, &req);
    _cleanup_close_ int guest = lab_socket(w->a.guest.ns, SOCK_DGRAM, w->a.n.guest_addr, PORT);
    _cleanup_close_ int outside = lab_socket(w->lab.outside, SOCK_DGRAM, LAB_OUTSIDE, PORT);
    _cleanup_close_ int here = lab_socket(w->lab.here, SOCK_DGRAM, NULL, 0);
    got.out = arrive(guest, outside, LAB_OUTSIDE, size, wait_ms);
    got.in = arrive(here, guest, w->a.n.lease_addr, size, wait_ms);
    lab_world_down(w);
    return got;
}

static void test_nothing_is_lost_without_a_rate(void **state)
{
    (void)state;
    struct passed got = pass(&(struct net_rates){0}, SIZE, LAB_REACH_MS);
    assert_int_equal(got.out, MANY);
    assert_int_equal(got.in, MANY);
}

static void test_bytes_from_the_guest(void **state)
{
    (void)state;
    struct passed got = pass(&(struct net_rates){.out = 1}, SIZE, LAB_BLOCK_MS);
    assert_in_range(got.out, 1, MANY - 1);
    got = pass(&(struct net_rates){.out = 1}, 1, LAB_REACH_MS);
    assert_int_equal(got.out, MANY);
    assert_int_equal(got.in, MANY);
}

static void test_bytes_to_the_guest(void **state)
{
    (void)state;
    struct passed got = pass(&(struct net_rates){.in = 1}, SIZE, LAB_BLOCK_MS);
    assert_in_range(got.in, 1, MANY - 1);
    got = pass(&(struct net_rates){.in = 1}, 1, LAB_REACH_MS);
    assert_int_equal(got.out, MANY);
    assert_int_equal(got.in, MANY);
}

static void test_packets_each_way(void **state)
{
    (void)state;
    struct passed got = pass(&(struct net_rates){.packets = 1}, 1, LAB_BLOCK_MS);
    assert_in_range(got.out, 1, MANY - 1);
    assert_in_range(got.in, 1, MANY - 1);
}

static void test_the_record_keeps_them(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct net_rates r = {.in = 1, .packets = 3}, back = {.out = 7};
    _cleanup_json_ cJSON *made = rates_to_json(&r);
    _cleanup_free_ char *text = json_print(made, false);
    _cleanup_json_ cJSON *j = json_parse(text, strlen(text), "test", &err);
    assert_int_equal(rates_from_json(j, &back, &err), 0);
    assert_memory_equal(&r, &back, sizeof r);
    assert_null(rates_to_json(&(struct net_rates){0}));
    assert_int_equal(rates_from_json(NULL, &back, &err), 0);
    assert_int_equal(back.in, 0);
    cJSON_ReplaceItemInObject(j, "in", cJSON_CreateNumber(-1));
    assert_int_equal(rates_from_json(j, &back, &err), -1);
    assert_int_equal(err.kind, ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_without_a_rate),
        cmocka_unit_test(test_bytes_from_the_guest),
        cmocka_unit_test(test_bytes_to_the_guest),
        cmocka_unit_test(test_packets_each_way),
        cmocka_unit_test(test_the_record_keeps_them),
    };
    return lab_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : lab_refuse();
}
