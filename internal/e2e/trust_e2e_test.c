/* Programs, plugins, images and the state directory that another user could replace are refused by
 * warmup and by doctor, in the same words; programs of the repository are not found; and no
 * variable of the caller's reaches processes that stay running.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "e2e/e2e.h"
#include "lease/store.h"

/* Lines of shell in the bed's directory. */
static void shell(const char *script)
{
    _cleanup_free_ char *text = xasprintf("cd ..; %s", script);
    E2E_EXEC_OK("sh", "-ec", text);
}

/* A program that leaves a mark when it is run. */
#define MARKS "printf '#!/bin/sh\\necho run >>\"%s/mark\"\\n' \"$PWD\""

static bool marked(void)
{
    _cleanup_free_ char *mark = xasprintf("%s/mark", bed.dir);
    return access(mark, F_OK) == 0;
}

/* What doctor says of a check: "message; next: fix", as errors have it. */
static char *doctor_says(const char *check, const char *status)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "doctor", "--json");
    _cleanup_json_ cJSON *report = e2e_json(&r);
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        if (!str_eq(json_opt_string(c, "check", ""), check))
            continue;
        const cJSON *details = cJSON_GetObjectItemCaseSensitive(c, "details");
        if (!str_eq(json_opt_string(c, "status", ""), status))
            fail_msg("%s: %s: %s", check, json_opt_string(c, "status", ""),
                     json_opt_string(c, "message", ""));
        return xasprintf("%s" BED_NEXT "%s", json_opt_string(c, "message", ""),
                         json_opt_string(details, "fix", ""));
    }
    fail_msg("no check is named %s", check);
    return NULL;
}

/* Warmup refuses before it makes anything, doctor's check agrees word for word, and neither has run
 * what is not to be relied on. */
static void both_refuse(const char *check, const char *part)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "a");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, part);
    bed_assert_clean(&bed);
    _cleanup_free_ char *says = doctor_says(check, "failed");
    _cleanup_free_ char *line = xasprintf("crabbox-fc: %s\n", says);
    assert_string_equal(r.err.buf, line);
    assert_false(marked());
}

static void accepted(void)
{
    e2e_warmup("a");
    e2e_stop("a");
}

static void test_the_vmm(void **state)
{
    (void)state;
    shell("mkdir -p opt/vmm; " MARKS " >opt/vmm/firecracker; chmod 755 opt/vmm/firecracker");
    _cleanup_free_ char *path = xasprintf("%s/opt/vmm/firecracker", bed.dir);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", path);
    shell("chown nobody opt/vmm");
    both_refuse("binary", "/opt/vmm is owned by uid 65534 (nobody)" BED_NEXT);
    shell("chown root opt/vmm; chmod 777 opt");
    both_refuse("binary", "/opt is writable by everybody" BED_NEXT);
    shell("chmod 755 opt; chgrp nogroup opt/vmm/firecracker; chmod 775 opt/vmm/firecracker");
    both_refuse("binary", "can be changed by group nogroup");
    /* By a name in PATH, and through a link of somebody's. */
    shell("git init -q work; ln -s vmm/firecracker opt/firecracker; chmod 755 opt/vmm/firecracker; "
          "chown -h nobody opt/firecracker");
    _cleanup_free_ char *dirs = xasprintf("%s/opt:/usr/sbin:/usr/bin:/sbin:/bin", bed.dir);
    bed_setenv(&bed, "PATH", dirs);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", "firecracker");
    both_refuse("binary", "chown -h root /");
    shell("rm -r opt work/.git");
}

/* A script of root's passes, but not what it becomes. */
static void test_what_the_vmm_becomes(void **state)
{
    (void)state;
    _cleanup_free_ char *copy = xasprintf("mkdir opt; cp %s/tools/standin-firecracker opt/fc; "
                                          "printf '#!/bin/sh\\nexec %s/opt/fc \"$@\"\\n' >wrapper; "
                                          "chmod 755 wrapper",
                                          bed.build, bed.dir);
    shell(copy);
    _cleanup_free_ char *path = xasprintf("%s/wrapper", bed.dir);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", path);
    accepted();
    static const char *const harms[] = {"chown nobody opt/fc",
                                        "chown root opt/fc; chown nobody opt"};
    for (size_t i = 0; i < ARRAY_LEN(harms); i++) {
        shell(harms[i]);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, "by user nobody: ");
        bed_assert_clean(&bed);
    }
    /* What has no name any more is nobody's to judge. */
    shell("chown root opt; printf '#!/bin/sh\\nexec 3<%s\\nrm %s\\nexec /proc/self/fd/3 \"$@\"\\n' "
          "$PWD/opt/fc $PWD/opt/fc >wrapper");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "opt/fc (deleted) was removed or replaced while it was starting");
    bed_assert_clean(&bed);
    shell("rm -r opt wrapper");
}

