/* Leases of a user who is not root and has no capability: made in a user namespace, with pasta as
 * the guest's way out. Whatever dies, nothing is left. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "lease/store.h"
#include "net/limits.h"
#include "net/sockets.h"
#include "sys/proc.h"
#include "testutil/scratch.h"

static int setup(void **state)
{
    (void)e2e_open(state);
    if (bed.user.uid == 0)
        bed_be_user(&bed);
    return 0;
}

/* The record of the only lease. */
static struct lease only_lease(void)
{
    struct lease_entry *all;
    struct lease l;
    assert_int_equal(e2e_leases(&all), 1);
    l = all[0].lease;
    free(all);
    return l;
}

static void kill_it(const struct proc_ref *proc)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(10000);
    _cleanup_close_ int fd = proc_open(proc, &err);
    assert_true(fd >= 0);
    assert_int_equal(pidfd_signal(fd, SIGKILL, &err), 0);
    assert_int_equal(pidfd_wait(fd, &d, &err), 0);
}

static uid_t owner_of(pid_t pid)
{
    char path[64];
    struct stat st;
    (void)str_format(path, sizeof path, "/proc/%d", (int)pid);
    assert_int_equal(stat(path, &st), 0);
    return st.st_uid;
}

/* ---- a whole lease ---- */

static void test_a_lease(void **state)
{
    (void)state;
    e2e_warmup("a");
    struct lease l = only_lease();
    assert_int_equal(l.local.net.mode, NET_PASTA);
    assert_int_equal(owner_of(l.local.vmm.proc.pid), bed.user.uid);
    assert_int_equal(owner_of(l.local.pasta.pid), bed.user.uid);
    e2e_shell("\"$0\" list | grep -q 'a .*ready'; \"$0\" status a | grep -q 192.0.2.2;"
              "\"$0\" status --json a | jq -e '.labels.network == \"pasta\"'");
    e2e_guest("a", "ip route | grep -q 'default via 192.0.2.1'");
    e2e_stop("a");
    bed_assert_clean(&bed);
}

/* What was asked for and takes a control group is refused, not left out. */
static void test_what_takes_a_control_group(void **state)
{
    static const char *const asked[][3] = {
        {"--isolation", "strict", "isolation is strict, but a lease without root has"},
        {"--limit-cpu-percent", "50", "limits.cpuPercent is set, but a lease without root has"},
    };
    (void)state;
    bed_setenv(&bed, "CRABBOX_FC_ISOLATION", NULL);
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", asked[i][0],
                                                           asked[i][1]);
        bed_assert_code(r, 1);
        bed_assert_has(r.err.buf, asked[i][2]);
        bed_assert_has(r.err.buf, "--isolation degraded");
    }
    E2E_OK("warmup", "-q", "--slug", "a", "--isolation", "degraded", "--limit-cpu-percent", "50");
    e2e_stop("a");
    e2e_warmup("b");
    e2e_shell("\"$0\" status b | grep -q 'no control group, which takes root'");
    e2e_stop("b");
    bed_setenv(&bed, "CRABBOX_FC_ISOLATION", "degraded");
    bed_assert_clean(&bed);
}

static void test_a_run_with_the_tree(void **state)
{
    (void)state;
    e2e_write_file("word", "here\n", 5);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "-q", "--", "sh", "-c",
                                                       "cat word; exit 3");
    bed_assert_code(r, 3);
    bed_assert_has(r.out.buf, "here");
    E2E_EXEC_OK("rm", "word");
    bed_assert_clean(&bed);
}

static void test_copies_and_stock_ssh(void **state)
{
    (void)state;
    e2e_warmup("c");
    e2e_shell("echo one >f; \"$0\" cp f c:; \"$0\" ssh c 'cat f' | grep -qx one; \"$0\" cp c:f g; "
              "cmp f g; rm f g");
    e2e_shell("d=$(echo $CRABBOX_FC_STATE_DIR/leases/cbx_*); ssh -F $d/ssh_config crabbox-c id");
    e2e_stop("c");
}

