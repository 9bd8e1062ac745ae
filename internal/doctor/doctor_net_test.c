/* doctor on the network of leases: what is in its way, CNI's lists and plugins; and what is there
 * that no lease owns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "e2e/doctorkit.h"
#include "lease/store.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/file.h"
#include "sys/spawn.h"

static void nat_names_what_is_in_the_way(void **state)
{
    (void)state;
    doctorkit_expect(SOUND IMG, "network", DOCTOR_OK, "", "nat");
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "");
    doctorkit_expect(SOUND IMG "network:\n  pool: 198.51.100.0/24\n", "network", DOCTOR_FAILED,
                     CONFIG, "198.51.100.0/24");
}

static void run_tool(const char *const *argv)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    spec.argv = argv;
    assert_int_equal(spawn_run(&spec, NULL, 4096, NULL, &errout, &st, NULL), 0);
    if (!st.exited || st.code != 0)
        fail_msg("%s: %s", argv[0], errout.buf);
}
#define TOOL(...) run_tool((const char *const[]){__VA_ARGS__, NULL})

#define DROPS_FORWARDED                                                                            \
    "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; "     \
    "policy drop; }"

static void foreign_drop_policy_is_a_warning(void **state)
{
    (void)state;
    TOOL("nft", DROPS_FORWARDED);
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_WARNING, "", "ip filter");
    TOOL("nft", "delete table ip filter");
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "");
}

/* A VPN as OpenVPN makes it, and a rule that keeps guests off it. */
static void the_way_out_is_asked_for(void **state)
{
    (void)state;
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "guests get out by out0");
    TOOL("sh", "-ec",
         "ip link add vpn0 type veth peer name vpn1; ip link set vpn0 up; ip link set vpn1 up; "
         "ip addr add 10.9.0.2/24 dev vpn0; ip route add 0.0.0.0/1 via 10.9.0.1; "
         "ip route add 128.0.0.0/1 via 10.9.0.1; echo 1 >/proc/sys/net/ipv4/conf/vpn0/forwarding");
    doctorkit_expect(SOUND IMG, "network", DOCTOR_OK, "", "nat");
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_OK, "", "guests get out by vpn0");
    TOOL("sh", "-ec", "ip rule add from 10.213.0.0/16 prohibit");
    doctorkit_expect(SOUND IMG, "network", DOCTOR_OK, "", "nat");
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_WARNING, "", "refuse guests");
    TOOL("sh", "-ec",
         "ip rule del from 10.213.0.0/16 prohibit; "
         "echo 0 >/proc/sys/net/ipv4/conf/vpn0/forwarding");
    doctorkit_expect(SOUND IMG, "network", DOCTOR_FAILED, ENV, "on the link vpn0");
    doctorkit_expect(SOUND IMG, "forwarding", DOCTOR_SKIP, "", "see the check network");
    TOOL("ip", "link", "delete", "vpn0");
}

#define CNI(extra)                                                                                 \
    "firecracker:\n  network: cni\n  cniNetwork: box\n  cniConfDir: %/cni\n" extra IMG

#define BIN CNI("  cniBinDir: %/cnibin\n")

static void write_list(const char *plugins)
{
    _cleanup_free_ char *text = xasprintf(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"box\",\"plugins\":[%s]}", plugins);
    config_dir_write(&doctorkit_dir, "cni/20-box.conflist", text);
}

static void cni_list_and_plugins_are_looked_up(void **state)
{
    (void)state;
    doctorkit_expect("firecracker:\n  network: cni\n  cniConfDir: %/absent\n" IMG, "network",
                     DOCTOR_FAILED, ENV, "cniConfDir");
    config_dir_write(&doctorkit_dir, "cni/10-other.conflist",
                     "{\"name\":\"other\",\"plugins\":[]}");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, CONFIG, "\"box\"");
    write_list("");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, CONFIG, "no plugins");
    write_list("{\"type\":\"bridge\"},{\"type\":\"../bridge\"}");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, CONFIG, "plugin 2 has no \"type\"");
    write_list("{\"type\":\"bridge\",\"ipam\":{\"type\":\"host-local\"}},{\"type\":\"ptp\"}");
    doctorkit_program("cnibin/bridge", "#!/bin/sh\n");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, ENV, "host-local, ptp");
    write_list("{\"type\":\"bridge\"}");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, ENV, "bridge");
    doctorkit_program("cnibin/bridge", "#!/bin/sh\necho '{\"supportedVersions\":[\"0.4.0\"]}'\n");
    doctorkit_expect(BIN, "network", DOCTOR_FAILED, CONFIG, "does not support");
    doctorkit_program("cnibin/bridge", "#!/bin/sh\n[ \"$CNI_COMMAND\" = VERSION ] || exit 9\n"
                                       "echo '{\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'\n");
    doctorkit_expect(BIN, "network", DOCTOR_OK, "", "box");
    doctorkit_expect(BIN, "forwarding", DOCTOR_OK, "", "no other table");
    TOOL("nft", DROPS_FORWARDED);
    doctorkit_expect(BIN, "forwarding", DOCTOR_WARNING, "", "ip filter");
    write_list("{\"type\":\"bridge\"},{\"type\":\"firewall\"}");
    doctorkit_expect(BIN, "forwarding", DOCTOR_OK, "", "firewall plugin");
    TOOL("nft", "delete table ip filter");
}

