/* Leases on the host's CNI plugins when something goes wrong: plugins that fail, hang, lie or are
 * killed, crashes in the middle of one, lists that change. The plugins are Debian's own; where one
 * has to misbehave, a script stands before it.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "e2e/e2e.h"
#include "sys/file.h"

static const char *plugins;
static char bin[PATH_MAX]; /* the plugins again, and those of the test */

static int setup(void **state)
{
    bed.run_timeout_ms = 30000;
    if (e2e_open_cni(state, "git init -q; mkdir \"$1\"/bin; ln -s \"$0\"/* \"$1\"/bin\n"
                            "ip link add boxbr type bridge") < 0)
        return -1;
    plugins = bed_cni_dir();
    (void)str_format(bin, sizeof bin, "%s/bin", bed.dir);
    return 0;
}

/* A plugin of the test's own: a shell script that has the real plugin in $real. */
static void write_plugin(const char *name, const char *real, const char *script)
{
    struct error err = ERROR_INIT;
    _cleanup_close_ int dirfd = open(bin, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *text = xasprintf("#!/bin/sh\nreal=%s/%s\ndir=%s\n%s\n", plugins, real,
                                          bed.dir, script);
    if (file_write_new(dirfd, name, text, strlen(text), 0700, &err) < 0)
        fail_msg("%s", err.msg);
}

#define PTP  "{\"type\":\"ptp\",\"ipMasq\":true," BED_CNI_IPAM "}"
#define ODD  "{\"type\":\"odd\"}"
#define ODD1 "{\"type\":\"odd\",\"ipMasq\":true," BED_CNI_IPAM "}"

/* A chained plugin hands on what it got; this says so for scripts. */
#define HAND_ON "jq -c .prevResult"

static struct bed_result warmup(void)
{
    return BED_RUN(&bed, "warmup", "--slug", "a");
}

/* The warmup fails with this in its message, and leaves nothing. */
static void warmup_fails(int code, const char *message)
{
    _cleanup_bed_result_ struct bed_result r = warmup();
    bed_assert_code(r, code);
    bed_assert_has(r.err.buf, message);
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

static void test_status_says_cni(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_BRIDGE);
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec", "\"$0\" status a --json | jq -r '.labels.network, .ssh.host'",
        bed.program);
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "cni\n10.88.0.");
    e2e_stop_cni("a");
}

static void test_a_failed_plugin_is_undone_with_those_before_it(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ \"$CNI_COMMAND\" = ADD ] || exit 0\n"
                 "echo '{\"cniVersion\":\"1.0.0\",\"code\":77,\"msg\":\"out of "
                 "\\u202eluck\\u001b[2J\"}'; exit 1");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    warmup_fails(1, "CNI network box: plugin odd, ADD: code 77: out of \\u202eluck\\x1b[2J");
}

static void test_a_crashed_plugin_is_told_with_its_stderr(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ \"$CNI_COMMAND\" = ADD ] || exit 0\n"
                 "printf 'panic:\\tno map\\033[2J\\233\\ncrabbox-fc: ok' >&2; kill -SEGV $$");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    warmup_fails(1, "plugin odd, ADD: killed by signal 11 (Segmentation fault): panic: no "
                    "map\\x1b[2J\\x9b; crabbox-fc: ok");
}

static void test_nonsense_of_a_plugin_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *message;
    } cases[] = {
        {"", "not valid JSON"},
        {"{}{}", "text after the JSON value"},
        {"[1]", "not a result of CNI"},
        {"{\"ips\":[{\"address\":\"10.88.0.300/24\"}]}", "is not an address"},
        {"{\"ips\":[{\"address\":\"10.88.0.9/24\",\"interface\":4}]}", "not listed"},
        {"{\"ips\":[]}", "gave the lease no IPv4 address"},
        {"{\"ips\":[{\"address\":\"fd00::2/64\"}]}", "gave the lease no IPv4 address"},
        /* Well said, but not so: what is not seen is not believed. */
        {"{\"ips\":[{\"address\":\"10.88.0.99/24\",\"gateway\":\"10.88.0.1\"}]}",
         "gives eth0 the address 10.88.0.99, but the link does not have it"},
    };
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *script = xasprintf("[ $CNI_COMMAND = ADD ] && echo '%s'; exit 0",
                                                cases[i].answer);
        write_plugin("odd", "tuning", script);
        warmup_fails(1, cases[i].message);
    }
}