static void test_the_other_vmm(void **state)
{
    (void)state;
    shell(MARKS " >qemu; chmod 757 qemu");
    _cleanup_free_ char *path = xasprintf("%s/qemu", bed.dir);
    bed_setenv(&bed, "CRABBOX_FC_VMM", "qemu");
    bed_setenv(&bed, "CRABBOX_FC_QEMU_ACCEL", "tcg");
    bed_setenv(&bed, "CRABBOX_FC_QEMU_BINARY", path);
    both_refuse("qemu", "the VMM program ");
    shell("rm qemu");
}

static void test_the_image(void **state)
{
    static const char *const checks[] = {"kernel", "rootfs", "image"};
    (void)state;
    accepted();
    shell("chown nobody image");
    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        both_refuse(checks[i], "/image is owned by uid 65534 (nobody)");
    shell("chown root image; chown nobody image/image.json");
    both_refuse("image", "/image.json is owned by uid 65534");
    shell("chown root image/image.json; chown nobody image/vmlinux");
    both_refuse("kernel", "the kernel ");
    both_refuse("image", "/vmlinux is owned by uid 65534");
    shell("chown root image/vmlinux; chmod o+w image/initrd.cpio");
    both_refuse("image", "the initrd ");
    shell("chmod o-w image/initrd.cpio; chmod o+w image/rootfs.ext4");
    both_refuse("rootfs", "the root filesystem ");
    shell("chmod o-w image/rootfs.ext4");
    accepted();
}

static void test_a_stock_image(void **state)
{
    (void)state;
    shell("mkdir stock; cp image/vmlinux image/rootfs.ext4 stock");
    _cleanup_free_ char *kernel = xasprintf("%s/stock/vmlinux", bed.dir);
    _cleanup_free_ char *rootfs = xasprintf("%s/stock/rootfs.ext4", bed.dir);
    bed_setenv(&bed, "CRABBOX_FC_IMAGE_DIR", NULL);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_KERNEL", kernel);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_ROOTFS", rootfs);
    shell("chown nobody stock");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "/stock is owned by uid 65534");
    shell("chown root stock; chown nobody stock/rootfs.ext4");
    _cleanup_bed_result_ struct bed_result r2 = BED_RUN(&bed, "warmup");
    bed_assert_code(r2, 2);
    bed_assert_has(r2.err.buf, "the root filesystem ");
    shell("rm -r stock");
}

static void test_plugins_and_lists(void **state)
{
    (void)state;
    shell("mkdir plugins work/.git; " MARKS " >plugins/odd; chmod 755 plugins/odd; cp plugins/odd "
          "plugins/addr");
    _cleanup_free_ char *dir = xasprintf("%s/plugins", bed.dir);
    bed_use_cni(&bed, dir, BED_CNI_LIST("{\"type\":\"odd\",\"ipam\":{\"type\":\"addr\"}}"));
    shell("chown nobody plugins/odd");
    both_refuse("network", "the CNI plugin ");
    shell("chown root plugins/odd; chmod o+w plugins/addr");
    both_refuse("network", "/plugins/addr is writable by everybody");
    shell("chmod o-w plugins/addr; chmod 1777 plugins");
    both_refuse("network", "the directory of CNI plugins ");
    shell("chmod 755 plugins; chown nobody cni/10-box.conflist");
    both_refuse("network", "the CNI list ");
    shell("chown root cni/10-box.conflist; chown nobody cni");
    both_refuse("network", "the directory of CNI lists ");
    shell("rm -r plugins cni cni-data work/.git");
}