/* ---- what a lease left ---- */

static void links_without_an_owner_are_listed(void **state)
{
    (void)state;
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
    TOOL("ip", "link", "add", "cbx77", "address", "02:00:00:00:00:77", "type", "bridge");
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "link cbx77");
    TOOL("ip", "link", "delete", "cbx77");
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
}

/* A VMM works in its lease's directory and leads a session of its own. */
static void processes_without_a_record_are_listed(void **state)
{
    static const char *const argv[] = {"tail", "-f", "/dev/null", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child child = CHILD_INIT;
    struct error err = ERROR_INIT;
    (void)state;
    struct store store = STORE_INIT;
    if (store_open(&store, doctorkit_path("state"), local_kinds, &err) < 0)
        fail_msg("%s", err.msg);
    store_close(&store);
    assert_int_equal(dir_make_all(doctorkit_path("state/leases/cbx_000000000001"), 0700, NULL), 0);
    _cleanup_close_ int cwd = open(doctorkit_path("state/leases/cbx_000000000001"),
                                   O_RDONLY | O_CLOEXEC);
    spec.argv = argv;
    spec.cwd_fd = cwd;
    spec.new_session = spec.die_with_parent = true;
    if (spawn(&spec, &child, &err) < 0)
        fail_msg("%s", err.msg);
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "process");
    child_kill(&child);
    assert_int_equal(
        dir_remove_tree(AT_FDCWD, doctorkit_path("state/leases/cbx_000000000001"), NULL), 0);
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
    assert_int_equal(dir_remove_tree(AT_FDCWD, doctorkit_path("state"), NULL), 0);
}

static void await_cwd(pid_t pid, const char *want)
{
    char link[32], cwd[PATH_MAX];
    (void)str_format(link, sizeof link, "/proc/%d/cwd", (int)pid);
    for (ssize_t n;;) {
        n = readlink(link, cwd, sizeof cwd - 1);
        assert_true(n >= 0);
        cwd[n] = '\0';
        if (str_eq(cwd, want))
            return;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 5000000}, NULL);
    }
}

/* The same in a root directory of its own, where the lease's record can't be read. */
static void confined_process_is_listed(const char *where)
{
    _cleanup_free_ char *line = xasprintf(
        "mount -t tmpfs root /mnt; cd /mnt; mkdir usr dev vmm old\n"
        "for d in bin lib lib64; do [ ! -e /$d ] || ln -s usr/$d $d; done\n"
        "mount --rbind /usr usr; mount --rbind /dev dev\n"
        "mount --bind '%s' vmm; pivot_root . old; cd %s; exec tail -f /dev/null",
        doctorkit_path("state/leases/cbx_000000000001/vmm"), where);
    const char *const argv[] = {"unshare", "-m", "sh", "-ec", line, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child child = CHILD_INIT;
    struct error err = ERROR_INIT;
    struct store store = STORE_INIT;
    if (store_open(&store, doctorkit_path("state"), local_kinds, &err) < 0)
        fail_msg("%s", err.msg);
    store_close(&store);
    assert_int_equal(dir_make_all(doctorkit_path("state/leases/cbx_000000000001/vmm"), 0700, NULL),
                     0);
    spec.argv = argv;
    spec.new_session = spec.die_with_parent = true;
    if (spawn(&spec, &child, &err) < 0)
        fail_msg("%s", err.msg);
    await_cwd(child.pid, where);
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "process");
    assert_int_equal(
        dir_remove_tree(AT_FDCWD, doctorkit_path("state/leases/cbx_000000000001"), NULL), 0);
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_WARNING, "", "process");
    child_kill(&child);
    doctorkit_expect(SOUND IMG, "orphans", DOCTOR_OK, "", "nothing");
    assert_int_equal(dir_remove_tree(AT_FDCWD, doctorkit_path("state"), NULL), 0);
}

/* One of our sandbox, and one that Firecracker's jailer started. */
static void confined_processes_are_listed(void **state)
{
    (void)state;
    confined_process_is_listed("/vmm");
    confined_process_is_listed("/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nat_names_what_is_in_the_way),
        cmocka_unit_test(foreign_drop_policy_is_a_warning),
        cmocka_unit_test(the_way_out_is_asked_for),
        cmocka_unit_test(cni_list_and_plugins_are_looked_up),
        cmocka_unit_test(links_without_an_owner_are_listed),
        cmocka_unit_test(processes_without_a_record_are_listed),
        cmocka_unit_test(confined_processes_are_listed),
    };
    return cmocka_run_group_tests(tests, doctorkit_open, doctorkit_close);
}