/* Nothing of the tree runs here, whatever it is called, also where its programs come first in PATH,
 * and also when the stock ssh is who starts something. */
static void test_no_program_of_the_tree(void **state)
{
    (void)state;
    e2e_warmup("c");
    e2e_shell(
        "mkdir bin; printf '#!/bin/sh\necho \"$0 $*\" >>\"%s\"\nexit 9\n' \"$PWD/ran\" >bin/env\n"
        "chmod 755 bin/env; for n in git ssh sh crabbox-fc; do cp bin/env bin/$n; done\n"
        "for first in ./bin bin \"$PWD/bin\"; do\n"
        "    [ \"$(PATH=$first:$PATH \"$0\" ssh c echo by ssh)\" = 'by ssh' ]\n"
        "    [ \"$(PATH=$first:$PATH \"$0\" run --id c --no-sync -q -- echo ran)\" = ran ]\n"
        "done; [ ! -e ran ] || { cat ran; exit 1; }; rm -r bin");
    e2e_stop("c");
    bed_assert_clean(&bed);
}

/* ---- where a guest gets to ---- */

#define SERVICE 7171

/* A service of the host on all of its addresses; whoever connected, or sent, waits in its queue. */
static int open_service(int type)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(SERVICE)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof any), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 64), 0);
    return fd;
}

/* As root, whoever the bed's user is. */
static void change_address(const char *how)
{
    const char *const argv[] = {"ip", "addr", how, "203.0.113.77/32", "dev", "lo", NULL};
    assert_int_equal(run_program(argv, NULL), 0);
}

