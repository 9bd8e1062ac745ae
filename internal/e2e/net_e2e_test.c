/* What a guest reaches and what it doesn't, through the whole program: with links of our own, on a
 * bridge and on a routed link that the host's CNI plugins make. Every refusal has its counterpart:
 * the same address answers where it may, so nothing passes because nothing is there.
 */
#include <stdlib.h>
#include <string.h>

#include "e2e/e2e.h"

static char host_of[2][64]; /* addresses of the leases "a" and "b" */

static void read_host(const char *slug, char out[64])
{
    struct error err = ERROR_INIT;
    _cleanup_json_ cJSON *j = e2e_status(slug);
    assert_int_equal(json_copy_string(cJSON_GetObjectItem(j, "ssh"), "host", out, 64, &err), 0);
}

/* Two leases for all tests of a group. */
static int make_leases(void)
{
    for (int i = 0; i < 2; i++) {
        const char *slug = i ? "b" : "a";
        e2e_warmup(slug);
        read_host(slug, host_of[i]);
    }
    return 0;
}

static int setup_nat(void **state)
{
    (void)state;
    bed_open(&bed);
    bed.run_timeout_ms = 30000;
    return make_leases();
}

static int setup_cni(const char *list)
{
    const char *dir = bed_cni_dir();
    if (!dir)
        return -1;
    bed_open(&bed);
    bed.run_timeout_ms = 30000;
    bed_use_cni(&bed, dir, list);
    return make_leases();
}

static int setup_bridge(void **state)
{
    (void)state;
    return setup_cni(BED_CNI_BRIDGE);
}

static int setup_ptp(void **state)
{
    (void)state;
    return setup_cni(BED_CNI_PTP);
}

static int teardown(void **state)
{
    E2E_OK("stop", "--missing-ok", "a", "b");
    return e2e_close(state);
}

/* The bridge stays, as its plugin has it; the rest does not. */
static int teardown_cni(void **state)
{
    E2E_OK("stop", "a", "b");
    bed_assert_cni_clean(&bed);
    E2E_EXEC_OK("sh", "-c", "ip link del boxbr; nft delete table ip nat; :");
    return teardown(state);
}

/* A line of shell in the guest of lease "a". */
static struct bed_result in_guest(const char *script)
{
    return E2E_RUN_IN("a", "--", "sh", "-c", script);
}

#define HTTP "curl -sS -m 2 --noproxy '*' "

/* curl's codes for "can't connect" and "timed out": the ways in which a packet gets no answer. */
static void assert_unreachable(const struct bed_result *r)
{
    if (!r->st.exited || (r->st.code != 7 && r->st.code != 28))
        fail_msg("exit code %d instead of 7 or 28: %s%s", r->st.code, r->out.buf, r->err.buf);
}

static void test_guest_reaches_the_outside_as_the_host(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = in_guest(HTTP "http://" BED_OUTSIDE "/");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "peer=" BED_HOST " local=" BED_OUTSIDE "\n");
}

static void test_names_resolve_without_the_host_s_stub(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = in_guest("getent ahostsv4 " BED_NAME
                                                        "; cat /etc/resolv.conf");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, BED_OUTSIDE " ");
    bed_assert_has(r.out.buf, "nameserver " BED_OUTSIDE);
    assert_null(strstr(r.out.buf, "127.0.0.53"));
}

/* With Windows' line ends, and a stub that a guest can't ask. */
static void test_search_domains_are_the_host_s(void **state)
{
    (void)state;
    e2e_shell("printf 'nameserver 127.0.0.53\\r\\nnameserver " BED_OUTSIDE "\\r\\nsearch "
              "corp.example lab.example\\r\\noptions trust-ad ndots:3\\r\\n' >../resolv; "
              "mount --bind ../resolv /etc/resolv.conf");
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_DNS", "");
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "-q", "--slug", "c");
    e2e_shell("umount /etc/resolv.conf; rm ../resolv");
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_DNS", BED_OUTSIDE);
    bed_assert_code(w, 0);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("c", "--", "cat", "/etc/resolv.conf");
    e2e_stop("c");
    assert_string_equal(r.out.buf, "nameserver " BED_OUTSIDE "\nsearch corp.example lab.example\n"
                                   "options timeout:2 attempts:2 ndots:3\n");
}

