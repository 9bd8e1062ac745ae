/* What a chain gives a lease, by the host's own CNI plugins: neighbours that are no leases, an
 * address that another lease has, no DNS server that a guest could reach.
 */
#include <string.h>

#include "e2e/e2e.h"

/* The bridge is the host's, with an address in each subnet that the tests use. */
static int setup(void **state)
{
    bed.run_timeout_ms = 60000;
    return e2e_open_cni(
        state,
        /* As on a host without br_netfilter: what a bridge forwards passes no rule of the host. */
        "[ ! -d /proc/sys/net/bridge ] || sysctl -qw net.bridge.bridge-nf-call-iptables=0\n"
        "ip link add boxbr type bridge; ip addr add 10.88.0.1/24 dev boxbr\n"
        "ip addr add 10.99.0.1/24 dev boxbr; ip link set boxbr up");
}

/* Two subnets on one bridge, and a neighbour with an address in each. */
#define TWO_RANGES                                                                                 \
    BED_CNI_LIST(                                                                                  \
        "{\"type\":\"bridge\",\"bridge\":\"boxbr\",\"isDefaultGateway\":false,"                    \
        "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"DATA_DIR\",\"ranges\":[[{\"subnet\":"     \
        "\"10.88.0.0/24\"}],[{\"subnet\":\"10.99.0.0/24\"}]],"                                     \
        "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}")

/* In the guest and at the neighbour: reads what an SSH server, or a listener, says first. */
#define READ "timeout 2 bash -c 'exec 3<>/dev/tcp/$0/$1; read -r -t 2 line <&3; echo $line' "

static struct bed_result meet_neighbour(const char *list, const char *peers)
{
    static const char meet[] =
        "unshare -n sleep 1000 & ns=$!; trap 'kill $ns $srv; wait' EXIT; nb=\"nsenter -n -t $ns\"\n"
        "until [ \"$(readlink /proc/$ns/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ]; do :; "
        "done\n"
        "$nb ip link set lo up; ip link add nb0 type veth peer name nb1 netns $ns\n"
        "ip link set nb0 master boxbr up; $nb ip link set nb1 up\n"
        "$nb ip addr add 10.88.0.200/24 dev nb1; $nb ip addr add 10.99.0.200/24 dev nb1\n"
        "$nb ip addr add 10.77.0.200/32 dev nb1; ip route add 10.77.0.0/24 dev boxbr\n"
        "$nb python3 -c 'import socket\ns = socket.create_server((\"\", 99))\n"
        "while 1: c = s.accept()[0]; c.send(b\"neighbour\\n\"); c.close()' & srv=$!\n"
        "until $nb " READ "127.0.0.1 99 2>/dev/null; do :; done >/dev/null\n"
        "a=$(\"$0\" status a --json | jq -r .ssh.host)\n"
        "for s in 10.88.0.200 10.99.0.200 10.77.0.200; do\n"
        "$nb ip route replace 10.88.0.0/24 dev nb1 src $s\n"
        "echo from $s: $($nb " READ "$a 22 2>&1)\ndone\n"
        "for s in 10.88.0.200 10.99.0.200; do\n"
        "echo to $s: $(\"$0\" run --id a --no-sync -q -- " READ "$s 99 2>&1)\ndone\n"
        "ip route del 10.77.0.0/24; ip link del nb0\n"; /* its namespace would end some time later
                                                         */
    bed_use_cni(&bed, bed_cni_dir(), list);
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_PEERS", peers);
    e2e_warmup("a");
    struct bed_result r = BED_EXEC(&bed, "bash", "-c", meet, bed.program);
    e2e_stop_cni("a");
    return r;
}

/* Whatever address a neighbour has, and whichever of the lease's subnets it is in. */
static void test_neighbours_are_kept_apart(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result open = meet_neighbour(TWO_RANGES, "true");
    bed_assert_has(open.out.buf, "from 10.88.0.200: SSH-2.0-");
    bed_assert_has(open.out.buf, "from 10.99.0.200: SSH-2.0-");
    bed_assert_has(open.out.buf, "from 10.77.0.200: SSH-2.0-");
    bed_assert_has(open.out.buf, "to 10.88.0.200: neighbour");
    bed_assert_has(open.out.buf, "to 10.99.0.200: neighbour");
    _cleanup_bed_result_ struct bed_result closed = meet_neighbour(TWO_RANGES, "false");
    bed_assert_has(closed.out.buf, "from 10.77.0.200:");
    if (strstr(closed.out.buf, "SSH-2.0-") || strstr(closed.out.buf, "neighbour"))
        fail_msg("%s%s", closed.out.buf, closed.err.buf);
}

#define ONE_ADDRESS                                                                                \
    BED_CNI_LIST("{\"type\":\"bridge\",\"bridge\":\"boxbr\",\"ipam\":{\"type\":\"static\","        \
                 "\"addresses\":[{\"address\":\"10.88.0.50/24\",\"gateway\":\"10.88.0.1\"}]}}")

static void assert_guarded(const char *map)
{
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "nft", "list", "ruleset");
    bed_assert_has(r.out.buf, map);
    bed_assert_has(r.out.buf, "elements = { 10.88.0.50 }");
}

/* A chain that gives two leases one address: the second is refused, and its undoing takes nothing
 * of the first one away. */
static void test_an_address_has_one_lease(void **state)
{
    (void)state;
    bed_use_cni(&bed, bed_cni_dir(), ONE_ADDRESS);
    e2e_warmup("a");
    assert_guarded("10.88.0.50 ");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "b");
    bed_assert_code(r, 1);
    assert_guarded("10.88.0.50 ");
    bed_assert_has(r.err.buf, "10.88.0.50, which another lease has");
    assert_null(strstr(r.err.buf, "undoing"));
    e2e_stop_cni("a");
    e2e_warmup("b");
    e2e_stop_cni("b");
}

/* The chain is done when servers are chosen: what fails then is undone like the rest. */
static void test_servers_that_no_guest_reaches(void **state)
{
    (void)state;
    bed_use_cni(&bed, bed_cni_dir(), TWO_RANGES);
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_DNS", "2606:4700::1111");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "a");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is not an IPv4 address that a guest can reach");
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_neighbours_are_kept_apart),
        E2E_TEST(test_an_address_has_one_lease),
        E2E_TEST(test_servers_that_no_guest_reaches),
    };
    return E2E_GROUP(tests, setup, e2e_close);
}
