/* Many leases on one CNI chain at once, of two state directories, and many who end them. */
#include <string.h>

#include "e2e/e2e.h"

static int setup(void **state)
{
    bed.run_timeout_ms = 200000;
    return e2e_open_cni(state, "ip link add boxbr type bridge");
}

/* The script on each kind of chain; it says "wrong" of what is wrong, and leaves nothing. */
static void on_chains(const char *script)
{
    static const char *const lists[] = {BED_CNI_BRIDGE, BED_CNI_PTP};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        bed_use_cni(&bed, bed_cni_dir(), lists[i]);
        bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "120s");
        bed_setenv(&bed, "CRABBOX_FIRECRACKER_MEMORY_MIB", "64");
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                            bed.dir);
        bed_assert_code(r, 0);
        if (strstr(r.out.buf, "wrong"))
            fail_msg("%s\n%s", strstr(r.out.buf, "wrong"), r.err.buf);
        bed_assert_clean(&bed);
        bed_assert_cni_clean(&bed);
    }
}

/* `all` runs a command for every slug in the background, in the state directory of its parity. */
#define ALL                                                                                        \
    "fc=$0; one=$CRABBOX_FC_STATE_DIR two=$1/two; export fc one two\n"                             \
    "all() { p=(); for i in {1..16}; do ( [ $((i % 2)) = 0 ] || export "                           \
    "CRABBOX_FC_STATE_DIR=$two; i=$i; eval \"$1\" ) & p+=($!); done\n"                             \
    "for q in ${p[@]}; do wait $q || echo wrong: $1: code $?; done; }\n"

static void test_sixteen_at_once_of_two_state_directories(void **state)
{
    (void)state;
    on_chains(ALL
              "all '$fc warmup -q --slug s$i >/dev/null'\n"
              "for d in $one $two; do CRABBOX_FC_STATE_DIR=$d $fc list --json | "
              "jq -r '.[].ssh.host'; done | sort | uniq -c | awk '$1 != 1 {print \"wrong\", $0}\n"
              "END {if (NR != 16) print \"wrong: \" NR \" addresses\"}'\n"
              "all '[[ $($fc run --id s$i --no-sync -q -- cat /etc/hostname) = crabbox-s$i-* ]]'\n"
              "nft list ruleset | awk '/: goto lease/ {n += gsub(/: goto lease/, \"\")}\n"
              "END {if (n != 16) print \"wrong: \" n + 0 \" leases in the tables\"}'\n"
              "all '$fc stop s$i >/dev/null'\nrm -r $two");
}

/* Whoever comes first removes it, the others see that. Of some the VMM is dead already. */
static void test_stop_and_cleanup_of_the_same_leases(void **state)
{
    (void)state;
    on_chains(ALL
              "all '$fc warmup -q --slug s$i >/dev/null'\n"
              "all '[ $((i % 3)) != 0 ] || kill -9 $($fc status --json s$i | jq .vmm.pid)'\n"
              "all '$fc stop --missing-ok s$i >/dev/null & a=$!; $fc cleanup >/dev/null & b=$!; "
              "$fc stop --missing-ok s$i >/dev/null || exit; wait $a || exit; wait $b'\n"
              "all '[ \"$($fc list --json)\" = \"[]\" ]'\nrm -r $two");
}

/* Nobody stops them: their keepers do, all in one second. */
static void test_keepers_end_what_has_expired(void **state)
{
    (void)state;
    on_chains(ALL "all '$fc warmup -q --slug s$i --ttl 8s'\n"
                  "end=$((SECONDS + 60))\n"
                  "until [ \"$(ls $one/leases $two/leases | grep -c cbx_)\" = 0 ]; do\n"
                  "[ $SECONDS -lt $end ] || { echo wrong: still there; exit; }; done\n"
                  "all '$fc cleanup > /dev/null'\nrm -r $two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_sixteen_at_once_of_two_state_directories),
        E2E_TEST(test_stop_and_cleanup_of_the_same_leases),
        E2E_TEST(test_keepers_end_what_has_expired),
    };
    return E2E_GROUP(tests, setup, e2e_close);
}