static void test_the_state_directory(void **state)
{
    (void)state;
    shell("mkdir -p home/theirs; chown nobody home/theirs");
    _cleanup_free_ char *there = xasprintf("%s/home/theirs/state", bed.dir);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", there);
    both_refuse("state", "the state directory ");
    assert_int_equal(access(there, F_OK), -1);
    /* With sudo it is the caller's own. */
    bed_setenv(&bed, "SUDO_UID", "65534");
    e2e_warmup("theirs");
    E2E_OK("stop", "-q", "theirs");
    assert_int_equal(access(there, F_OK), 0);
    bed_setenv(&bed, "SUDO_UID", NULL);
    both_refuse("state", "/home/theirs is owned by uid 65534 (nobody)");
    shell("rm -r home/theirs");
}

/* One verb of each kind that reads leases, from the directory `cwd` of the bed. */
static void leases_refused(const char *cwd, const char *why)
{
    static const char *const verbs[] = {"list",    "status a",    "stop a",
                                        "cleanup", "heartbeat a", "ssh a true"};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        _cleanup_free_ char *line = xasprintf("cd \"$1/%s\"; \"$0\" %s", cwd, verbs[i]);
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", line, bed.program,
                                                            bed.dir);
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, why);
        assert_false(marked());
    }
}

/* A clone or an archive that brings a lease along, whose chain has a "plugin" of its own, and HOME
 * is the checkout. */
static void test_leases_that_came_with_the_tree(void **state)
{
    (void)state;
    e2e_warmup("a");
    shell("mkdir -p -m 700 work/plugins work/sub work/.local/state work/.git\n" MARKS
          " >work/plugins/odd; chmod 755 work/plugins/odd\n"
          "s=work/.local/state/crabbox-fc; cp -a state $s; d=$(echo $s/leases/cbx_*)\n"
          "jq '.local.net += {mode: \"cni\", peers: false, lease_plen: 24, veth: \"\"}' "
          "$d/lease.json "
          ">$d/new; mv "
          "$d/new $d/lease.json\n"
          "jq -n --arg boot $(cat /proc/sys/kernel/random/boot_id) --arg dir $PWD/work/plugins "
          "'{schema: 1, bootId: $boot, binDir: $dir, "
          "list: {cniVersion: \"1.0.0\", name: \"x\", plugins: [{type: \"odd\"}]}}' >$d/cni.json");
    e2e_stop("a");
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", NULL);
    bed_setenv(&bed, "HOME", bed.work);
    both_refuse("state", "/work, which is a working tree");
    leases_refused("work/sub", "/work, which is a working tree");
    leases_refused("home", "/work, which is a working tree");
    shell("rmdir work/.git");
    leases_refused("work", "leads into the working directory");
    leases_refused("work/sub", "was not made by crabbox-fc on this host");
    leases_refused("home", "was not made by crabbox-fc on this host");
    /* Even if it were believed, its plugin would not. */
    shell("mkdir work/.git; mv work/.local/state/crabbox-fc kept\n"
          "stat -c '%i %W' kept >kept/origin; cd kept/leases/cbx_*; ln -sfn \"$(stat -c '%i %W' "
          ".)\" origin");
    _cleanup_free_ char *kept = xasprintf("%s/kept", bed.dir);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", kept);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "stop", "a");
    assert_int_not_equal(r.st.code, 0);
    bed_assert_has(r.err.buf, "the directory of CNI plugins ");
    assert_false(marked());
    bed_clear_faults(&bed);
    shell("rm -r kept work; mkdir work");
}

/* ---- programs of the repository ---- */

static void test_path_does_not_lead_into_the_repository(void **state)
{
    static const char *const places[] = {"./bin", "bin", "", "%/work/bin"};
    (void)state;
    shell("cd work; mkdir bin; git init -q; for p in git ssh firecracker qemu-system-x86_64 ip; do "
          "(cd ..; " MARKS ") >bin/$p; cp bin/$p $p; chmod 755 bin/$p $p; done");
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        bool full = *places[i] == '%';
        _cleanup_free_ char *path = xasprintf("%s%s:/usr/sbin:/usr/bin:/sbin:/bin",
                                              full ? bed.dir : "", places[i] + full);
        bed_setenv(&bed, "PATH", path);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "a",
                                                           "--firecracker-binary", "firecracker");
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, "firecracker.binary: PATH finds \"firecracker\"");
        _cleanup_bed_result_ struct bed_result q = BED_RUN(&bed, "warmup", "--slug", "a");
        bed_assert_code(q, 2);
        bed_assert_has(q.err.buf, "qemu.binary: PATH finds \"qemu-system-x86_64\"");
        bed_setenv(&bed, "CRABBOX_FC_QEMU_BINARY", "/usr/bin/qemu-system-x86_64");
        e2e_warmup("a");
        E2E_OK("run", "--id", "a", "-q", "--", "test", "-e", "bin/git");
        E2E_OK("ssh", "a", "true");
        e2e_stop("a");
        assert_false(marked());
        bed_setenv(&bed, "CRABBOX_FC_QEMU_BINARY", NULL);
    }
    shell("rm -r work/* work/.git");
}