static unsigned count_clients(int service)
{
    unsigned n = 0;
    for (int fd; (fd = accept4(service, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
        (void)close(fd);
    return n;
}

#define TRY "timeout 2 bash -c '</dev/tcp/%s/%d'"

/* The outside and its names, but no service of the host, by whatever address, and no metadata. */
static void test_reach(void **state)
{
    (void)state;
    static const char *const host[] = {BED_HOST,    "127.0.0.1", "0.0.0.0",     "192.0.2.1",
                                       "192.0.2.5", "192.0.2.6", "203.0.113.77"};
    _cleanup_close_ int service = open_service(SOCK_STREAM);
    e2e_warmup("r");
    e2e_guest("r", "timeout 9 bash -c '</dev/tcp/" BED_NAME "/80'");
    e2e_guest("r", "! timeout 2 bash -c '</dev/tcp/" BED_METADATA "/80'");
    /* The last one only now: no rule of the lease knows it. */
    change_address("add");
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        _cleanup_free_ char *script = xasprintf("! " TRY, host[i], SERVICE);
        e2e_guest("r", script);
    }
    assert_int_equal(count_clients(service), 0);
    /* It is there: the host itself gets to it. */
    e2e_shell("bash -c '</dev/tcp/" BED_HOST "/7171'");
    assert_int_equal(count_clients(service), 1);
    change_address("del");
    e2e_stop("r");
}

/* What the rules of the lease's namespace say, as root would see them from outside. */
static void assert_rules(const char *what, const char *pattern)
{
    _cleanup_free_ char *script = xasprintf("nsenter -t %d -n -U nft list %s | grep -q '%s'",
                                            (int)e2e_vmm_pid("u"), what, pattern);
    const char *const argv[] = {"sh", "-c", script, NULL};
    if (run_program(argv, NULL) != 0)
        fail_msg("%s", script);
}

struct host_ports {
    struct limits_ports own;
    unsigned within;
};

static void look_at_port(const struct socket_udp *s, void *arg)
{
    struct host_ports *p = arg;
    if (s->port == SERVICE)
        return;
    if (s->port < p->own.first || s->port > p->own.last)
        fail_msg("a socket of the host has port %u", s->port);
    p->within++;
}

/* Names are found, and whatever the guest's port, the host's is of the lease's part. */
static void assert_names_by_own_ports(const char *slug, const struct lease *l)
{
    struct error err = ERROR_INIT;
    struct host_ports ports = {.own = limits_pasta_ports(l->local.net.slot)};
    e2e_guest(slug, "timeout 9 bash -c '</dev/tcp/" BED_NAME "/80'");
    assert_int_equal(sockets_each_udp(look_at_port, &ports, &err), 0);
    assert_true(ports.within > 0);
}

/* Neither the host's addresses nor one that it gets only now. A connection that is made later says
 * that pasta had the datagrams before. */
static void assert_no_datagram(const char *slug, int service)
{
    char got[8];
    change_address("add");
    e2e_guest(slug, "bash -c 'echo x >/dev/udp/203.0.113.77/7171; "
                    "echo x >/dev/udp/" BED_HOST "/7171; "
                    "timeout 9 bash -c \"</dev/tcp/" BED_NAME "/80\"'");
    assert_int_equal(recv(service, got, sizeof got, MSG_DONTWAIT), -1);
    e2e_shell("bash -c 'echo x >/dev/udp/203.0.113.77/7171'");
    assert_int_equal(recv(service, got, sizeof got, 0), 2);
    change_address("del");
}

/* As Debian 12's pasta is. */
static void test_udp_that_is_bound_to_no_link(void **state)
{
    (void)state;
    _cleanup_close_ int service = open_service(SOCK_DGRAM);
    e2e_warmup("u");
    struct lease l = only_lease();
    assert_names_by_own_ports("u", &l);
    assert_no_datagram("u", service);
    e2e_shell("\"$0\" status u | grep -q 'no UDP to the outside but DNS'");
    e2e_stop("u");
    bed_assert_clean(&bed);
}

/* As newer ones are. */
static void test_udp_that_is_bound(void **state)
{
    (void)state;
    const char *const usual = getenv("PATH");
    _cleanup_free_ char *path = xasprintf("%s/../programs:%s", bed.build, usual);
    _cleanup_close_ int service = open_service(SOCK_DGRAM);
    const char *const argv[] = {"sh", "-ec",
                                "mkdir $0/../programs; cd $0/../programs\n"
                                "echo \"#!/bin/sh\nLD_PRELOAD=$0/tools/udp_preload.so exec "
                                "/usr/bin/pasta \\\"\\$@\\\"\" >pasta; "
                                "chmod 755 pasta",
                                bed.build, NULL};
    assert_int_equal(run_program(argv, NULL), 0);
    bed_setenv(&bed, "PATH", path);
    e2e_warmup("u");
    bed_setenv(&bed, "PATH", usual);
    struct lease l = only_lease();
    assert_names_by_own_ports("u", &l);
    assert_rules("set inet crabbox ways", "udp");
    assert_no_datagram("u", service);
    e2e_shell("! \"$0\" status u | grep -q UDP");
    e2e_stop("u");
    bed_assert_clean(&bed);
}

static void assert_limit(pid_t pid, const char *line)
{
    _cleanup_free_ char *script = xasprintf("grep -q '%s' /proc/%d/limits", line, (int)pid);
    const char *const argv[] = {"sh", "-c", script, NULL};
    if (run_program(argv, NULL) != 0)
        fail_msg("%s", script);
}

/* Connections, each of which is a socket of the host with its buffers, and addresses, each of which
 * may be a neighbour that the host looks for. */
static void test_limits(void **state)
{
    (void)state;
    e2e_warmup("u");
    struct lease l = only_lease();
    assert_rules("chain inet crabbox admit", "ct count over 512");
    assert_rules("chain inet crabbox admit", "limit rate over 30/second burst 1000 ");
    assert_rules("chain inet crabbox postrouting", "l4proto udp snat ip to 192.0.2.6:2");
    assert_rules("chain inet crabbox postrouting", "saddr 192.0.2.2 snat ip to 192.0.2.6 fully");
    assert_rules("set inet crabbox hops", "size 64");
    assert_rules("chain inet crabbox hop", "ip daddr");
    assert_limit(l.local.pasta.pid, "^Max open files  *1280 ");
    e2e_stop("u");
}

/* Of a VMM that has the user's own id too: what else the user runs does not count. */
static void test_threads(void **state)
{
    (void)state;
    e2e_shell("for i in $(seq 300); do sleep 600 & p=\"$p $!\"; done; "
              "\"$0\" warmup -q --slug u; kill $p");
    assert_limit(only_lease().local.vmm.proc.pid, "^Max processes  *256 ");
    e2e_stop("u");
}

/* ---- what dies ---- */

static void test_death_of_pasta(void **state)
{
    (void)state;
    e2e_warmup("p");
    struct lease l = only_lease();
    kill_it(&l.local.pasta);
    e2e_guest("p", "true");
    e2e_shell("\"$0\" doctor --json | jq -e '.checks[] | select(.check == \"keepers\") | "
              ".status == \"warning\" and (.message | contains(\"without pasta\"))'");
    e2e_stop("p");
    bed_assert_clean(&bed);
}

static void test_death_of_the_keeper(void **state)
{
    (void)state;
    e2e_warmup("k");
    struct lease l = only_lease();
    kill_it(&l.keeper);
    e2e_guest("k", "true");
    e2e_stop("k");
    bed_assert_clean(&bed);
}

/* Its pasta goes with the lease, which a `cleanup` ends. */
static void test_death_of_the_vmm(void **state)
{
    (void)state;
    e2e_warmup("v");
    struct lease l = only_lease();
    kill_it(&l.local.vmm.proc);
    E2E_OK("cleanup");
    bed_assert_clean(&bed);
}

/* kill -9 of the maker at several points; the keeper undoes the lease. */
static void test_death_of_the_maker(void **state)
{
    (void)state;
    static const char *const stops[][2] = {{"NO_SOCKET", "1"},
                                           {"HANG", "PUT /machine-config"},
                                           {"GUEST", "silent"},
                                           {"GUEST", "deaf"}};
    for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
        _cleanup_free_ char *name = xasprintf("CRABBOX_STANDIN_%s", stops[i][0]);
        bed_setenv(&bed, name, stops[i][1]);
        struct child c = e2e_warmup_stuck("stuck");
        e2e_signal(&c, SIGKILL);
        assert_true(e2e_wait(&c, 60000).signalled);
        bed_clear_faults(&bed);
        e2e_wait_until_none();
        bed_assert_clean(&bed);
    }
}

static void test_expiry(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "e", "--ttl", "2s");
    e2e_wait_until_none();
    bed_assert_clean(&bed);
}