static void test_metadata_is_blocked(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result host = BED_EXEC(&bed, "curl", "-sS", "-m", "5",
                                                           "http://" BED_METADATA "/");
    bed_assert_code(host, 0);
    bed_assert_has(host.out.buf, "local=" BED_METADATA);
    _cleanup_bed_result_ struct bed_result guest = in_guest(HTTP "http://" BED_METADATA "/");
    assert_unreachable(&guest);
}

static void test_guest_does_not_reach_another_guest(void **state)
{
    (void)state;
    _cleanup_free_ char *ask = xasprintf("curl -sS -m 2 telnet://%s:22 </dev/null", host_of[1]);
    _cleanup_bed_result_ struct bed_result host = BED_EXEC(
        &bed, "bash", "-c", "exec 3<>/dev/tcp/$0/22; read -r -t 5 line <&3; echo \"$line\"",
        host_of[1]);
    bed_assert_code(host, 0);
    bed_assert_has(host.out.buf, "SSH-2.0-");
    _cleanup_bed_result_ struct bed_result guest = in_guest(ask);
    assert_unreachable(&guest);
}

/* A service of the host on every address that the guest could try. */
static void test_guest_does_not_reach_services_of_the_host(void **state)
{
    (void)state;
    static const char serve[] =
        "import http.server\n"
        "http.server.HTTPServer(('0.0.0.0', 8099), http.server.SimpleHTTPRequestHandler)"
        ".serve_forever()\n";
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    _cleanup_(child_kill) struct child c = CHILD_INIT;
    spec.argv = (const char *const[]){"python3", "-c", serve, NULL};
    if (spawn(&spec, &c, &err) < 0)
        fail_msg("%s", err.msg);
    E2E_EXEC_OK("curl", "-sS", "-o", "/dev/null", "--retry", "50", "--retry-connrefused",
                "--retry-delay", "0", "--retry-max-time", "10", "http://" BED_HOST ":8099/");
    _cleanup_bed_result_ struct bed_result guest = in_guest(HTTP "http://" BED_HOST ":8099/");
    assert_unreachable(&guest);
    _cleanup_bed_result_ struct bed_result gateway = in_guest(
        "gw=$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); "
        "test -n \"$gw\" && " HTTP "http://$gw:8099/");
    assert_unreachable(&gateway);
}

/* Runs a line of shell in the outside's namespace. */
static struct bed_result in_outside(const char *script)
{
    _cleanup_free_ char *pid = xasprintf("%d", (int)bed.outside);
    return BED_EXEC(&bed, "nsenter", "-n", "-t", pid, "sh", "-ec", script);
}

/* Root of the guest gives itself another address: the outside, which counts, never sees it. The
 * guest is entered from the host, since not every host has sudo for it to use. */
static void test_spoofed_sources_are_dropped(void **state)
{
    (void)state;
    static const char enter[] =
        "nsenter -n -t $(pgrep -P $(\"$0\" status --json a | jq .vmm.pid)) ";
    _cleanup_free_ char *add = xasprintf("%s ip addr add 203.0.113.77/32 dev eth0", enter);
    e2e_shell(add);
    _cleanup_bed_result_ struct bed_result spy = in_outside(
        "nft 'table inet spy { chain in { type filter hook prerouting priority -300;"
        "ip saddr 203.0.113.0/24 counter comment \"spoofed\";"
        "ip saddr " BED_HOST " counter comment \"honest\"\n}\n}'");
    bed_assert_code(spy, 0);
    _cleanup_bed_result_ struct bed_result good = in_guest(HTTP "http://" BED_OUTSIDE "/");
    bed_assert_code(good, 0);
    _cleanup_bed_result_ struct bed_result r = in_guest(
        HTTP "--interface 203.0.113.77 http://" BED_OUTSIDE "/");
    assert_unreachable(&r);
    _cleanup_bed_result_ struct bed_result seen = in_outside("nft list table inet spy");
    bed_assert_code(seen, 0);
    bed_assert_has(seen.out.buf, "packets 0 bytes 0 comment \"spoofed\"");
    assert_null(strstr(seen.out.buf, "packets 0 bytes 0 comment \"honest\""));
    _cleanup_bed_result_ struct bed_result done = in_outside("nft delete table inet spy");
    bed_assert_code(done, 0);
}