static void test_a_plugin_that_floods_is_cut(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ $CNI_COMMAND = ADD ] && head -c 3000000 /dev/zero | tr '\\0' ' '; exit 0");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    warmup_fails(1, "the answer of plugin odd");
}

static void test_a_hanging_plugin_ends_with_the_launch_timeout(void **state)
{
    (void)state;
    write_plugin("odd", "tuning", "[ $CNI_COMMAND = ADD ] && sleep 1000; exit 0");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "1s");
    warmup_fails(5, "plugin odd, ADD: timed out");
}

static void test_ctrl_c_ends_a_hanging_plugin(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ $CNI_COMMAND = ADD ] && { : > \"$dir/hangs\"; sleep 1000; }; exit 0");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    _cleanup_(child_kill) struct child c = BED_START(&bed, -1, "warmup", "--slug", "a");
    assert_true(bed_wait_file(&bed, "hangs", 60000));
    e2e_signal(&c, SIGINT);
    assert_int_equal(e2e_code(&c, 60000), 130);
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

/* Starts a warmup and kills it when the plugin shows where it is. The keeper undoes it. */
static void kill_warmup_at(const char *file)
{
    _cleanup_(child_kill) struct child c = BED_START(&bed, -1, "warmup", "--slug", "a");
    assert_true(bed_wait_file(&bed, file, 60000));
    e2e_signal(&c, SIGKILL);
    (void)e2e_wait(&c, 60000);
    e2e_wait_until_none();
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

/* The plugin has made everything but not answered yet: its answer, in a file by then, is what its
 * DEL needs to find the address's rules. */
static void test_kill_while_a_plugin_is_about_to_answer(void **state)
{
    (void)state;
    write_plugin("odd", "ptp",
                 "[ $CNI_COMMAND = ADD ] || exec \"$real\"\n"
                 "out=$(\"$real\") || exit 1\n: > \"$dir/made\"; sleep 0.5; echo \"$out\"");
    bed_use_cni(&bed, bin, BED_CNI_LIST(ODD1));
    kill_warmup_at("made");
}

static void test_kill_while_a_plugin_hangs_for_ever(void **state)
{
    (void)state;
    write_plugin("odd", "ptp", "[ $CNI_COMMAND = ADD ] || exit 0\n: > \"$dir/stuck\"; sleep 1000");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    kill_warmup_at("stuck");
}

static void test_the_list_and_its_file_may_change_meanwhile(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_PTP);
    e2e_warmup("a");
    E2E_EXEC_OK("sh", "-ec", "rm \"$0\"/cni/10-box.conflist", bed.dir);
    e2e_stop_cni("a");
}

/* The namespace goes with the VMM; DEL finds one that looks like it. */
static void test_stop_after_the_vmm_was_killed(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_PTP);
    e2e_warmup("a");
    e2e_shell("pid=$(\"$0\" status a --json | jq .vmm.pid); kill -9 $pid; "
              "while [ -e /proc/$pid ] && ! grep -q '^State:.[ZX]' /proc/$pid/status; do :; done; "
              "iptables -t nat -S | grep -q CNI-");
    e2e_stop_cni("a");
}