static void test_the_client_is_nobody_else_s(void **state)
{
    (void)state;
    shell("git init -q work; mkdir opt; " MARKS " >opt/ssh; chmod 757 opt/ssh");
    _cleanup_free_ char *path = xasprintf("%s/opt:/usr/sbin:/usr/bin:/sbin:/bin", bed.dir);
    e2e_warmup("a");
    bed_setenv(&bed, "PATH", path);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "ssh", "a", "true");
    bed_assert_code(r, 2);
    _cleanup_free_ char *says = doctor_says("ssh", "warning");
    _cleanup_free_ char *line = xasprintf("crabbox-fc: %s\n", says);
    assert_string_equal(r.err.buf, line);
    assert_false(marked());
    e2e_stop("a");
    shell("rm -r opt work/.git");
}

/* ---- what the caller's environment holds ---- */

static void environment_of(pid_t pid, struct strbuf *out)
{
    _cleanup_free_ char *script = xasprintf("tr '\\0' '\\n' </proc/%d/environ; grep Umask "
                                            "/proc/%d/status",
                                            (int)pid, (int)pid);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-ec", script);
    bed_assert_code(r, 0);
    strbuf_adds(out, r.out.buf);
}

static void test_what_runs_on_has_an_environment_of_its_own(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf vmm = STRBUF_INIT, keeper = STRBUF_INIT;
    struct lease_entry *all = NULL;
    bed_setenv(&bed, "DEPLOY_TOKEN", "hunter2");
    bed_setenv(&bed, "RUNNER_TRACKING_ID", "github_1");
    bed_setenv(&bed, "LD_BIND_NOW", "1");
    E2E_EXEC_OK("sh", "-ec", "umask 0; ulimit -c unlimited; \"$0\" warmup -q --slug a",
                bed.program);
    assert_int_equal(e2e_leases(&all), 1);
    struct rlimit core; /* one of ours would lie in the tree, with keys in it */
    assert_return_code(prlimit(all[0].lease.keeper.pid, RLIMIT_CORE, NULL, &core), errno);
    assert_int_equal(core.rlim_cur, 0);
    environment_of(all[0].lease.local.vmm.proc.pid, &vmm);
    assert_string_equal(vmm.buf, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\nUmask:\t0022\n");
    environment_of(all[0].lease.keeper.pid, &keeper);
    _cleanup_free_ char *want = xasprintf("CRABBOX_FC_STATE_DIR=%s\n"
                                          "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nSUDO_UID=",
                                          bed.state);
    assert_true(str_has_prefix(keeper.buf, want));
    assert_true(str_has_suffix(keeper.buf, "\nUmask:\t0022\n"));
    assert_null(strstr(keeper.buf, "hunter2"));
    assert_null(strstr(keeper.buf, "RUNNER"));
    free(all);
    e2e_stop("a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_the_vmm),
        E2E_TEST(test_what_the_vmm_becomes),
        E2E_TEST(test_the_other_vmm),
        E2E_TEST(test_the_image),
        E2E_TEST(test_a_stock_image),
        E2E_TEST(test_plugins_and_lists),
        E2E_TEST(test_the_state_directory),
        E2E_TEST(test_leases_that_came_with_the_tree),
        E2E_TEST(test_path_does_not_lead_into_the_repository),
        E2E_TEST(test_the_client_is_nobody_else_s),
        E2E_TEST(test_what_runs_on_has_an_environment_of_its_own),
    };
    bed.run_timeout_ms = 30000;
    return E2E_MAIN(tests);
}