/* What belongs to no connection (answers to nothing, resets, redirects) is not translated: it must
 * not get out with the guest's own address, which no rule of the host speaks of. An answered ping
 * shows that all of it was sent, and that the counters count. */
static void test_packets_of_no_connection_stay_inside(void **state)
{
    (void)state;
    static const char spy[] = "table inet spy { chain in { type filter hook input priority 10;"
                              "ip saddr 192.0.2.0/24 counter comment \"raw\";"
                              "icmp type echo-request counter comment \"ping\"\n}\n}";
    static const char send[] =
        "import socket, struct, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
        "r = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n"
        "def sum16(b):\n"
        " t = sum(struct.unpack('!%dH' % (len(b) // 2), b))\n"
        " t = (t >> 16) + (t & 65535); t += t >> 16\n"
        " return ~t & 65535\n"
        "def ip(dst, proto, b):\n"
        " return struct.pack('!BBHHHBBH4s4s', 69, 0, 20 + len(b), 1, 0, 64, proto, 0,"
        "  socket.inet_aton('192.0.2.2'), socket.inet_aton(dst)) + b\n"
        "def tcp(dst, flags):\n"
        " h = struct.pack('!HHIIBBHHH', 4444, 80, 1, 1, 80, flags, 1000, 0, 0)\n"
        " p = socket.inet_aton('192.0.2.2') + socket.inet_aton(dst) + struct.pack('!HH', 6, 20)\n"
        " return ip(dst, 6, h[:16] + struct.pack('!H', sum16(p + h)) + h[18:])\n"
        "def icmp(dst, kind):\n"
        " b = struct.pack('!BBHI', kind, 0, 0, 0) + ip(dst, 17, bytes(8))\n"
        " return ip(dst, 1, b[:2] + struct.pack('!H', sum16(b)) + b[4:])\n"
        "for dst in sys.argv[1:]:\n"
        " for f in (0x12, 0x04, 0x14, 0x01, 0x00): s.sendto(tcp(dst, f), (dst, 0))\n"
        " for k in (3, 5, 11, 12, 40, 8): s.sendto(icmp(dst, k), (dst, 0))\n"
        " r.settimeout(10)\n"
        " while r.recvfrom(999)[1][0] != dst: pass\n";
    _cleanup_bed_result_ struct bed_result here = BED_EXEC(&bed, "nft", spy);
    bed_assert_code(here, 0);
    _cleanup_free_ char *there = xasprintf("nft '%s'", spy);
    _cleanup_bed_result_ struct bed_result outside = in_outside(there);
    bed_assert_code(outside, 0);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec",
        "guest=\"nsenter -n -t $(pgrep -P $(\"$0\" status --json a | jq .vmm.pid))\"; "
        "case $(\"$0\" status --json a | jq -r .ssh.host) in 10.88.*) gw=10.88.0.1 ;; esac; "
        "$guest python3 -c \"$1\" $gw " BED_HOST " " BED_OUTSIDE,
        bed.program, send);
    bed_assert_code(r, 0);
    _cleanup_bed_result_ struct bed_result seen = BED_EXEC(&bed, "nft", "list table inet spy");
    bed_assert_has(seen.out.buf, "packets 0 bytes 0 comment \"raw\"");
    assert_null(strstr(seen.out.buf, "packets 0 bytes 0 comment \"ping\""));
    _cleanup_bed_result_ struct bed_result far = in_outside("nft list table inet spy");
    bed_assert_has(far.out.buf, "packets 0 bytes 0 comment \"raw\"");
    assert_null(strstr(far.out.buf, "packets 0 bytes 0 comment \"ping\""));
    _cleanup_bed_result_ struct bed_result a = BED_EXEC(&bed, "nft", "delete table inet spy");
    bed_assert_code(a, 0);
    _cleanup_bed_result_ struct bed_result b = in_outside("nft delete table inet spy");
    bed_assert_code(b, 0);
}