static void test_after_a_reboot_plugins_get_no_namespace(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ $CNI_COMMAND = DEL ] && echo \"netns=$CNI_NETNS.\" >> "
                 "\"$dir/del\"; [ $CNI_COMMAND = ADD ] && " HAND_ON "; exit 0");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec",
        "id=$(\"$0\" status a --json | jq -r .leaseId); kill -9 $(\"$0\" status a --json | "
        "jq .vmm.pid); cd \"$CRABBOX_FC_STATE_DIR\"/leases/$id; "
        "boot=$(jq -r .bootId cni.json); sed -i \"s/$boot/00000000-0000-0000-0000-000000000000/\" "
        "cni.json lease.json; cd \"$1/work\"; \"$0\" stop a; cat \"$1\"/del; "
        /* This kernel was not rebooted, so its rules are still there. */
        "iptables -t nat -F; iptables -t nat -X",
        bed.program, bed.dir);
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "netns=.\n");
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

/* Its DEL fails while there is a file "broken" in the bed. */
static void use_plugin_that_breaks(void)
{
    write_plugin("odd", "tuning",
                 "case $CNI_COMMAND in ADD) " HAND_ON " ;; DEL) [ ! -e \"$dir/broken\" ] || "
                 "{ echo '{\"code\":11,\"msg\":\"not today\"}'; exit 1; } ;; esac");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
}

static void test_a_failed_del_is_kept_and_tried_again(void **state)
{
    (void)state;
    use_plugin_that_breaks();
    e2e_warmup("a");
    E2E_EXEC_OK("touch", "../broken");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "stop", "a");
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "plugin odd, DEL: code 11: not today");
    _cleanup_bed_result_ struct bed_result list = BED_RUN(&bed, "list");
    bed_assert_has(list.out.buf, "broken");
    bed_assert_cni_clean(&bed); /* the other plugin had its turn all the same */
    E2E_EXEC_OK("rm", "../broken");
    e2e_stop_cni("a");
}

/* Nobody types anything: what could not be undone at its expiry is once that is possible, and the
 * list says so. */
static void test_the_keeper_tries_again(void **state)
{
    (void)state;
    use_plugin_that_breaks();
    E2E_EXEC_OK("touch", "../broken");
    E2E_OK("warmup", "-q", "--slug", "a", "--ttl", "3s");
    e2e_shell(
        "until \"$0\" list --json | jq -e '.[].state == \"broken\"' >/dev/null; do sleep 0.2; "
        "done; \"$0\" list --json | jq -e '.[].endedBy == \"keeper\"'; "
        "\"$0\" list | grep 'by keeper'; rm ../broken; "
        "while \"$0\" list --json | jq -e '.[]' >/dev/null; do sleep 0.2; done");
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

/* What made the lease has to undo it, although it would not be taken for a new one. */
static void test_stop_from_among_the_plugins(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP));
    e2e_warmup("a");
    E2E_EXEC_OK("sh", "-ec",
                "cd \"$1\"; mkdir .git\n"
                "\"$0\" stop a 2>&1 | grep -F 'next: move its .git away'\n"
                "rmdir .git; \"$0\" stop a",
                bed.program, bin);
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

/* What an interrupted stop had already removed makes a plugin fail the second time, as Debian's do
 * for the rules of an address: then it has to do without the namespace. */
static void test_a_del_that_was_interrupted_converges(void **state)
{
    (void)state;
    write_plugin("odd", "ptp",
                 "[ $CNI_COMMAND = DEL ] || exec \"$real\"\n"
                 "\"$real\" || exit\n[ -e \"$dir/once\" ] && exit\n: > \"$dir/once\"; exit 1");
    bed_use_cni(&bed, bin, BED_CNI_LIST(ODD1));
    e2e_warmup("a");
    E2E_CODE(1, "stop", "a");
    _cleanup_bed_result_ struct bed_result again = BED_RUN(&bed, "stop", "a");
    bed_assert_code(again, 0);
    bed_assert_has(again.err.buf, "may have left rules of cbx_");
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

static void test_check_is_heeded(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "case $CNI_COMMAND in ADD) " HAND_ON " ;; CHECK) jq -e .prevResult.ips >/dev/null "
                 "&& echo '{\"code\":3,\"msg\":\"eth0 is not as it was\"}'; exit 1 ;; esac");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    warmup_fails(1, "plugin odd, CHECK: code 3: eth0 is not as it was");
}