/* All have the same addresses, each in a namespace of its own. */
static void test_several_at_once(void **state)
{
    (void)state;
    e2e_shell("for i in 1 2 3 4; do \"$0\" warmup -q --slug m$i & done; wait; "
              "for i in 1 2 3 4; do \"$0\" ssh m$i hostname | grep -q ^crabbox-m$i-; done; "
              "for i in 1 2 3 4; do \"$0\" stop m$i & done; wait");
    bed_assert_clean(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_lease),
        E2E_TEST(test_what_takes_a_control_group),
        E2E_TEST(test_a_run_with_the_tree),
        E2E_TEST(test_copies_and_stock_ssh),
        E2E_TEST(test_no_program_of_the_tree),
        E2E_TEST(test_reach),
        E2E_TEST(test_udp_that_is_bound_to_no_link),
        E2E_TEST(test_udp_that_is_bound),
        E2E_TEST(test_limits),
        E2E_TEST(test_threads),
        E2E_TEST(test_death_of_pasta),
        E2E_TEST(test_death_of_the_keeper),
        E2E_TEST(test_death_of_the_vmm),
        E2E_TEST(test_death_of_the_maker),
        E2E_TEST(test_expiry),
        E2E_TEST(test_several_at_once),
    };
    return E2E_GROUP(tests, setup, e2e_close);
}