/* Nobody from the outside opens a connection into a guest. */
static void test_outside_does_not_reach_a_guest(void **state)
{
    (void)state;
    _cleanup_free_ char *pid = xasprintf("%d", (int)bed.outside);
    E2E_EXEC_OK("nsenter", "-n", "-t", pid, "ip", "route", "replace", "10.0.0.0/8", "via",
                BED_HOST);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "nsenter", "-n", "-t", pid, "curl", "-sS", "-m", "2", "-o", "/dev/null", "--http0.9",
        "--url", "http://198.51.100.1:22/");
    assert_true(r.st.code == 7 || r.st.code == 28); /* no SSH server of the host to mix up with */
    _cleanup_free_ char *url = xasprintf("http://%s:22/", host_of[0]);
    _cleanup_bed_result_ struct bed_result g = BED_EXEC(&bed, "nsenter", "-n", "-t", pid, "curl",
                                                        "-sS", "-m", "2", "-o", "/dev/null",
                                                        "--http0.9", "--url", url);
    assert_unreachable(&g);
}

/* Some megabytes each way, through the copying stand-in and the translation, byte by byte. */
static void test_bulk_data_arrives_whole(void **state)
{
    (void)state;
    E2E_EXEC_OK("sh", "-c",
                "set -e; head -c 20000000 /dev/urandom > blob; want=$(sha256sum < blob); "
                "got=$(\"$0\" run --id a --no-sync -q -- sha256sum < blob); "
                "test \"$want\" = \"$got\"; "
                "\"$0\" run --id a --no-sync -q -- cat < blob | cmp - blob; rm blob",
                bed.program);
}

/* The host's own namespace: how many connections its kernel knows. */
static long host_connections(void)
{
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "cat", "/proc/sys/net/netfilter/nf_conntrack_count");
    bed_assert_code(r, 0);
    return strtol(r.out.buf, NULL, 10);
}

/* A guest that opens connections for as long as it can fills the host's table only up to its own
 * number, and they go with the lease. Its namespace lets all of them through, as if the guest had
 * talked it into that. A name server's answer says when what was sent before has got through. */
static void test_a_flood_leaves_the_host_its_connections(void **state)
{
    (void)state;
    static const char flood[] =
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)\n"
        "q = b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\0\\0\\1\\0\\1'\n"
        "for i in range(10000):\n"
        " s.sendto(b'x', ('" BED_OUTSIDE "', 1024 + i))\n"
        " if i % 100 == 0:\n"
        "  s.sendto(q, ('" BED_OUTSIDE "', 53))\n"
        "  while s.recvfrom(999)[1][1] != 53: pass\n";
    static const char open_inside[] = "nsenter -n -t $(\"$0\" status --json a | jq .vmm.pid) nft "
                                      "'flush chain inet crabbox admit; "
                                      "add rule inet crabbox admit accept'";
    e2e_shell(open_inside);
    _cleanup_free_ char *in = xasprintf("python3 -c \"%s\"", flood);
    _cleanup_bed_result_ struct bed_result r = in_guest(in);
    bed_assert_code(r, 0);
    long full = host_connections();
    assert_true(full > 1500 && full < 4096 + 500);
    E2E_EXEC_OK("curl", "-sS", "-m", "5", "-o", "/dev/null", "http://" BED_OUTSIDE "/");
    E2E_OK("stop", "a");
    assert_true(host_connections() < 500);
    E2E_EXEC_OK("curl", "-sS", "-m", "5", "-o", "/dev/null", "http://" BED_OUTSIDE "/");
    e2e_warmup("a");
    read_host("a", host_of[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_reaches_the_outside_as_the_host),
        cmocka_unit_test(test_names_resolve_without_the_host_s_stub),
        cmocka_unit_test(test_search_domains_are_the_host_s),
        cmocka_unit_test(test_metadata_is_blocked),
        cmocka_unit_test(test_guest_does_not_reach_another_guest),
        cmocka_unit_test(test_guest_does_not_reach_services_of_the_host),
        cmocka_unit_test(test_spoofed_sources_are_dropped),
        cmocka_unit_test(test_packets_of_no_connection_stay_inside),
        cmocka_unit_test(test_outside_does_not_reach_a_guest),
        cmocka_unit_test(test_bulk_data_arrives_whole),
        cmocka_unit_test(test_a_flood_leaves_the_host_its_connections),
    };
    int failed = E2E_GROUP(tests, setup_nat, teardown);
    failed += E2E_GROUP(tests, setup_bridge, teardown_cni);
    failed += E2E_GROUP(tests, setup_ptp, teardown_cni);
    return failed;
}