/* Nothing of our environment, and nothing of our descriptors. */
static void test_a_plugin_sees_only_what_is_its_own(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ $CNI_COMMAND = ADD ] && { env | sort; ls /proc/self/fd; pwd; umask; } "
                 "> \"$dir/seen\"\n"
                 "[ $CNI_COMMAND = ADD ] && " HAND_ON "; exit 0");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    bed_setenv(&bed, "SECRET_TOKEN", "hunter2");
    E2E_EXEC_OK("sh", "-ec", "umask 0; \"$0\" warmup -q --slug a", bed.program);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-c",
        "grep -v -e ^PWD= -e ^OLDPWD= -e ^_= -e ^SHLVL= ../seen | sed 's/=.*//' "
        "| tr '\\n' ' '");
    assert_string_equal(r.out.buf, "CNI_COMMAND CNI_CONTAINERID CNI_IFNAME CNI_NETNS CNI_PATH PATH "
                                   "0 1 2 3 / 0022 "); /* 3 is of ls */
    e2e_stop_cni("a");
}

/* Also long after warmup has looked: what would undo the lease runs as root too. */
static void test_a_plugin_that_others_could_replace_is_not_run(void **state)
{
    (void)state;
    write_plugin("odd", "tuning",
                 "[ $CNI_COMMAND = ADD ] && " HAND_ON "\necho \"$CNI_COMMAND\" >>\"$dir/ran\"");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP "," ODD));
    e2e_warmup("a");
    E2E_EXEC_OK("sh", "-ec", "rm ../ran; chown nobody \"$0/odd\"", bin);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "stop", "a");
    assert_true(r.st.exited && r.st.code != 0);
    bed_assert_has(r.err.buf, "/odd is owned by uid 65534 (nobody)");
    E2E_EXEC_OK("sh", "-ec", "test ! -e ../ran; chown root \"$0/odd\"", bin);
    e2e_stop_cni("a");
    E2E_EXEC_OK("sh", "-ec", "grep DEL ../ran; rm ../ran");
}

static void test_entries_for_the_tap_are_not_needed(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP ",{\"type\":\"tc-redirect-tap\"}"));
    e2e_warmup("a");
    e2e_stop_cni("a");
}

static void test_peers_are_reached_where_that_is_asked_for(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin, BED_CNI_BRIDGE);
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_PEERS", "true");
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec",
        "\"$0\" warmup --slug b; host=$(\"$0\" status b --json | jq -r .ssh.host); "
        "\"$0\" run --id a --no-sync -q -- bash -c "
        "\"exec 3<>/dev/tcp/$host/22; read -r -t 5 line <&3; echo \\$line\"; \"$0\" stop b",
        bed.program);
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "SSH-2.0-");
    e2e_stop_cni("a");
}

static void test_peers_have_no_meaning_without_a_chain(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_FC_NETWORK_PEERS", "true");
    _cleanup_bed_result_ struct bed_result r = warmup();
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "network.peers works only with firecracker.network cni");
}

/* A link with a smaller MTU than the guest's: its packets still arrive, in both directions. */
static void test_a_smaller_mtu_is_found_out(void **state)
{
    (void)state;
    bed_use_cni(&bed, bin,
                BED_CNI_LIST("{\"type\":\"ptp\",\"mtu\":1300,\"ipMasq\":true," BED_CNI_IPAM "}"));
    e2e_warmup("a");
    e2e_shell("head -c 3000000 /dev/urandom > blob; "
              "\"$0\" run --id a --no-sync -q -- cat < blob | cmp - blob; rm blob");
    e2e_stop_cni("a");
}

/* As Docker sets the host up: what doctor says of it is so, and so is its fix. */
static void test_a_host_that_drops_what_is_forwarded(void **state)
{
    (void)state;
    static const char ask[] =
        "\"$0\" run --id a --no-sync -q -- curl -sS -m 2 --noproxy '*' http://" BED_OUTSIDE "/";
    E2E_EXEC_OK("iptables", "-P", "FORWARD", "DROP");
    bed_use_cni(&bed, bin, BED_CNI_PTP);
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result no = BED_EXEC(&bed, "sh", "-c", ask, bed.program);
    bed_assert_code(no, 28);
    e2e_stop("a");
    bed_use_cni(&bed, bin, BED_CNI_LIST(PTP ",{\"type\":\"firewall\"}"));
    e2e_warmup("a");
    _cleanup_bed_result_ struct bed_result yes = BED_EXEC(&bed, "sh", "-c", ask, bed.program);
    bed_assert_code(yes, 0);
    bed_assert_has(yes.out.buf, "peer=" BED_HOST);
    e2e_stop("a");
    e2e_shell("test -z \"$(iptables-save | grep 10.88.0.)\"; nft delete table ip filter");
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

static void test_lists_that_can_not_be_run(void **state)
{
    (void)state;
    static const struct {
        const char *list, *message;
    } cases[] = {
        {"{", "not valid JSON"},
        {"{\"name\":\"other\",\"cniVersion\":\"1.0.0\",\"plugins\":[]}", "is named \"box\""},
        {"{\"name\":\"box\",\"plugins\":[" PTP "]}", "\"cniVersion\" is missing"},
        {"{\"name\":\"box\",\"cniVersion\":\"0.2.0\",\"plugins\":[" PTP "]}", "did you mean"},
        {BED_CNI_LIST(""), "\"plugins\" names no plugins"},
        {BED_CNI_LIST("{\"type\":\"tc-redirect-tap\"}"), "no plugins that make a link"},
        {BED_CNI_LIST("{\"type\":\"../odd\"}"), "plugin 1 has no \"type\""},
        {BED_CNI_LIST("{\"type\":\"absent\"}"), "absent" BED_NEXT "apt-get install"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bed_use_cni(&bed, bin, cases[i].list);
        _cleanup_bed_result_ struct bed_result r = warmup();
        assert_int_not_equal(r.st.code, 0);
        bed_assert_has(r.err.buf, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_status_says_cni),
        E2E_TEST(test_a_failed_plugin_is_undone_with_those_before_it),
        E2E_TEST(test_a_crashed_plugin_is_told_with_its_stderr),
        E2E_TEST(test_nonsense_of_a_plugin_is_refused),
        E2E_TEST(test_a_plugin_that_floods_is_cut),
        E2E_TEST(test_a_hanging_plugin_ends_with_the_launch_timeout),
        E2E_TEST(test_ctrl_c_ends_a_hanging_plugin),
        E2E_TEST(test_kill_while_a_plugin_is_about_to_answer),
        E2E_TEST(test_kill_while_a_plugin_hangs_for_ever),
        E2E_TEST(test_the_list_and_its_file_may_change_meanwhile),
        E2E_TEST(test_stop_after_the_vmm_was_killed),
        E2E_TEST(test_after_a_reboot_plugins_get_no_namespace),
        E2E_TEST(test_a_failed_del_is_kept_and_tried_again),
        E2E_TEST(test_the_keeper_tries_again),
        E2E_TEST(test_stop_from_among_the_plugins),
        E2E_TEST(test_a_del_that_was_interrupted_converges),
        E2E_TEST(test_check_is_heeded),
        E2E_TEST(test_a_plugin_sees_only_what_is_its_own),
        E2E_TEST(test_a_plugin_that_others_could_replace_is_not_run),
        E2E_TEST(test_entries_for_the_tap_are_not_needed),
        E2E_TEST(test_peers_are_reached_where_that_is_asked_for),
        E2E_TEST(test_peers_have_no_meaning_without_a_chain),
        E2E_TEST(test_a_smaller_mtu_is_found_out),
        E2E_TEST(test_a_host_that_drops_what_is_forwarded),
        E2E_TEST(test_lists_that_can_not_be_run),
    };
    return E2E_GROUP(tests, setup, e2e_close);
}
